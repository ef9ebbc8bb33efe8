#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_fraction};
use super::contract::{Rule, Scalar, Slot};
use super::entry::{Entry, Variant};
use super::formula::{AHEAD, At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// RAdam ([Liu et al. 2020, algorithm 2](https://arxiv.org/abs/1908.03265)): ADAM without its second moment until
/// enough steps have made that certain.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// direction = m̂ r √(1 − β₂ᵗ) / (√v + eps) if ρₜ > 5, and else m̂      m̂ = m / (1 − β₁ᵗ)
/// ρₜ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)                  ρ∞ = 2 / (1 − β₂) − 1
/// r = √((ρₜ − 4) (ρₜ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρₜ))
/// ```
///
/// State: `exp_avg` (m), `exp_avg_sq` (v). As `torch.optim.RAdam`, which is the default here. With β₂ of 0.6 or less,
/// ρ∞ is below 5 and no step is rectified.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct RAdam {
    /// β₁ and β₂, how much of each average remains after a step, in `[0, 1)`; `[0.9, 0.999]`.
    pub betas: [f64; 2],
    /// ε outside the root, above 0; `1e-8`.
    pub eps: f64,
    /// Add ε to the corrected root, as Optax does: `r / (√v̂ + eps)` with v̂ = v / (1 − β₂ᵗ). Optax also rectifies at
    /// ρₜ = 5; `false`.
    pub eps_corrected: bool,
}

impl Default for RAdam {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, eps_corrected: false }
    }
}

impl RAdam {
    /// `torch.optim.RAdam`: the defaults.
    pub fn pytorch() -> Self {
        Self::default()
    }

    /// `optax.radam`: ε on the corrected root.
    pub fn optax() -> Self {
        Self { eps_corrected: true, ..Self::default() }
    }

    /// ρₜ and ρ∞.
    fn certainty(&self, t: u64) -> [f64; 2] {
        let (t, beta2) = (t as f64, self.betas[1]);
        let most = 2.0 / (1.0 - beta2) - 1.0;
        let power = beta2.powf(t);
        // Without the power, a large t would be ∞ · 0.
        let lacks = if power == 0.0 { 0.0 } else { 2.0 * t * power / (1.0 - power) };
        [most - lacks, most]
    }

    /// The factor of m, whether the step is rectified, and ε as it counts.
    fn factors(&self, t: u64) -> [f64; 3] {
        let [correct1, correct2] = self.betas.map(|beta| 1.0 - beta.powf(t as f64));
        let [now, most] = self.certainty(t);
        let rectifies = if self.eps_corrected { now >= 5.0 } else { now > 5.0 };
        if !rectifies {
            return [1.0 / correct1, 0.0, self.eps];
        }
        let rest = (now - 4.0) * (now - 2.0) * most / ((most - 4.0) * (most - 2.0) * now);
        let root = correct2.sqrt();
        let eps = if self.eps_corrected { self.eps * root } else { self.eps };
        [rest.sqrt() * root / correct1, 1.0, eps]
    }
}

impl Formula for RAdam {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [m, v] = state else { return g };
        let [beta1, beta2] = self.betas;
        *m = m.decayed(beta1, N::scalar(1.0 - beta1) * g);
        *v = v.decayed(beta2, N::scalar(1.0 - beta2) * g * g);
        let [m_scale, rectified, eps, _] = at.ahead;
        let corrected = N::scalar(m_scale) * *m;
        if rectified > 0.0 { corrected / (v.sqrt() + N::scalar(eps)) } else { corrected }
    }
}

impl Rule for RAdam {
    fn name(&self) -> &'static str {
        "radam"
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
            Scalar::by_step("rectified"),
            Scalar::by_step_if(self.eps_corrected, "eps"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [[beta1, beta1_low], [beta2, beta2_low]] = self.betas.map(halves);
        let [gain1, gain2] = self.betas.map(|beta| 1.0 - beta);
        let [m_scale, rectified, eps, _] = at.ahead;
        out.copy_from_slice(&[
            beta1, beta1_low, gain1, beta2, beta2_low, gain2, m_scale, rectified, eps,
        ]);
    }

    fn ahead(&self, at: At) -> [f64; AHEAD] {
        let [m_scale, rectified, eps] = self.factors(at.t);
        [m_scale, rectified, eps, 0.0]
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("radam", "betas[0]", self.betas[0])?;
        check_fraction("radam", "betas[1]", self.betas[1])?;
        check_epsilon("radam", self.eps, 0.0)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "radam",
    wgsl: include_str!("../../shaders/rule/radam.wgsl"),
    formula: "\
        m ← β₁ m + (1 − β₁) g\n\
        v ← β₂ v + (1 − β₂) g²\n\
        direction = m̂ r √(1 − β₂ᵗ) / (√v + eps) if ρₜ > 5, and else m̂      m̂ = m / (1 − β₁ᵗ)\n\
        ρₜ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ)                  ρ∞ = 2 / (1 − β₂) − 1\n\
        r = √((ρₜ − 4) (ρₜ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρₜ))",
    paper: "Liu et al. 2020, algorithm 2, https://arxiv.org/abs/1908.03265",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "pytorch", options: || serde_json::to_value(RAdam::pytorch()) },
        Convention { name: "optax", options: || serde_json::to_value(RAdam::optax()) },
    ],
    ..Json::of::<RAdam>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", NON_NEGATIVE),
    ("eps_corrected", "true or false"),
];

fn variants() -> Vec<Variant> {
    let default = RAdam::default();
    vec![
        Variant::new(1e-3, default.clone()),
        Variant::new(1e-3, RAdam { betas: [0.9, 0.9], ..default.clone() }).l2(0.1).maximize(),
        Variant::new(1e-2, RAdam { betas: [0.5, 0.8], ..RAdam::optax() }).decay(0.1),
        Variant::new(1e-3, RAdam { betas: [0.9, 0.5], eps: 1e-4, ..default }),
    ]
}
