#[cfg(feature = "checkpoint")]
use super::check::{FRACTION, NON_NEGATIVE};
use super::check::{check_epsilon, check_fraction, check_non_negative};
use super::contract::{Rates, Rule, Scalar, Slot, Start};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// RMSProp ([Hinton 2012, lecture 6e](https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf)),
/// with centering and momentum ([Graves 2013](https://arxiv.org/abs/1308.0850)), plain or Nesterov's.
///
/// ```text
/// s ← α s + (1 − α) g²
/// a ← α a + (1 − α) g                  centered only
/// u = g / (√(s + eps_root) + eps)      centered: s − a² in place of s
/// b ← μ b + u                          momentum only
/// direction = u, b with momentum, u + μ b with Nesterov
/// ```
///
/// State: `square_avg`, from `initial_square_avg`; `grad_avg` if centered; `momentum_buffer` if `momentum` is not 0.
///
/// *Differs from PyTorch*: ε stands inside the root by default, as in the lecture's followers Keras,
/// TensorFlow and Optax; [`RmsProp::pytorch`] has it outside. Where rounding makes `s − a²` negative,
/// PyTorch takes the root of a negative number; here its magnitude is used.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct RmsProp {
    /// α (ρ elsewhere), how much of the running square remains after a step, in `[0, 1)`; `0.99`.
    pub alpha: f64,
    /// ε outside the root; `0`.
    pub eps: f64,
    /// ε inside the root; `1e-16`, which at s = 0 is the 1e-8 everyone expects.
    pub eps_root: f64,
    /// μ, 0 or more; `0`.
    pub momentum: f64,
    /// Divide by the standard deviation in place of the root mean square; `false`.
    pub centered: bool,
    /// Keep the learning rate inside the momentum buffer (`b ← μ b + lr·u`), as Keras, TensorFlow
    /// and Optax do and PyTorch does not. Matters only while the learning rate changes; `false`.
    pub lr_in_momentum: bool,
    /// Look ahead along the momentum, as Optax can; needs `momentum` above 0; `false`.
    pub nesterov: bool,
    /// The number that `square_avg` starts at, 0 or more; `0`.
    pub initial_square_avg: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self {
            alpha: 0.99,
            eps: 0.0,
            eps_root: 1e-16,
            momentum: 0.0,
            centered: false,
            lr_in_momentum: false,
            nesterov: false,
            initial_square_avg: 0.0,
        }
    }
}

impl RmsProp {
    /// `torch.optim.RMSprop`: α = 0.99, ε = 1e-8 outside the root, learning rate outside the momentum.
    pub fn pytorch() -> Self {
        Self { eps: 1e-8, eps_root: 0.0, ..Self::default() }
    }

    /// `keras.optimizers.RMSprop`: ρ = 0.9, ε = 1e-7 inside the root, learning rate inside the momentum.
    pub fn keras() -> Self {
        Self { alpha: 0.9, eps_root: 1e-7, lr_in_momentum: true, ..Self::default() }
    }

    /// `optax.rmsprop`: decay 0.9, ε = 1e-8 inside the root, learning rate inside the momentum.
    pub fn optax() -> Self {
        Self { eps_root: 1e-8, ..Self::keras() }
    }

    /// `tf.compat.v1.train.RMSPropOptimizer`: decay 0.9, ε = 1e-10 inside the root, learning rate inside the momentum,
    /// and an average of squares that starts at 1.
    pub fn tf1() -> Self {
        Self { eps_root: 1e-10, initial_square_avg: 1.0, ..Self::keras() }
    }

    /// Burn's `RmsProp`: as PyTorch's, but ε = 1e-5 and a momentum of 0.9.
    pub fn burn() -> Self {
        Self { eps: 1e-5, momentum: 0.9, ..Self::pytorch() }
    }

    fn lr_inside(&self) -> bool {
        self.lr_in_momentum && self.momentum != 0.0
    }
}

impl Formula for RmsProp {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        // Taken apart by place, so that where the number of slots is known no access is checked.
        let [square_avg, rest @ ..] = state else { return g };
        let gain = N::scalar(1.0 - self.alpha);
        let s = square_avg.decayed(self.alpha, gain * g * g);
        *square_avg = s;

        let mut variance = s;
        if self.centered
            && let Some(grad_avg) = rest.first_mut()
        {
            let a = grad_avg.decayed(self.alpha, gain * g);
            *grad_avg = a;
            variance = (s - a * a).abs();
        }

        let root = (variance + N::scalar(self.eps_root)).sqrt();
        let u = g / (root + N::scalar(self.eps));
        if self.momentum != 0.0
            && let Some(buffer) = rest.last_mut()
        {
            let inner_lr = if self.lr_inside() { at.lr } else { 1.0 };
            let inner = N::scalar(inner_lr) * u;
            let b = buffer.decayed(self.momentum, inner);
            *buffer = b;
            return if self.nesterov { inner + N::scalar(self.momentum) * b } else { b };
        }
        u
    }
}

