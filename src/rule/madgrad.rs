#[cfg(feature = "checkpoint")]
use super::check::{FRACTION, NON_NEGATIVE};
use super::check::{check_epsilon, check_fraction};
use super::contract::{Rates, Rule, Scalar, Slot, Start};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::Number;
use crate::schedule::Target;

/// MADGRAD ([Defazio & Jelassi 2021, algorithm 1](https://arxiv.org/abs/2101.11075)): dual averaging from the first
/// parameter, divided by the cube root of a sum of squares.
///
/// ```text
/// s ← s + λ g                          λ = (lr + eps) √t
/// q ← q + λ g²
/// z = x₀ − s / (∛q + eps)
/// p ← μ p + (1 − μ) z                  x₀ starts at p; without momentum it is p + s / (∛q + eps) before the step
/// ```
///
/// State: `s`, `grad_sum_sq` (q), and `x0` (x₀) if `momentum` is not 0. As `MADGRAD` of the package
/// `pytorch_optimizer` and its authors' PyTorch; PyTorch itself has none. λ is 0 if the learning rate is 0, and
/// decoupled weight decay takes lr + eps in place of the learning rate, both as there.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Madgrad {
    /// μ, how much of the parameter remains in a step, in `[0, 1)`; `0.9`.
    pub momentum: f64,
    /// ε beside the cube root and in λ, above 0; `1e-6`.
    pub eps: f64,
}

impl Default for Madgrad {
    fn default() -> Self {
        Self { momentum: 0.9, eps: 1e-6 }
    }
}

impl Madgrad {
    /// `pytorch_optimizer.MADGRAD`: the defaults.
    pub fn pytorch_optimizer() -> Self {
        Self::default()
    }

    /// The learning rate and ε, or nothing.
    #[inline]
    fn rate(&self, at: At) -> f64 {
        if at.lr == 0.0 { 0.0 } else { at.lr + self.eps }
    }

    /// λ.
    #[inline]
    fn lambda(&self, at: At) -> f64 {
        self.rate(at) * (at.t as f64).sqrt()
    }
}

impl Formula for Madgrad {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N {
        let [s, q, rest @ ..] = state else { return g };
        let (lambda, eps) = (N::scalar(self.lambda(at)), N::scalar(self.eps));
        let (old_s, old_q) = (*s, *q);
        *s = *s + lambda * g;
        *q = *q + lambda * g * g;
        let moved = *s / (q.cbrt() + eps);
        match rest {
            [x0] => N::scalar(1.0 - self.momentum) * (p - *x0 + moved),
            _ => moved - old_s / (old_q.cbrt() + eps),
        }
    }
}

impl Rule for Madgrad {
    fn name(&self) -> &'static str {
        "madgrad"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        let mut slots = vec![Slot::zero("s"), Slot::zero("grad_sum_sq")];
        slots.extend((self.momentum != 0.0).then(|| Slot::starting("x0", Start::Param)));
        slots
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        vec![("MOMENTUM", self.momentum != 0.0)]
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![Scalar::by_step_and_rate("lambda"), Scalar::fixed("gain"), Scalar::fixed("eps")]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        out.copy_from_slice(&[self.lambda(at), 1.0 - self.momentum, self.eps]);
    }

    // The direction is the whole move.
    fn rates(&self, at: At) -> Rates {
        Rates { lr: 1.0, decay: self.rate(at) }
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        (target == Target::Momentum).then_some(&mut self.momentum)
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("madgrad", "momentum", self.momentum)?;
        check_epsilon("madgrad", self.eps, 0.0)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "madgrad",
    wgsl: include_str!("../../shaders/rule/madgrad.wgsl"),
    formula: "\
        s ← s + λ g                          λ = (lr + eps) √t\n\
        q ← q + λ g²\n\
        z = x₀ − s / (∛q + eps)\n\
        p ← μ p + (1 − μ) z                  x₀ starts at p; without momentum it is p + s / (∛q + eps) before the step",
    paper: "Defazio & Jelassi 2021, https://arxiv.org/abs/2101.11075",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention {
        name: "pytorch_optimizer",
        options: || serde_json::to_value(Madgrad::pytorch_optimizer()),
    }],
    ..Json::of::<Madgrad>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[("momentum", FRACTION), ("eps", NON_NEGATIVE)];

fn variants() -> Vec<Variant> {
    let default = Madgrad::default();
    let plain = Madgrad { momentum: 0.0, ..default.clone() };
    vec![
        Variant::new(1e-3, default.clone()),
        Variant::new(1e-3, plain.clone()).decay(0.1),
        Variant::new(1e-2, Madgrad { momentum: 0.5, eps: 1e-3 }).l2(0.1).maximize(),
        Variant::new(1e-2, Madgrad { eps: 1e-2, ..plain }).maximize(),
        Variant::new(1e-2, Madgrad { eps: 1e-10, ..default }).cautious(0.1),
    ]
}
