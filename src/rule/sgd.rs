#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::check_non_negative;
use super::contract::{Rates, Rule, Scalar, Slot};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// Stochastic gradient descent, plain, with momentum
/// ([Polyak 1964](https://doi.org/10.1016/0041-5553(64)90137-5)) or with Nesterov's
/// ([Sutskever et al. 2013](https://proceedings.mlr.press/v28/sutskever13.html)).
///
/// ```text
/// b ← μ b + (1 − τ) g         b ← g at the first step
/// direction = b               g + μ b with Nesterov, g without momentum
/// ```
///
/// State: `momentum_buffer`, only if `momentum` is not 0. As `torch.optim.SGD`; [`Sgd::keras`] has the learning rate
/// inside the buffer.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Sgd {
    /// μ, 0 or more; `0`.
    pub momentum: f64,
    /// τ, what is taken off the gradient when it enters the momentum buffer; `0`.
    pub dampening: f64,
    /// Look ahead along the momentum; needs `momentum` above 0 and no dampening; `false`.
    pub nesterov: bool,
    /// Keep the learning rate inside the momentum buffer (`b ← μ b + lr·g`), as Keras does and PyTorch does not.
    /// Matters only while the learning rate changes; `false`.
    pub lr_in_momentum: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { momentum: 0.0, dampening: 0.0, nesterov: false, lr_in_momentum: false }
    }
}

impl Sgd {
    /// `torch.optim.SGD`: the defaults.
    pub fn pytorch() -> Self {
        Self::default()
    }

    /// `optax.sgd`: the defaults.
    pub fn optax() -> Self {
        Self::default()
    }

    /// `keras.optimizers.SGD`: the learning rate inside the momentum.
    pub fn keras() -> Self {
        Self { lr_in_momentum: true, ..Self::default() }
    }

    fn lr_inside(&self) -> bool {
        self.lr_in_momentum && self.momentum != 0.0
    }

    /// The factor of the gradient that enters the momentum buffer.
    #[inline]
    fn gain(&self, at: At) -> f64 {
        let inner_lr = if self.lr_inside() { at.lr } else { 1.0 };
        if at.t == 1 { inner_lr } else { inner_lr * (1.0 - self.dampening) }
    }
}

/// The range of the dampening.
const FINITE: &str = "a finite f32 number";

impl Formula for Sgd {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [b] = state else { return g };
        // With Nesterov's momentum there is no dampening.
        let part = N::scalar(self.gain(at)) * g;
        *b = b.decayed(self.momentum, part);
        if self.nesterov { part + N::scalar(self.momentum) * *b } else { *b }
    }
}

impl Rule for Sgd {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        if self.momentum == 0.0 { Vec::new() } else { vec![Slot::zero("momentum_buffer").signed()] }
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        vec![("MOMENTUM", self.momentum != 0.0), ("NESTEROV", self.nesterov)]
    }

    fn hyper(&self) -> Vec<Scalar> {
        let gain = match self.dampening != 0.0 && self.lr_inside() {
            true => Scalar::by_step_and_rate("gain"),
            false => Scalar::by_step_if(self.dampening != 0.0, "gain"),
        };
        vec![Scalar::fixed("momentum"), Scalar::fixed("momentum_low"), gain]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [momentum, low] = halves(self.momentum);
        out.copy_from_slice(&[momentum, low, self.gain(at)]);
    }

    fn rates(&self, at: At) -> Rates {
        Rates { lr: if self.lr_inside() { 1.0 } else { at.lr }, decay: at.lr }
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        (target == Target::Momentum).then_some(&mut self.momentum)
    }

    fn check(&self) -> Result<(), Error> {
        check_non_negative("sgd", "momentum", self.momentum)?;
        if !self.dampening.is_finite() || self.dampening.abs() > f64::from(f32::MAX) {
            let (value, must) = (self.dampening, FINITE);
            return Err(Error::Hyper { rule: "sgd", option: "dampening", value, must });
        }
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            let conflict = "nesterov needs momentum above 0 and dampening 0; change those or leave nesterov off";
            return Err(Error::Conflict { rule: "sgd", conflict });
        }
        Ok(())
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "sgd",
    wgsl: include_str!("../../shaders/rule/sgd.wgsl"),
    formula: "\
        b ← μ b + (1 − τ) g         b ← g at the first step\n\
        direction = b               g + μ b with Nesterov, g without momentum",
    paper: "Polyak 1964, https://doi.org/10.1016/0041-5553(64)90137-5; Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "pytorch", options: || serde_json::to_value(Sgd::pytorch()) },
        Convention { name: "optax", options: || serde_json::to_value(Sgd::optax()) },
        Convention { name: "keras", options: || serde_json::to_value(Sgd::keras()) },
    ],
    ..Json::of::<Sgd>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("momentum", NON_NEGATIVE),
    ("dampening", FINITE),
    ("nesterov", "true or false"),
    ("lr_in_momentum", "true or false"),
];

fn variants() -> Vec<Variant> {
    let momentum = Sgd { momentum: 0.9, ..Sgd::default() };
    vec![
        Variant::new(1e-2, Sgd::default()),
        Variant::new(1e-2, momentum.clone()).l2(0.1),
        Variant::new(1e-2, Sgd { dampening: 0.5, ..momentum.clone() }).maximize(),
        Variant::new(1e-2, Sgd { nesterov: true, ..momentum.clone() }),
        Variant::new(1e-2, Sgd { dampening: 0.5, lr_in_momentum: true, ..momentum }).decay(0.1),
        Variant::new(1e-2, Sgd { momentum: 0.9, nesterov: true, ..Sgd::keras() }).maximize(),
        Variant::new(1e-3, Sgd { momentum: 0.999, nesterov: true, ..Sgd::default() }).decay(0.01),
    ]
}
