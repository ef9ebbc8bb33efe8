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

/// Grams ([Cao, Li & Song 2024](https://arxiv.org/abs/2412.17107)): the magnitude of ADAM's step in the direction of
/// the gradient.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// direction = |m̂| / (√v̂ + eps) · sign(g)           m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
/// ```
///
/// State: `exp_avg` (m), `exp_avg_sq` (v). As `Grams` of the package `pytorch_optimizer`, where weight decay that is
/// not decoupled has no effect; here such decay is an L2 penalty in g, as with every rule. An element whose gradient
/// is 0 stays where it is, whatever m is.
///
/// *Differs from PyTorch*, which has no such optimizer.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Grams {
    /// β₁ and β₂, how much of each average remains after a step, in `[0, 1)`; `[0.9, 0.999]`.
    pub betas: [f64; 2],
    /// ε outside the root, above 0; `1e-6`.
    pub eps: f64,
}

impl Default for Grams {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-6 }
    }
}

impl Grams {
    /// `pytorch_optimizer.Grams`: the defaults.
    pub fn pytorch_optimizer() -> Self {
        Self::default()
    }

    /// 1 / (1 − βᵗ) for both β.
    #[inline]
    fn corrections(&self, t: u64) -> [f64; 2] {
        self.betas.map(|beta| correction(beta, t))
    }
}

impl Formula for Grams {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [m, v] = state else { return g };
        let [beta1, beta2] = self.betas;
        *m = m.decayed(beta1, N::scalar(1.0 - beta1) * g);
        *v = v.decayed(beta2, N::scalar(1.0 - beta2) * g * g);
        let [m_scale, v_scale] = self.corrections(at.t).map(N::scalar);
        m_scale * m.abs() / ((v_scale * *v).sqrt() + N::scalar(self.eps)) * g.sign()
    }
}

impl Rule for Grams {
    fn name(&self) -> &'static str {
        "grams"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("exp_avg").signed(), Slot::zero("exp_avg_sq").unsigned()]
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
            Scalar::fixed("gain2"),
            Scalar::by_step("m_scale"),
            Scalar::by_step("v_scale"),
            Scalar::fixed("eps"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [[beta1, beta1_low], [beta2, beta2_low]] = self.betas.map(halves);
        let [gain1, gain2] = self.betas.map(|beta| 1.0 - beta);
        let [m_scale, v_scale] = self.corrections(at.t);
        out.copy_from_slice(&[
            beta1, beta1_low, gain1, beta2, beta2_low, gain2, m_scale, v_scale, self.eps,
        ]);
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("grams", "betas[0]", self.betas[0])?;
        check_fraction("grams", "betas[1]", self.betas[1])?;
        check_epsilon("grams", self.eps, 0.0)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "grams",
    wgsl: include_str!("../../shaders/rule/grams.wgsl"),
    formula: "\
        m ← β₁ m + (1 − β₁) g\n\
        v ← β₂ v + (1 − β₂) g²\n\
        direction = |m̂| / (√v̂ + eps) · sign(g)           m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)",
    paper: "Cao, Li & Song 2024, https://arxiv.org/abs/2412.17107",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention {
        name: "pytorch_optimizer",
        options: || serde_json::to_value(Grams::pytorch_optimizer()),
    }],
    ..Json::of::<Grams>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", NON_NEGATIVE),
];

fn variants() -> Vec<Variant> {
    let default = Grams::default();
    vec![
        Variant::new(1e-3, default.clone()),
        Variant::new(1e-3, default.clone()).decay(0.1),
        Variant::new(1e-2, Grams { eps: 1e-10, ..default }).cautious(0.1),
        Variant::new(1e-2, Grams { betas: [0.5, 0.9], eps: 1e-3 }).l2(0.1).maximize(),
    ]
}
