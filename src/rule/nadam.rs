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

/// NAdam ([Dozat 2016](https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ)): ADAM with Nesterov's momentum,
/// and a momentum that grows towards β₁.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) g²
/// direction = (a g + b m) / (√(v̂ + eps_root) + eps)          v̂ = v / (1 − β₂ᵗ)
/// a = (1 − μₜ) / (1 − μ₁ ⋯ μₜ)        b = μₜ₊₁ / (1 − μ₁ ⋯ μₜ₊₁)      μₜ = β₁ (1 − ½ · 0.96^(t · momentum_decay))
/// ```
///
/// State: `exp_avg` (m), `exp_avg_sq` (v). As `torch.optim.NAdam`, which is the default here.
///
/// *Differs from PyTorch*: the product of the μ is computed for each step from t alone and not kept as
/// `mu_product`, so a β₁ or `momentum_decay` that changes counts as if it had been so from the first step.
/// Optax's `nadam` is another rule: [`Adam::nesterov`](super::Adam).
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct NAdam {
    /// β₁ and β₂, how much of each average remains after a step, in `[0, 1)`; `[0.9, 0.999]`.
    pub betas: [f64; 2],
    /// ε outside the root; `1e-8`.
    pub eps: f64,
    /// ε inside the root; `0`.
    pub eps_root: f64,
    /// How fast the momentum grows from β₁ / 2 to β₁, 0 or more; `0.004`.
    pub momentum_decay: f64,
}

/// Terms of the series: the first that is left out is below 2⁻⁵⁶ of the sum.
const TERMS: u32 = 56;

impl Default for NAdam {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, eps_root: 0.0, momentum_decay: 4e-3 }
    }
}

impl NAdam {
    /// `torch.optim.NAdam`: the defaults.
    pub fn pytorch() -> Self {
        Self::default()
    }

    /// `keras.optimizers.Nadam`: ε = 1e-7, and a momentum that grows 250 times as fast.
    pub fn keras() -> Self {
        Self { eps: 1e-7, momentum_decay: 1.0, ..Self::default() }
    }

    /// μ of a step.
    fn mu(&self, t: u64) -> f64 {
        self.betas[0] * (1.0 - 0.5 * 0.96_f64.powf(t as f64 * self.momentum_decay))
    }

    /// μ₁ ⋯ μₜ, in a time that does not grow with t. With q = 0.96^momentum_decay, the logarithm of the factors
    /// 1 − ½ qⁱ is a series of powers of ½ qⁱ, and each power is a geometric series over i.
    fn product(&self, t: u64) -> f64 {
        let (t, decay) = (t as f64, self.momentum_decay * -0.96_f64.ln());
        let logarithm: f64 = (1..=TERMS)
            .map(|k| {
                let k = f64::from(k);
                // qᵏ (1 − qᵏᵗ) / (1 − qᵏ), of which the fraction is t where q is 1.
                let sum = match k * decay {
                    0.0 => t,
                    rate => (-rate).exp() * (-rate * t).exp_m1() / (-rate).exp_m1(),
                };
                -sum * 0.5_f64.powf(k) / k
            })
            .sum();
        self.betas[0].powf(t) * logarithm.exp()
    }
}

impl Formula for NAdam {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [m, v] = state else { return g };
        let [beta1, beta2] = self.betas;
        *m = m.decayed(beta1, N::scalar(1.0 - beta1) * g);
        *v = v.decayed(beta2, N::scalar(1.0 - beta2) * g * g);
        let [v_scale, g_scale, m_scale, ..] = at.ahead.map(N::scalar);
        let root = (v_scale * *v + N::scalar(self.eps_root)).sqrt();
        (g_scale * g + m_scale * *m) / (root + N::scalar(self.eps))
    }
}

impl Rule for NAdam {
    fn name(&self) -> &'static str {
        "nadam"
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
            Scalar::by_step("v_scale"),
            Scalar::by_step("g_scale"),
            Scalar::by_step("m_scale"),
            Scalar::fixed("eps_root"),
            Scalar::fixed("eps"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [[beta1, beta1_low], [beta2, beta2_low]] = self.betas.map(halves);
        let [gain1, gain2] = self.betas.map(|beta| 1.0 - beta);
        let [v_scale, g_scale, m_scale, _] = at.ahead;
        out.copy_from_slice(&[
            beta1,
            beta1_low,
            gain1,
            beta2,
            beta2_low,
            gain2,
            v_scale,
            g_scale,
            m_scale,
            self.eps_root,
            self.eps,
        ]);
    }

    fn ahead(&self, At { t, .. }: At) -> [f64; AHEAD] {
        let (product, next) = (self.product(t), self.mu(t + 1));
        let v_scale = correction(self.betas[1], t);
        [v_scale, (1.0 - self.mu(t)) / (1.0 - product), next / (1.0 - product * next), 0.0]
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("nadam", "betas[0]", self.betas[0])?;
        check_fraction("nadam", "betas[1]", self.betas[1])?;
        check_non_negative("nadam", "momentum_decay", self.momentum_decay)?;
        check_epsilon("nadam", self.eps, self.eps_root)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "nadam",
    wgsl: include_str!("../../shaders/rule/nadam.wgsl"),
    formula: "\
        m ← β₁ m + (1 − β₁) g\n\
        v ← β₂ v + (1 − β₂) g²\n\
        direction = (a g + b m) / (√(v̂ + eps_root) + eps)          v̂ = v / (1 − β₂ᵗ)\n\
        a = (1 − μₜ) / (1 − μ₁ ⋯ μₜ)        b = μₜ₊₁ / (1 − μ₁ ⋯ μₜ₊₁)      μₜ = β₁ (1 − ½ · 0.96^(t · momentum_decay))",
    paper: "Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "pytorch", options: || serde_json::to_value(NAdam::pytorch()) },
        Convention { name: "keras", options: || serde_json::to_value(NAdam::keras()) },
    ],
    ..Json::of::<NAdam>(2e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", NON_NEGATIVE),
    ("eps_root", NON_NEGATIVE),
    ("momentum_decay", NON_NEGATIVE),
];

fn variants() -> Vec<Variant> {
    let default = NAdam::default();
    vec![
        Variant::new(2e-3, default.clone()),
        Variant::new(2e-3, NAdam { momentum_decay: 0.3, ..default.clone() }).l2(0.1),
        Variant::new(1e-2, NAdam::keras()).decay(0.1).maximize(),
        Variant::new(1e-3, NAdam { betas: [0.5, 0.9], eps: 0.0, eps_root: 1e-6, ..default }),
    ]
}

#[cfg(test)]
mod tests {
    use super::NAdam;

    /// Relative to the product while that counts beside 1, from which it is taken.
    #[test]
    fn the_product_is_that_of_its_factors() {
        for momentum_decay in [0.0, 1e-300, 1e-9, 4e-3, 0.3, 1.0, 50.0, 1e300] {
            for beta1 in [0.99, 0.9, 0.5, 0.0] {
                let rule = NAdam { betas: [beta1, 0.999], momentum_decay, ..NAdam::default() };
                let mut product = 1.0;
                for t in 1..2000 {
                    product *= rule.mu(t);
                    let found = rule.product(t);
                    let off = (found - product).abs();
                    let allowed = 1e-13 * product.max(1e-40);
                    assert!(off <= allowed, "{rule:?} {t}: {found:e} {product:e}");
                }
                for t in [1_000_000_000, 1 << 62] {
                    assert!((0.0..1e-9).contains(&rule.product(t)), "{rule:?} {t}");
                }
            }
        }
    }
}