impl Rule for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        // From zero without a word of it in the kernel.
        let start = match self.initial_square_avg {
            0.0 => Start::Zero,
            initial => Start::Number(initial),
        };
        let mut slots = vec![Slot::starting("square_avg", start).unsigned()];
        slots.extend(self.centered.then(|| Slot::zero("grad_avg").signed()));
        slots.extend((self.momentum != 0.0).then(|| Slot::zero("momentum_buffer").signed()));
        slots
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        vec![
            ("CENTERED", self.centered),
            ("MOMENTUM", self.momentum != 0.0),
            ("NESTEROV", self.nesterov),
        ]
    }

    fn hyper(&self) -> Vec<Scalar> {
        let names = [
            "alpha",
            "alpha_low",
            "gain",
            "eps_root",
            "eps",
            "momentum",
            "momentum_low",
            "inner_lr",
        ];
        names.map(Scalar::fixed).into()
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [alpha, alpha_low] = halves(self.alpha);
        let [momentum, momentum_low] = halves(self.momentum);
        let gain = 1.0 - self.alpha;
        let inner_lr = if self.lr_inside() { at.lr } else { 1.0 };
        out.copy_from_slice(&[
            alpha,
            alpha_low,
            gain,
            self.eps_root,
            self.eps,
            momentum,
            momentum_low,
            inner_lr,
        ]);
    }

    fn rates(&self, at: At) -> Rates {
        Rates { lr: if self.lr_inside() { 1.0 } else { at.lr }, decay: at.lr }
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        (target == Target::Momentum).then_some(&mut self.momentum)
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("rmsprop", "alpha", self.alpha)?;
        check_non_negative("rmsprop", "momentum", self.momentum)?;
        check_non_negative("rmsprop", "initial_square_avg", self.initial_square_avg)?;
        if self.nesterov && self.momentum == 0.0 {
            let conflict = "nesterov needs momentum above 0; change it or leave nesterov off";
            return Err(Error::Conflict { rule: "rmsprop", conflict });
        }
        check_epsilon("rmsprop", self.eps, self.eps_root)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "rmsprop",
    wgsl: include_str!("../../shaders/rule/rmsprop.wgsl"),
    formula: "\
        s ← α s + (1 − α) g²\n\
        a ← α a + (1 − α) g                  centered only\n\
        u = g / (√(s + eps_root) + eps)      centered: s − a² in place of s\n\
        b ← μ b + u                          momentum only\n\
        direction = u, b with momentum, u + μ b with Nesterov",
    paper: "Hinton 2012, lecture 6e, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf; Graves 2013, https://arxiv.org/abs/1308.0850",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "pytorch", options: || serde_json::to_value(RmsProp::pytorch()) },
        Convention { name: "optax", options: || serde_json::to_value(RmsProp::optax()) },
        Convention { name: "keras", options: || serde_json::to_value(RmsProp::keras()) },
        Convention { name: "tf1", options: || serde_json::to_value(RmsProp::tf1()) },
        Convention { name: "burn", options: || serde_json::to_value(RmsProp::burn()) },
    ],
    ..Json::of::<RmsProp>(1e-2, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("alpha", FRACTION),
    ("eps", NON_NEGATIVE),
    ("eps_root", NON_NEGATIVE),
    ("momentum", NON_NEGATIVE),
    ("centered", "true or false"),
    ("lr_in_momentum", "true or false"),
    ("nesterov", "true or false"),
    ("initial_square_avg", NON_NEGATIVE),
];

fn variants() -> Vec<Variant> {
    let default = RmsProp::default();
    vec![
        Variant::new(1e-2, default.clone()),
        Variant::new(1e-2, RmsProp { centered: true, ..default.clone() }).l2(0.1),
        Variant::new(1e-2, RmsProp { momentum: 0.9, ..default.clone() }).maximize(),
        Variant::new(1e-2, RmsProp { centered: true, momentum: 0.9, ..default }),
        Variant::new(
            1e-3,
            RmsProp { centered: true, momentum: 0.99, nesterov: true, ..RmsProp::pytorch() },
        ),
        Variant::new(1e-2, RmsProp { momentum: 0.9, nesterov: true, ..RmsProp::keras() })
            .decay(0.01),
        Variant::new(1e-2, RmsProp { momentum: 0.9, ..RmsProp::tf1() }).cautious(0.1).maximize(),
        Variant::new(1e-3, RmsProp { alpha: 0.0, ..RmsProp::pytorch() }),
    ]
}
