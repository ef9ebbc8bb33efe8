#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_fraction};
use super::contract::{Rates, Rule, Scalar, Slot};
use super::correction::correction;
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// Adan ([Xie et al. 2022](https://arxiv.org/abs/2208.06677)), Nesterov's momentum by differences of gradients.
///
/// ```text
/// d = g − (g of the step before)      0 at the first step
/// m ← β₁ m + (1 − β₁) g
/// v ← β₂ v + (1 − β₂) d
/// n ← β₃ n + (1 − β₃) (g + w d)²
/// direction = (m̂ + w v̂) / (√(n̂ + eps_root) + eps)        w = 1 − β₂, or β₂ with paper
/// m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ), n̂ = n / (1 − β₃ᵗ)
/// ```
///
/// State: `exp_avg` (m), `exp_avg_diff` (v), `exp_avg_sq` (n), `prev_grad` (g). After a NaN gradient all of them stay
/// NaN; Optax's `prev_grad` does not.
///
/// As `optax.adan` by default, whose weight of differences is not the paper's; PyTorch has none.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Adan {
    /// β₁, β₂ and β₃, how much of each average remains after a step, in `[0, 1)`; `[0.98, 0.92, 0.99]`.
    pub betas: [f64; 3],
    /// ε outside the root; `1e-8`.
    pub eps: f64,
    /// ε inside the root; `1e-8`.
    pub eps_root: f64,
    /// Weigh differences by β₂, which the paper calls 1 − β₂, as its authors' code, and divide the parameter by 1 + lr·λ
    /// after the step in place of taking decoupled weight decay off the one before it; `false`.
    pub paper: bool,
}

impl Default for Adan {
    fn default() -> Self {
        Self { betas: [0.98, 0.92, 0.99], eps: 1e-8, eps_root: 1e-8, paper: false }
    }
}

impl Adan {
    /// `optax.adan`: the defaults.
    pub fn optax() -> Self {
        Self::default()
    }

    /// `pytorch_optimizer.Adan`, as the authors' own: the paper's weight of differences, and ε outside the root alone.
    pub fn pytorch_optimizer() -> Self {
        Self { eps_root: 0.0, paper: true, ..Self::default() }
    }

    /// Burn's `Adan`: as pytorch_optimizer's.
    pub fn burn() -> Self {
        Self::pytorch_optimizer()
    }

    /// The weight of differences.
    #[inline]
    fn weight(&self) -> f64 {
        if self.paper { self.betas[1] } else { 1.0 - self.betas[1] }
    }

    /// The factors of m, of v and of n at step `t`.
    #[inline]
    fn scales(&self, t: u64) -> [f64; 3] {
        let [m_scale, v_scale, n_scale] = self.betas.map(|beta| correction(beta, t));
        [m_scale, self.weight() * v_scale, n_scale]
    }
}

impl Formula for Adan {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [exp_avg, exp_avg_diff, exp_avg_sq, prev_grad] = state else { return g };
        let [beta1, beta2, beta3] = self.betas;
        let [gain1, gain2, gain3] = self.betas.map(|beta| N::scalar(1.0 - beta));
        let d = if at.t == 1 { N::scalar(0.0) } else { g - *prev_grad };
        *prev_grad = g;
        let m = exp_avg.decayed(beta1, gain1 * g);
        *exp_avg = m;
        let v = exp_avg_diff.decayed(beta2, gain2 * d);
        *exp_avg_diff = v;
        let ahead = g + N::scalar(self.weight()) * d;
        let n = exp_avg_sq.decayed(beta3, gain3 * ahead * ahead);
        *exp_avg_sq = n;
        let [m_scale, v_scale, n_scale] = self.scales(at.t).map(N::scalar);
        let moved = m_scale * m + v_scale * v;
        moved / ((n_scale * n + N::scalar(self.eps_root)).sqrt() + N::scalar(self.eps))
    }
}

impl Rule for Adan {
    fn name(&self) -> &'static str {
        "adan"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![
            Slot::zero("exp_avg").signed(),
            Slot::zero("exp_avg_diff").signed(),
            Slot::zero("exp_avg_sq").unsigned(),
            Slot::zero("prev_grad"),
        ]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        let fixed = ["beta1", "beta1_low", "gain1", "beta2", "beta2_low", "gain2"];
        let mut all: Vec<Scalar> = fixed.map(Scalar::fixed).into();
        all.extend(["beta3", "beta3_low", "gain3", "weight"].map(Scalar::fixed));
        all.extend(["first", "m_scale", "v_scale", "n_scale"].map(Scalar::by_step));
        all.extend(["eps_root", "eps"].map(Scalar::fixed));
        all
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let (averages, rest) = out.split_at_mut(9);
        for (average, beta) in averages.chunks_exact_mut(3).zip(self.betas) {
            let [keep, keep_low] = halves(beta);
            average.copy_from_slice(&[keep, keep_low, 1.0 - beta]);
        }
        let first = if at.t == 1 { 1.0 } else { 0.0 };
        let [m_scale, v_scale, n_scale] = self.scales(at.t);
        rest.copy_from_slice(&[
            self.weight(),
            first,
            m_scale,
            v_scale,
            n_scale,
            self.eps_root,
            self.eps,
        ]);
    }

    fn rates(&self, at: At) -> Rates {
        // q / (1 + x) is q − x / (1 + x) · q.
        let decay = if self.paper { at.lr / (1.0 + at.lr * at.weight_decay) } else { at.lr };
        Rates { lr: at.lr, decay }
    }

    fn decays_after(&self) -> bool {
        self.paper
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("adan", "betas[0]", self.betas[0])?;
        check_fraction("adan", "betas[1]", self.betas[1])?;
        check_fraction("adan", "betas[2]", self.betas[2])?;
        check_epsilon("adan", self.eps, self.eps_root)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "adan",
    wgsl: include_str!("../../shaders/rule/adan.wgsl"),
    formula: "\
        d = g − (g of the step before)      0 at the first step\n\
        m ← β₁ m + (1 − β₁) g\n\
        v ← β₂ v + (1 − β₂) d\n\
        n ← β₃ n + (1 − β₃) (g + w d)²\n\
        direction = (m̂ + w v̂) / (√(n̂ + eps_root) + eps)        w = 1 − β₂, or β₂ with paper\n\
        m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ), n̂ = n / (1 − β₃ᵗ)",
    paper: "Xie et al. 2022, https://arxiv.org/abs/2208.06677",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention { name: "optax", options: || serde_json::to_value(Adan::optax()) },
        Convention {
            name: "pytorch_optimizer",
            options: || serde_json::to_value(Adan::pytorch_optimizer()),
        },
        Convention { name: "burn", options: || serde_json::to_value(Adan::burn()) },
    ],
    ..Json::of::<Adan>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "three numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", NON_NEGATIVE),
    ("eps_root", NON_NEGATIVE),
    ("paper", "true or false"),
];

fn variants() -> Vec<Variant> {
    let default = Adan::default();
    let outside = Adan { betas: [0.9, 0.8, 0.95], eps: 1e-4, ..Adan::burn() };
    let inside = Adan { betas: [0.0, 0.5, 0.99999], eps: 0.0, ..default.clone() };
    vec![
        Variant::new(1e-3, default.clone()),
        Variant::new(1e-3, outside).l2(0.1),
        Variant::new(1e-2, default).decay(0.1),
        Variant::new(1e-2, Adan::burn()).decay(0.1),
        Variant::new(1e-2, inside).cautious(0.1).maximize(),
    ]
}
