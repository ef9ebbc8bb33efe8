#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_non_negative};
use super::contract::{Rule, Scalar, Slot, Start};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::Number;

/// Adagrad ([Duchi, Hazan & Singer 2011](https://jmlr.org/papers/v12/duchi11a.html)).
///
/// ```text
/// s ← s + g²
/// direction = g / (√(s + eps_root) + eps) / (1 + (t − 1) lr_decay)
/// ```
///
/// State: `sum`, from `initial_accumulator_value`. *Differs from PyTorch*: ε stands inside the root by
/// default; [`Adagrad::pytorch`] has PyTorch's. PyTorch's state holds the initial value from the beginning,
/// the one here from the first step on that is taken, and 0 before.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Adagrad {
    /// How much the learning rate falls with each step; `0`.
    pub lr_decay: f64,
    /// The number that the sum starts at, 0 or more; `0`.
    pub initial_accumulator_value: f64,
    /// ε outside the root; `0`.
    pub eps: f64,
    /// ε inside the root; `1e-16`.
    pub eps_root: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { lr_decay: 0.0, initial_accumulator_value: 0.0, eps: 0.0, eps_root: 1e-16 }
    }
}

impl Adagrad {
    /// `torch.optim.Adagrad`: ε = 1e-10, outside the root.
    pub fn pytorch() -> Self {
        Self { eps: 1e-10, eps_root: 0.0, ..Self::default() }
    }

    /// `optax.adagrad`: a sum that starts at 0.1, and ε = 1e-7, inside the root.
    pub fn optax() -> Self {
        Self { initial_accumulator_value: 0.1, eps_root: 1e-7, ..Self::default() }
    }

    /// `keras.optimizers.Adagrad`: as Optax's.
    pub fn keras() -> Self {
        Self::optax()
    }

    /// Burn's `AdaGrad`: as PyTorch's, but ε = 1e-5.
    pub fn burn() -> Self {
        Self { eps: 1e-5, ..Self::pytorch() }
    }

    fn scale(&self, t: u64) -> f64 {
        1.0 / (1.0 + (t as f64 - 1.0) * self.lr_decay)
    }
}

impl Formula for Adagrad {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let sum = &mut state[0];
        *sum = *sum + g * g;
        let root = (*sum + N::scalar(self.eps_root)).sqrt();
        N::scalar(self.scale(at.t)) * g / (root + N::scalar(self.eps))
    }
}

impl Rule for Adagrad {
    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        // From zero without a word of it in the kernel.
        let start = match self.initial_accumulator_value {
            0.0 => Start::Zero,
            initial => Start::Number(initial),
        };
        vec![Slot::starting("sum", start).unsigned()]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![
            Scalar::by_step_if(self.lr_decay != 0.0, "scale"),
            Scalar::fixed("eps_root"),
            Scalar::fixed("eps"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        out.copy_from_slice(&[self.scale(at.t), self.eps_root, self.eps]);
    }

    fn check(&self) -> Result<(), Error> {
        check_non_negative("adagrad", "lr_decay", self.lr_decay)?;
        let initial = self.initial_accumulator_value;
        check_non_negative("adagrad", "initial_accumulator_value", initial)?;
        check_epsilon("adagrad", self.eps, self.eps_root)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "adagrad",
    wgsl: include_str!("../../shaders/rule/adagrad.wgsl"),
    formula: "\
        s ← s + g²\n\
        direction = g / (√(s + eps_root) + eps) / (1 + (t − 1) lr_decay)",
    paper: "Duchi, Hazan & Singer 2011, https://jmlr.org/papers/v12/duchi11a.html",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "pytorch", options: || serde_json::to_value(Adagrad::pytorch()) },
        Convention { name: "optax", options: || serde_json::to_value(Adagrad::optax()) },
        Convention { name: "keras", options: || serde_json::to_value(Adagrad::keras()) },
        Convention { name: "burn", options: || serde_json::to_value(Adagrad::burn()) },
    ],
    ..Json::of::<Adagrad>(1e-2, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("lr_decay", NON_NEGATIVE),
    ("initial_accumulator_value", NON_NEGATIVE),
    ("eps", NON_NEGATIVE),
    ("eps_root", NON_NEGATIVE),
];

fn variants() -> Vec<Variant> {
    vec![
        Variant::new(1e-2, Adagrad::default()),
        Variant::new(1e-2, Adagrad { lr_decay: 0.1, ..Adagrad::pytorch() }).l2(0.1),
        Variant::new(1e-2, Adagrad { initial_accumulator_value: 0.1, ..Adagrad::pytorch() }),
    ]
}
