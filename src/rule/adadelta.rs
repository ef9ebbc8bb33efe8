#[cfg(feature = "checkpoint")]
use super::check::{FRACTION, NON_NEGATIVE};
use super::check::{check_epsilon, check_fraction};
use super::contract::{Rule, Scalar, Slot};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};

/// Adadelta ([Zeiler 2012, algorithm 1](https://arxiv.org/abs/1212.5701)).
///
/// ```text
/// s ← ρ s + (1 − ρ) g²
/// δ = √(a + eps) / √(s + eps) · g          with the old a
/// a ← ρ a + (1 − ρ) δ²
/// direction = δ
/// ```
///
/// State: `square_avg` (s), `acc_delta` (a). As `torch.optim.Adadelta`, which is the default here.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Adadelta {
    /// ρ, how much of both averages remains after a step, in `[0, 1)`; `0.9`.
    pub rho: f64,
    /// ε inside both roots, above 0; `1e-6`.
    pub eps: f64,
}

impl Default for Adadelta {
    fn default() -> Self {
        Self { rho: 0.9, eps: 1e-6 }
    }
}

impl Adadelta {
    /// `torch.optim.Adadelta`: the defaults.
    pub fn pytorch() -> Self {
        Self::default()
    }

    /// `optax.adadelta`: as PyTorch's.
    pub fn optax() -> Self {
        Self::default()
    }

    /// `keras.optimizers.Adadelta`: ρ = 0.95, ε = 1e-7.
    pub fn keras() -> Self {
        Self { rho: 0.95, eps: 1e-7 }
    }
}

impl Formula for Adadelta {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], _: At) -> N {
        let [s, a] = state else { return g };
        let (gain, eps) = (N::scalar(1.0 - self.rho), N::scalar(self.eps));
        *s = s.decayed(self.rho, gain * g * g);
        // One root of the quotient, where the formula has a quotient of roots.
        let delta = ((*a + eps) / (*s + eps)).sqrt() * g;
        *a = a.decayed(self.rho, gain * delta * delta);
        delta
    }
}

impl Rule for Adadelta {
    fn name(&self) -> &'static str {
        "adadelta"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        ["square_avg", "acc_delta"].map(|name| Slot::zero(name).unsigned()).into()
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        ["rho", "rho_low", "gain", "eps"].map(Scalar::fixed).into()
    }

    fn scalars(&self, _: At, out: &mut [f64]) {
        let [rho, rho_low] = halves(self.rho);
        out.copy_from_slice(&[rho, rho_low, 1.0 - self.rho, self.eps]);
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("adadelta", "rho", self.rho)?;
        check_epsilon("adadelta", self.eps, 0.0)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "adadelta",
    wgsl: include_str!("../../shaders/rule/adadelta.wgsl"),
    formula: "\
        s ← ρ s + (1 − ρ) g²\n\
        δ = √(a + eps) / √(s + eps) · g          with the old a\n\
        a ← ρ a + (1 − ρ) δ²\n\
        direction = δ",
    paper: "Zeiler 2012, algorithm 1, https://arxiv.org/abs/1212.5701",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "pytorch", options: || serde_json::to_value(Adadelta::pytorch()) },
        Convention { name: "optax", options: || serde_json::to_value(Adadelta::optax()) },
        Convention { name: "keras", options: || serde_json::to_value(Adadelta::keras()) },
    ],
    ..Json::of::<Adadelta>(1.0, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[("rho", FRACTION), ("eps", NON_NEGATIVE)];

fn variants() -> Vec<Variant> {
    vec![
        Variant::new(1.0, Adadelta::default()),
        Variant::new(0.5, Adadelta::keras()).l2(0.1).maximize(),
        Variant::new(1.0, Adadelta { rho: 0.0, eps: 1e-3 }).decay(0.1),
    ]
}
