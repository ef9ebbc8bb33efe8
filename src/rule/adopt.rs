#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_fraction};
use super::contract::{Rule, Scalar, Slot};
use super::entry::{Entry, Variant};
use super::formula::{At, Formula};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// ADOPT ([Taniguchi et al. 2024, algorithm 2](https://arxiv.org/abs/2411.02853)): ADAM that divides each gradient by
/// the second moment of the steps before, so that it converges with any β₂.
///
/// ```text
/// n = g / max(√v, eps), limited to ±(t − 1)^¼        with the v of the steps before
/// m ← β₁ m + (1 − β₁) n
/// v ← β₂ v + (1 − β₂) g², and g² at the first step
/// direction = m, or β₁ m + (1 − β₁) n with Nesterov
/// ```
///
/// State: `exp_avg` (m), `exp_avg_sq` (v). As `optax.contrib.adopt`: the first step sets v and moves nothing, except
/// that decoupled weight decay counts.
///
/// *Differs from PyTorch*, which has no such optimizer.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Adopt {
    /// β₁ and β₂, how much of each average remains after a step, in `[0, 1)`; `[0.9, 0.9999]`.
    pub betas: [f64; 2],
    /// ε, the smallest number that a gradient is divided by, above 0; `1e-6`.
    pub eps: f64,
    /// Look ahead along the momentum; `false`.
    pub nesterov: bool,
}

impl Default for Adopt {
    fn default() -> Self {
        Self { betas: [0.9, 0.9999], eps: 1e-6, nesterov: false }
    }
}

impl Adopt {
    /// `optax.contrib.adopt`: the defaults.
    pub fn optax() -> Self {
        Self::default()
    }

    /// β₂ at step `t`: nothing of v is there at the first.
    #[inline]
    fn beta2_at(&self, t: u64) -> f64 {
        if t == 1 { 0.0 } else { self.betas[1] }
    }
}

/// (t − 1)^¼.
#[inline]
fn limit(t: u64) -> f64 {
    (t.saturating_sub(1) as f64).sqrt().sqrt()
}

impl Formula for Adopt {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, _: N, g: N, state: &mut [N], at: At) -> N {
        let [m, v] = state else { return g };
        let (beta1, beta2) = (self.betas[0], self.beta2_at(at.t));
        let [low, high] = [-limit(at.t), limit(at.t)].map(N::scalar);
        let n = (g / v.sqrt().larger(N::scalar(self.eps))).clamp(low, high);
        *m = m.decayed(beta1, N::scalar(1.0 - beta1) * n);
        *v = v.decayed(beta2, N::scalar(1.0 - beta2) * g * g);
        if self.nesterov { m.decayed(beta1, N::scalar(1.0 - beta1) * n) } else { *m }
    }
}

impl Rule for Adopt {
    fn name(&self) -> &'static str {
        "adopt"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::zero("exp_avg").signed(), Slot::zero("exp_avg_sq").unsigned()]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        vec![("NESTEROV", self.nesterov)]
    }

    fn hyper(&self) -> Vec<Scalar> {
        vec![
            Scalar::fixed("beta1"),
            Scalar::fixed("beta1_low"),
            Scalar::fixed("gain1"),
            Scalar::by_step("beta2"),
            Scalar::by_step("beta2_low"),
            Scalar::by_step("gain2"),
            Scalar::fixed("eps"),
            Scalar::by_step("limit"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let betas = [self.betas[0], self.beta2_at(at.t)];
        let [[beta1, beta1_low], [beta2, beta2_low]] = betas.map(halves);
        let [gain1, gain2] = betas.map(|beta| 1.0 - beta);
        out.copy_from_slice(&[
            beta1,
            beta1_low,
            gain1,
            beta2,
            beta2_low,
            gain2,
            self.eps,
            limit(at.t),
        ]);
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        match target {
            Target::Beta(i) => self.betas.get_mut(i),
            _ => None,
        }
    }

    fn check(&self) -> Result<(), Error> {
        check_fraction("adopt", "betas[0]", self.betas[0])?;
        check_fraction("adopt", "betas[1]", self.betas[1])?;
        check_epsilon("adopt", self.eps, 0.0)
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "adopt",
    wgsl: include_str!("../../shaders/rule/adopt.wgsl"),
    formula: "\
        n = g / max(√v, eps), limited to ±(t − 1)^¼        with the v of the steps before\n\
        m ← β₁ m + (1 − β₁) n\n\
        v ← β₂ v + (1 − β₂) g², and g² at the first step\n\
        direction = m, or β₁ m + (1 − β₁) n with Nesterov",
    paper: "Taniguchi et al. 2024, https://arxiv.org/abs/2411.02853",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[Convention { name: "optax", options: || serde_json::to_value(Adopt::optax()) }],
    ..Json::of::<Adopt>(1e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("betas", "two numbers, each at least 0 and below 1 (also when rounded to f32)"),
    ("eps", NON_NEGATIVE),
    ("nesterov", "true or false"),
];

fn variants() -> Vec<Variant> {
    let default = Adopt::default();
    let short = Adopt { betas: [0.5, 0.9], eps: 1e-2, nesterov: true };
    vec![
        Variant::new(1e-3, default.clone()),
        Variant::new(1e-3, Adopt { nesterov: true, ..default.clone() }).decay(0.1),
        Variant::new(1e-2, Adopt { betas: [0.95, 0.99], eps: 1e-10, ..default }).cautious(0.1),
        Variant::new(1e-2, short).l2(0.1).maximize(),
    ]
}
