#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_fraction};
use super::contract::{Rule, Scalar, Slot};
use super::correction::{correction, momentum_scales};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// AdaBelief ([Zhuang et al. 2020](https://arxiv.org/abs/2010.07468)), which divides by how far gradients are from
/// their average.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// s ← β₂ s + (1 − β₂) (g − m)² + eps_root
/// direction = m̂ / (√ŝ + eps)                        m̂ = m / (1 − β₁ᵗ), ŝ = s / (1 − β₂ᵗ)
/// m̂ = β₁ m / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)   with Nesterov
/// ```
///
/// State: `exp_avg` (m), `exp_avg_var` (s).
///
/// As `optax.adabelief`; PyTorch has none. `eps_root` enters the state at every step, so that it adds up to
/// `eps_root` / (1 − β₂).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct AdaBelief {
    /// β₁ and β₂, how much of each average remains after a step, in `[0, 1)`; `[0.9, 0.999]`.
    pub betas: [f64; 2],
    /// ε outside the root; `1e-16`.
    pub eps: f64,
    /// ε added to the state at every step, and so inside the root; `1e-16`.
    pub eps_root: f64,
    /// Look ahead along the momentum, as `optax.nadam` does; `false`.
    pub nesterov: bool,
}

impl Default for AdaBelief {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-16, eps_root: 1e-16, nesterov: false }
    }
}

impl AdaBelief {
    /// `optax.adabelief`: the defaults.
    pub fn optax() -> Self {
        Self::default()
    }

    /// The factors of m, of g and of s at step `t`.
    #[inline]
    fn scales(&self, t: u64) -> [f64; 3] {
        let [m_scale, g_scale] = momentum_scales(self.nesterov, self.betas[0], t);
        [m_scale, g_scale, correction(self.betas[1], t)]
    }
}

impl Formula for AdaBelief {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [exp_avg, exp_avg_var] = state else { return g };
        let [beta1, beta2] = self.betas;
        let m = exp_avg.decayed(beta1, N::scalar(1.0 - beta1) * g);
        *exp_avg = m;
        let surprise = g - m;
        let square = N::scalar(1.0 - beta2) * surprise * surprise + N::scalar(self.eps_root);
        let s = exp_avg_var.decayed(beta2, square);
        *exp_avg_var = s;
        let [m_scale, g_scale, s_scale] = self.scales(at.t);
        let mut m_hat = N::scalar(m_scale) * m;
        if self.nesterov {
            m_hat = m_hat + N::scalar(g_scale) * g;
        }
        m_hat / ((N::scalar(s_scale) * s).sqrt() + N::scalar(self.eps))
    }
}

impl Rule for AdaBelief {
    fn name(&self) -> &'static str {
        "adabelief"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("exp_avg").signed(), Slot::zero("exp_avg_var").unsigned()]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        vec![("NESTEROV", self.nesterov)]
    }

    fn hyper(&self) -> Vec<Scalar> {
        let fixed = ["beta1", "beta1_low", "gain1", "beta2", "beta2_low", "gain2"];
        let mut all: Vec<Scalar> = fixed.map(Scalar::fixed).into();
        all.extend(["m_scale", "s_scale"].map(Scalar::by_step));
        all.extend(["eps_root", "eps"].map(Scalar::fixed));
        all.push(Scalar::by_step_if(self.nesterov, "g_scale"));
        all
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [[beta1, beta1_low], [beta2, beta2_low]] = self.betas.map(halves);
        let [gain1, gain2] = self.betas.map(|beta| 1.0 - beta);
        let [m_scale, g_scale, s_scale] = self.scales(at.t);
        let Self { eps, eps_root, .. } = *self;
        let averages = [beta1, beta1_low, gain1, beta2, beta2_low, gain2];
        let (first, rest) = out.split_at_mut(averages.len());
        first.copy_from_slice(&averages);
        rest.copy_from_slice(&[m_scale, s_scale, eps_root, eps, g_scale]);
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("adabelief", "betas[0]", self.betas[0])?;
        check_fraction("adabelief", "betas[1]", self.betas[1])?;
        check_epsilon("adabelief", self.eps, self.eps_root)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "adabelief",
    wgsl: include_str!("../../shaders/rule/adabelief.wgsl"),
    formula: "\
        m ← β₁ m + (1 − β₁) g\n\
        s ← β₂ s + (1 − β₂) (g − m)² + eps_root\n\
        direction = m̂ / (√ŝ + eps)                        m̂ = m / (1 − β₁ᵗ), ŝ = s / (1 − β₂ᵗ)\n\
        m̂ = β₁ m / (1 − β₁ᵗ⁺¹) + (1 − β₁) g / (1 − β₁ᵗ)   with Nesterov",
    paper: "Zhuang et al. 2020, https://arxiv.org/abs/2010.07468",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention {
        name: "optax",
        options: || serde_json::to_value(AdaBelief::optax()),
    }],
    ..Json::of::<AdaBelief>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", NON_NEGATIVE),
    ("eps_root", NON_NEGATIVE),
    ("nesterov", "true or false"),
];

fn variants() -> Vec<Variant> {
    let default = AdaBelief::default();
    let nesterov = AdaBelief { nesterov: true, ..default.clone() };
    let outside = AdaBelief { betas: [0.8, 0.95], eps: 1e-8, eps_root: 0.0, ..default.clone() };
    let inside =
        AdaBelief { betas: [0.95, 0.99999], eps: 0.0, eps_root: 1e-12, ..nesterov.clone() };
    vec![
        Variant::new(1e-3, default),
        Variant::new(1e-3, nesterov).l2(0.1),
        Variant::new(1e-2, outside).decay(0.1),
        Variant::new(1e-2, inside).cautious(0.1).maximize(),
    ]
}
