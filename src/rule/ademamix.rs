#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_fraction, check_non_negative};
use super::contract::{Rule, Scalar, Slot};
use super::correction::correction;
use super::entry::{Entry, Variant};
use super::formula::{AHEAD, At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// AdEMAMix ([Pagliardini, Ablin & Grangier 2024](https://arxiv.org/abs/2409.03137)): ADAM with a second, slow average
/// of the gradients.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// n ← β₃,ₜ n + (1 − β₃,ₜ) g
/// v ← β₂ v + (1 − β₂) g²
/// direction = (m̂ + αₜ n) / (√(v̂ + eps_root) + eps)           m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
/// αₜ = α min(1, t / t_alpha)
/// 1 / ln β₃,ₜ = (1 − a) / ln β₁ + a / ln β₃                  a = min(1, t / t_beta3)
/// ```
///
/// State: `exp_avg` (m), `exp_avg_slow` (n), `exp_avg_sq` (v). As `optax.contrib.ademamix`, which takes functions in
/// place of both warm-ups.
///
/// *Differs from PyTorch*, which has no such optimizer. The half-life of the slow average grows linearly from that of
/// β₁ to that of β₃, as in the paper; the authors' code adds 1e-8 to either β before it takes logarithms.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct AdEMAMix {
    /// β₁, β₂ and β₃, how much of m, of v and of n remains after a step, in `[0, 1)`; `[0.9, 0.999, 0.9999]`.
    pub betas: [f64; 3],
    /// α, the weight of the slow average, 0 or more; `5`.
    pub alpha: f64,
    /// ε outside the root; `1e-8`.
    pub eps: f64,
    /// ε inside the root; `0`.
    pub eps_root: f64,
    /// Steps over which α rises from 0, 0 or more; `None`: α is the same at every step.
    pub t_alpha: Option<f64>,
    /// Steps over which β₃ rises from β₁, 0 or more; `None`: β₃ is the same at every step.
    pub t_beta3: Option<f64>,
}

impl Default for AdEMAMix {
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999, 0.9999],
            alpha: 5.0,
            eps: 1e-8,
            eps_root: 0.0,
            t_alpha: None,
            t_beta3: None,
        }
    }
}

impl AdEMAMix {
    /// `optax.contrib.ademamix`: the defaults.
    pub fn optax() -> Self {
        Self::default()
    }

    /// αₜ.
    fn alpha_at(&self, t: u64) -> f64 {
        self.alpha * share(self.t_alpha, t)
    }

    /// β₃,ₜ.
    fn beta3_at(&self, t: u64) -> f64 {
        let [first, _, last] = self.betas;
        let share = share(self.t_beta3, t);
        if share == 1.0 {
            return last;
        }
        // A β of 0 has a half-life of 0.
        ((1.0 - share) / first.ln() + share / last.ln()).recip().exp()
    }
}

/// The part of a warm-up of so many steps that is over at step `t`.
fn share(steps: Option<f64>, t: u64) -> f64 {
    steps.map_or(1.0, |steps| (t as f64 / steps).min(1.0))
}

impl Formula for AdEMAMix {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [m, n, v] = state else { return g };
        let [beta1, beta2, _] = self.betas;
        let [beta3, alpha, m_scale, v_scale] = at.ahead;
        *m = m.decayed(beta1, N::scalar(1.0 - beta1) * g);
        *n = n.decayed(beta3, N::scalar(1.0 - beta3) * g);
        *v = v.decayed(beta2, N::scalar(1.0 - beta2) * g * g);
        let mixed = N::scalar(m_scale) * *m + N::scalar(alpha) * *n;
        let root = (N::scalar(v_scale) * *v + N::scalar(self.eps_root)).sqrt();
        mixed / (root + N::scalar(self.eps))
    }
}

