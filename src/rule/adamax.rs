#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_fraction};
use super::contract::{Rule, Scalar, Slot};
use super::correction::correction;
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// Adamax ([Kingma & Ba 2015, algorithm 2](https://arxiv.org/abs/1412.6980)): ADAM with the largest magnitude in
/// place of the root mean square.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// u ← max(β₂ u, |g| + eps)
/// direction = m̂ / u                     m̂ = m / (1 − β₁ᵗ)
/// ```
///
/// State: `exp_avg` (m), `exp_inf` (u). As `torch.optim.Adamax`, which is the default here.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Adamax {
    /// β₁ and β₂, how much of the average and of the largest magnitude remains after a step, in `[0, 1)`;
    /// `[0.9, 0.999]`.
    pub betas: [f64; 2],
    /// ε inside the maximum, above 0; `1e-8`.
    pub eps: f64,
    /// Add ε to the largest magnitude where it divides, as Keras does, and keep the magnitude without ε; `false`.
    pub eps_outside: bool,
}

impl Default for Adamax {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, eps_outside: false }
    }
}

impl Adamax {
    /// `torch.optim.Adamax`: the defaults.
    pub fn pytorch() -> Self {
        Self::default()
    }

    /// `optax.adamax`: as PyTorch's.
    pub fn optax() -> Self {
        Self::default()
    }

    /// `keras.optimizers.Adamax`: ε = 1e-7, outside the maximum.
    pub fn keras() -> Self {
        Self { eps: 1e-7, eps_outside: true, ..Self::default() }
    }

    /// ε inside the maximum, and outside.
    #[inline]
    fn epsilons(&self) -> [f64; 2] {
        if self.eps_outside { [0.0, self.eps] } else { [self.eps, 0.0] }
    }

    /// 1 / (1 − β₁ᵗ).
    #[inline]
    fn m_scale(&self, t: u64) -> f64 {
        correction(self.betas[0], t)
    }
}

impl Formula for Adamax {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [m, u] = state else { return g };
        let [beta1, beta2] = self.betas;
        *m = m.decayed(beta1, N::scalar(1.0 - beta1) * g);
        let [inside, outside] = self.epsilons().map(N::scalar);
        *u = u.decayed(beta2, N::scalar(0.0)).larger(g.abs() + inside);
        N::scalar(self.m_scale(at.t)) * *m / (*u + outside)
    }
}

impl Rule for Adamax {
    fn name(&self) -> &'static str {
        "adamax"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("exp_avg").signed(), Slot::zero("exp_inf").unsigned()]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![
            Scalar::fixed("beta1"),
            Scalar::fixed("beta1_low"),
            Scalar::fixed("gain1"),
            Scalar::fixed("beta2"),
            Scalar::fixed("beta2_low"),
            Scalar::by_step("m_scale"),
            Scalar::fixed("eps"),
            Scalar::fixed("eps_outside"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [[beta1, beta1_low], [beta2, beta2_low]] = self.betas.map(halves);
        let gain1 = 1.0 - self.betas[0];
        let [inside, outside] = self.epsilons();
        let m_scale = self.m_scale(at.t);
        out.copy_from_slice(&[beta1, beta1_low, gain1, beta2, beta2_low, m_scale, inside, outside]);
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("adamax", "betas[0]", self.betas[0])?;
        check_fraction("adamax", "betas[1]", self.betas[1])?;
        check_epsilon("adamax", self.eps, 0.0)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "adamax",
    wgsl: include_str!("../../shaders/rule/adamax.wgsl"),
    formula: "\
        m ← β₁ m + (1 − β₁) g\n\
        u ← max(β₂ u, |g| + eps)\n\
        direction = m̂ / u                     m̂ = m / (1 − β₁ᵗ)",
    paper: "Kingma & Ba 2015, algorithm 2, https://arxiv.org/abs/1412.6980",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "pytorch", options: || serde_json::to_value(Adamax::pytorch()) },
        Convention { name: "optax", options: || serde_json::to_value(Adamax::optax()) },
        Convention { name: "keras", options: || serde_json::to_value(Adamax::keras()) },
    ],
    ..Json::of::<Adamax>(2e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", NON_NEGATIVE),
    ("eps_outside", "true or false"),
];

fn variants() -> Vec<Variant> {
    let default = Adamax::default();
    vec![
        Variant::new(2e-3, default.clone()),
        Variant::new(2e-3, Adamax { betas: [0.8, 0.95], ..default.clone() }).l2(0.1).maximize(),
        Variant::new(1e-2, Adamax::keras()).decay(0.1),
        Variant::new(1e-3, Adamax { betas: [0.0, 0.0], eps: 1e-2, ..default }),
    ]
}
