#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_fraction, check_non_negative};
use super::contract::{Rule, Scalar, Slot, Start};
use super::correction::correction;
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// Yogi ([Zaheer et al. 2018](https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization)), whose
/// second moment changes by no more than a part of g² in a step.
///
/// ```text
/// m ← β₁ m + (1 − β₁) g
/// v ← v − (1 − β₂) sign(v − g²) g²
/// direction = m̂ / (√v̂ + eps)          m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
/// ```
///
/// State: `exp_avg` (m) and `exp_avg_sq` (v), both from `initial_accumulator_value`.
///
/// As `optax.yogi`; PyTorch has none. Averages that do not start at 0 are corrected as if they did, so that a
/// parameter whose gradient is 0 moves at first, and a NaN stays.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Yogi {
    /// β₁, how much of the average remains after a step, and β₂, 1 less how much of g² counts, in `[0, 1)`;
    /// `[0.9, 0.999]`.
    pub betas: [f64; 2],
    /// ε outside the root; `1e-3`.
    pub eps: f64,
    /// The number that both moments start at, 0 or more; `1e-6`.
    pub initial_accumulator_value: f64,
}

impl Default for Yogi {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-3, initial_accumulator_value: 1e-6 }
    }
}

impl Yogi {
    /// `optax.yogi`: the defaults.
    pub fn optax() -> Self {
        Self::default()
    }
}

impl Formula for Yogi {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [exp_avg, exp_avg_sq] = state else { return g };
        let [beta1, beta2] = self.betas;
        let m = exp_avg.decayed(beta1, N::scalar(1.0 - beta1) * g);
        *exp_avg = m;
        let square = g * g;
        let old = *exp_avg_sq;
        let v = old - N::scalar(1.0 - beta2) * (old - square).sign() * square;
        *exp_avg_sq = v;
        let [m_scale, v_scale] = self.betas.map(|beta| N::scalar(correction(beta, at.t)));
        m_scale * m / ((v_scale * v).sqrt() + N::scalar(self.eps))
    }
}

impl Rule for Yogi {
    fn name(&self) -> &'static str {
        "yogi"
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
        let slot = |name| Slot::starting(name, start);
        vec![slot("exp_avg").signed(), slot("exp_avg_sq").unsigned()]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        let mut all: Vec<Scalar> =
            ["beta1", "beta1_low", "gain1", "gain2"].map(Scalar::fixed).into();
        all.extend(["m_scale", "v_scale"].map(Scalar::by_step));
        all.push(Scalar::fixed("eps"));
        all
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [beta1, beta1_low] = halves(self.betas[0]);
        let [gain1, gain2] = self.betas.map(|beta| 1.0 - beta);
        let [m_scale, v_scale] = self.betas.map(|beta| correction(beta, at.t));
        out.copy_from_slice(&[beta1, beta1_low, gain1, gain2, m_scale, v_scale, self.eps]);
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("yogi", "betas[0]", self.betas[0])?;
        check_fraction("yogi", "betas[1]", self.betas[1])?;
        let initial = self.initial_accumulator_value;
        check_non_negative("yogi", "initial_accumulator_value", initial)?;
        check_epsilon("yogi", self.eps, 0.0)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "yogi",
    wgsl: include_str!("../../shaders/rule/yogi.wgsl"),
    formula: "\
        m ← β₁ m + (1 − β₁) g\n\
        v ← v − (1 − β₂) sign(v − g²) g²\n\
        direction = m̂ / (√v̂ + eps)          m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)",
    paper: "Zaheer et al. 2018, https://papers.nips.cc/paper/8186-adaptive-methods-for-nonconvex-optimization",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention { name: "optax", options: || serde_json::to_value(Yogi::optax()) }],
    ..Json::of::<Yogi>(1e-2, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", "a finite f32 number above 0, at least the smallest normal one"),
    ("initial_accumulator_value", NON_NEGATIVE),
];

fn variants() -> Vec<Variant> {
    let default = Yogi::default();
    let from_zero = Yogi { initial_accumulator_value: 0.0, ..default.clone() };
    let large = Yogi { betas: [0.0, 0.99], initial_accumulator_value: 0.1, ..default.clone() };
    vec![
        Variant::new(1e-2, default),
        Variant::new(1e-2, Yogi { betas: [0.8, 0.95], eps: 1e-5, ..from_zero.clone() }).l2(0.1),
        Variant::new(1e-3, from_zero).decay(0.1),
        Variant::new(1e-2, large).cautious(0.1).maximize(),
    ]
}