impl Rule for AdEMAMix {
    fn name(&self) -> &'static str {
        "ademamix"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![
            Slot::zero("exp_avg").signed(),
            Slot::zero("exp_avg_slow").signed(),
            Slot::zero("exp_avg_sq").unsigned(),
        ]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        let slow = self.t_beta3.is_some();
        vec![
            Scalar::fixed("beta1"),
            Scalar::fixed("beta1_low"),
            Scalar::fixed("gain1"),
            Scalar::fixed("beta2"),
            Scalar::fixed("beta2_low"),
            Scalar::fixed("gain2"),
            Scalar::by_step_if(slow, "beta3"),
            Scalar::by_step_if(slow, "beta3_low"),
            Scalar::by_step_if(slow, "gain3"),
            Scalar::by_step("m_scale"),
            Scalar::by_step_if(self.t_alpha.is_some(), "alpha"),
            Scalar::by_step("v_scale"),
            Scalar::fixed("eps_root"),
            Scalar::fixed("eps"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [beta3, alpha, m_scale, v_scale] = at.ahead;
        let betas = [self.betas[0], self.betas[1], beta3];
        let [[beta1, beta1_low], [beta2, beta2_low], [beta3, beta3_low]] = betas.map(halves);
        let [gain1, gain2, gain3] = betas.map(|beta| 1.0 - beta);
        out.copy_from_slice(&[
            beta1,
            beta1_low,
            gain1,
            beta2,
            beta2_low,
            gain2,
            beta3,
            beta3_low,
            gain3,
            m_scale,
            alpha,
            v_scale,
            self.eps_root,
            self.eps,
        ]);
    }

    fn ahead(&self, At { t, .. }: At) -> [f64; AHEAD] {
        let [m_scale, v_scale] = [self.betas[0], self.betas[1]].map(|beta| correction(beta, t));
        [self.beta3_at(t), self.alpha_at(t), m_scale, v_scale]
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("ademamix", "betas[0]", self.betas[0])?;
        check_fraction("ademamix", "betas[1]", self.betas[1])?;
        check_fraction("ademamix", "betas[2]", self.betas[2])?;
        check_non_negative("ademamix", "alpha", self.alpha)?;
        check_non_negative("ademamix", "t_alpha", self.t_alpha.unwrap_or(0.0))?;
        check_non_negative("ademamix", "t_beta3", self.t_beta3.unwrap_or(0.0))?;
        check_epsilon("ademamix", self.eps, self.eps_root)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "ademamix",
    wgsl: include_str!("../../shaders/rule/ademamix.wgsl"),
    formula: "\
        m ← β₁ m + (1 − β₁) g\n\
        n ← β₃,ₜ n + (1 − β₃,ₜ) g\n\
        v ← β₂ v + (1 − β₂) g²\n\
        direction = (m̂ + αₜ n) / (√(v̂ + eps_root) + eps)           m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)\n\
        αₜ = α min(1, t / t_alpha)\n\
        1 / ln β₃,ₜ = (1 − a) / ln β₁ + a / ln β₃                  a = min(1, t / t_beta3)",
    paper: "Pagliardini, Ablin & Grangier 2024, https://arxiv.org/abs/2409.03137",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention {
        name: "optax",
        options: || serde_json::to_value(AdEMAMix::optax()),
    }],
    ..Json::of::<AdEMAMix>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const WARM_UP: &str = "a finite f32 number of steps, 0 or more, or null";

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "three numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("alpha", NON_NEGATIVE),
    ("eps", NON_NEGATIVE),
    ("eps_root", NON_NEGATIVE),
    ("t_alpha", WARM_UP),
    ("t_beta3", WARM_UP),
];

fn variants() -> Vec<Variant> {
    let default = AdEMAMix::default();
    let warm = AdEMAMix { t_alpha: Some(6.0), t_beta3: Some(100.0), ..default.clone() };
    let short = AdEMAMix { betas: [0.5, 0.9, 0.95], alpha: 1.0, ..default.clone() };
    vec![
        Variant::new(1e-3, default),
        Variant::new(1e-3, warm).decay(0.1),
        Variant::new(1e-2, AdEMAMix { eps: 0.0, eps_root: 1e-6, ..short.clone() }).l2(0.1),
        Variant::new(1e-2, AdEMAMix { t_beta3: Some(20.5), ..short }).cautious(0.1).maximize(),
    ]
}

#[cfg(test)]
mod tests {
    use super::AdEMAMix;

    /// At the half-life h of a β, βʰ is ½.
    #[test]
    fn the_half_life_grows_linearly() {
        let half_life = |beta: f64| 0.5_f64.ln() / beta.ln();
        let rule = AdEMAMix { t_beta3: Some(1000.0), ..AdEMAMix::default() };
        let [first, last] = [rule.betas[0], rule.betas[2]].map(half_life);
        for t in 1..1000 {
            let expected = first + (last - first) * t as f64 / 1000.0;
            let found = half_life(rule.beta3_at(t));
            assert!((found / expected - 1.0).abs() < 1e-11, "{t}: {found} in place of {expected}");
        }
        for t in [1000, 1001, u64::MAX] {
            assert_eq!(rule.beta3_at(t), rule.betas[2]);
        }
    }

    #[test]
    fn betas_of_zero_and_warm_ups_of_no_steps_are_numbers() {
        for betas in [[0.0, 0.0, 0.9], [0.9, 0.0, 0.0], [0.0; 3]] {
            for steps in [None, Some(0.0), Some(0.5), Some(10.0)] {
                let rule =
                    AdEMAMix { betas, t_alpha: steps, t_beta3: steps, ..AdEMAMix::default() };
                for t in [1, 5, 10, 11] {
                    let (beta3, alpha) = (rule.beta3_at(t), rule.alpha_at(t));
                    assert!((0.0..1.0).contains(&beta3), "{rule:?} {t}: {beta3}");
                    assert!(alpha > 0.0 && alpha <= rule.alpha, "{rule:?} {t}: {alpha}");
                }
            }
        }
    }
}
