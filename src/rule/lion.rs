use super::check::check_fraction;
use super::contract::{Rule, Scalar, Slot};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// Lion ([Chen et al. 2023, program 1](https://arxiv.org/abs/2302.06675)).
///
/// ```text
/// direction = sign(β₁ m + (1 − β₁) g)
/// m ← β₂ m + (1 − β₂) g
/// ```
///
/// State: `exp_avg` (m). The sign of 0 is 0, so that an element without gradients keeps its value. Its authors
/// take decoupled weight decay, which is the [`Group`](crate::Group)'s, three to ten times AdamW's, at a
/// learning rate as much smaller.
///
/// As `optax.lion`, Keras's, and its authors' PyTorch; PyTorch itself has none. A NaN makes the parameter NaN, as in
/// Optax and Keras; the package `lion_pytorch` leaves such an element as it is, for good.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Lion {
    /// β₁ and β₂, how much of the average counts in a step and how much of it remains after the step, in
    /// `[0, 1)`; `[0.9, 0.99]`.
    pub betas: [f64; 2],
}

impl Default for Lion {
    fn default() -> Self {
        Self { betas: [0.9, 0.99] }
    }
}

impl Lion {
    /// `optax.lion`: the defaults, but Optax decays weights by 1e-3 unless told otherwise.
    pub fn optax() -> Self {
        Self::default()
    }

    /// `keras.optimizers.Lion`: the defaults.
    pub fn keras() -> Self {
        Self::default()
    }

    /// `lion_pytorch.Lion`: the defaults.
    pub fn lion_pytorch() -> Self {
        Self::default()
    }
}

impl Formula for Lion {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], _: At) -> N {
        let [m] = state else { return g };
        let [beta1, beta2] = self.betas;
        let sign = m.decayed(beta1, N::scalar(1.0 - beta1) * g).sign();
        *m = m.decayed(beta2, N::scalar(1.0 - beta2) * g);
        sign
    }
}

impl Rule for Lion {
    fn name(&self) -> &'static str {
        "lion"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("exp_avg").signed()]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        ["beta1", "beta1_low", "gain1", "beta2", "beta2_low", "gain2"].map(Scalar::fixed).into()
    }

    fn scalars(&self, _: At, out: &mut [f64]) {
        let [[beta1, beta1_low], [beta2, beta2_low]] = self.betas.map(halves);
        let [gain1, gain2] = self.betas.map(|beta| 1.0 - beta);
        out.copy_from_slice(&[beta1, beta1_low, gain1, beta2, beta2_low, gain2]);
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("lion", "betas[0]", self.betas[0])?;
        check_fraction("lion", "betas[1]", self.betas[1])
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "lion",
    wgsl: include_str!("../../shaders/rule/lion.wgsl"),
    formula: "\
        direction = sign(β₁ m + (1 − β₁) g)\n\
        m ← β₂ m + (1 − β₂) g",
    paper: "Chen et al. 2023, program 1, https://arxiv.org/abs/2302.06675",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "optax", options: || serde_json::to_value(Lion::optax()) },
        Convention { name: "keras", options: || serde_json::to_value(Lion::keras()) },
        Convention { name: "lion_pytorch", options: || serde_json::to_value(Lion::lion_pytorch()) },
    ],
    ..Json::of::<Lion>(1e-4, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] =
    &[("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)")];

fn variants() -> Vec<Variant> {
    vec![
        Variant::new(1e-4, Lion::default()),
        Variant::new(1e-3, Lion { betas: [0.95, 0.98] }).decay(0.1),
        Variant::new(1e-2, Lion { betas: [0.0, 0.5] }).l2(0.1).maximize(),
        Variant::new(1e-3, Lion::default()).cautious(0.1),
    ]
}
