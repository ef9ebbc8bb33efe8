#[cfg(feature = "checkpoint")]
use super::averaging::EXPONENT;
use super::averaging::Weights;
#[cfg(feature = "checkpoint")]
use super::check::NON_NEGATIVE;
use super::check::{check_epsilon, check_fraction, check_share};
use super::contract::{Average, Rates, Rule, Scalar, Slot, Start};
use super::correction::correction;
use super::entry::{Entry, Variant};
use super::formula::{AHEAD, At, Formula, Past};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::{Number, halves};
use crate::schedule::Target;

/// Schedule-Free AdamW ([Defazio et al. 2024](https://arxiv.org/abs/2405.15682)).
///
/// ```text
/// v ← β₂ v + (1 − β₂) g²
/// n = g / (√(v / (1 − β₂ᵗ)) + eps) + λ y
/// y ← y − c (y − z) − lrₜ (1 − β₁ (1 − c)) n
/// z ← z − lrₜ n               z starts at y; y uses the old z
/// ```
///
/// where c = wₜ / (w₁ + … + wₜ), wₜ = tʳ · lrₜᵖ with p = `weight_lr_power`, lrₜ = lr · min(1, t / `warmup_steps`), and
/// λ is decoupled weight decay, which is inside the gradient here. y is the parameter between steps, where gradients
/// are wanted; the average x, which is the result, lies on the line from z through y:
/// [`Optimizer::eval`](crate::Optimizer::eval) moves parameters there.
///
/// State: `z`, `exp_avg_sq` (v). As the package `schedulefree`; the weights know the largest learning rate so far, as there.
/// Where the GPU counts steps, a rate that is set by hand counts as if it had always been; a schedule counts step by
/// step.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct ScheduleFreeAdamw {
    /// β₁, how far y lies from z towards the average, above 0 and below 1, and β₂, how much of v remains after a
    /// step, in `[0, 1)`; `[0.9, 0.999]`.
    pub betas: [f64; 2],
    /// ε outside the root, above 0; `1e-8`.
    pub eps: f64,
    /// Steps over which the learning rate rises to its value, in steps; `0`.
    pub warmup_steps: u64,
    /// r, the exponent of t in the weights, from 0 to 16; `0`.
    pub r: f64,
    /// p, the exponent of the learning rate in the weights, from 0 to 16; `2`.
    pub weight_lr_power: f64,
}

impl Default for ScheduleFreeAdamw {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, warmup_steps: 0, r: 0.0, weight_lr_power: 2.0 }
    }
}

impl ScheduleFreeAdamw {
    /// `schedulefree.AdamWScheduleFree`: the defaults.
    pub fn schedulefree() -> Self {
        Self::default()
    }

    /// `optax.contrib.schedule_free_adamw`, but for its warm-up, which begins with a learning rate of 0: the defaults.
    pub fn optax() -> Self {
        Self::default()
    }

    /// `keras.optimizers.ScheduleFreeAdamW`, but for its weight decay: all steps have the same weight.
    pub fn keras() -> Self {
        Self { weight_lr_power: 0.0, ..Self::default() }
    }

    fn weights(&self) -> Weights {
        Weights { warmup_steps: self.warmup_steps, r: self.r, power: self.weight_lr_power }
    }

    /// 1 / (1 − β₂ᵗ).
    #[inline]
    fn v_scale(&self, t: u64) -> f64 {
        correction(self.betas[1], t)
    }

    /// The part of this step in the average, the factor of the gradient in y, and in z.
    #[inline]
    fn factors(&self, at: At) -> [f64; 3] {
        let [part, ..] = at.ahead;
        let rate = at.lr * self.weights().warmup(at.t);
        [part, rate * (1.0 - self.betas[0] * (1.0 - part)), rate]
    }
}

impl Formula for ScheduleFreeAdamw {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N {
        let [z, v] = state else { return g };
        let beta2 = self.betas[1];
        *v = v.decayed(beta2, N::scalar(1.0 - beta2) * g * g);
        let root = (N::scalar(self.v_scale(at.t)) * *v).sqrt();
        let n = g / (root + N::scalar(self.eps)) + N::scalar(at.weight_decay) * p;
        let [part, gain, rate] = self.factors(at).map(N::scalar);
        let from_z = part * (p - *z);
        *z = *z - rate * n;
        from_z + gain * n
    }
}

impl Rule for ScheduleFreeAdamw {
    fn name(&self) -> &'static str {
        "schedule_free_adamw"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::starting("z", Start::Param), Slot::zero("exp_avg_sq").unsigned()]
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    fn hyper(&self) -> Vec<Scalar> {
        let rate = match self.warmup_steps {
            0 => Scalar::fixed("rate"),
            _ => Scalar::by_step_and_rate("rate"),
        };
        vec![
            Scalar::fixed("beta2"),
            Scalar::fixed("beta2_low"),
            Scalar::fixed("gain2"),
            Scalar::by_step("v_scale"),
            Scalar::fixed("eps"),
            Scalar::by_step("part"),
            Scalar::by_step_and_rate("gain"),
            rate,
            Scalar::fixed("decay"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let beta2 = self.betas[1];
        let [high, low] = halves(beta2);
        let [part, gain, rate] = self.factors(at);
        let (v_scale, decay) = (self.v_scale(at.t), at.weight_decay);
        out.copy_from_slice(&[high, low, 1.0 - beta2, v_scale, self.eps, part, gain, rate, decay]);
    }

    fn remember(&self, at: At, before: Option<Past>) -> Option<Past> {
        Some(self.weights().remember(at.t, at.lr, before))
    }

    fn ahead(&self, at: At) -> [f64; AHEAD] {
        [self.weights().part_of(at.t, at.past), 0.0, 0.0, 0.0]
    }

    // The direction is the whole move, and has the weight decay in it.
    fn rates(&self, _: At) -> Rates {
        Rates { lr: 1.0, decay: 0.0 }
    }

    fn average(&self) -> Option<Average> {
        Some(Average { slot: 0, eval: 1.0 - 1.0 / self.betas[0], train: 1.0 - self.betas[0] })
    }

    fn scheduled(&mut self, target: Target) -> Option<&mut f64> {
        // β₁ is where the average lies, which must not move.
        (target == Target::Beta(1)).then_some(&mut self.betas[1])
    }

    fn check(&self) -> Result<(), Error> {
        check_share("schedule_free_adamw", "betas[0]", self.betas[0])?;
        check_fraction("schedule_free_adamw", "betas[1]", self.betas[1])?;
        check_epsilon("schedule_free_adamw", self.eps, 0.0)?;
        self.weights().check("schedule_free_adamw")
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "schedule_free_adamw",
    wgsl: include_str!("../../shaders/rule/schedule_free_adamw.wgsl"),
    formula: "\
        v ← β₂ v + (1 − β₂) g²\n\
        n = g / (√(v / (1 − β₂ᵗ)) + eps) + λ y\n\
        y ← y − c (y − z) − lrₜ (1 − β₁ (1 − c)) n\n\
        z ← z − lrₜ n               z starts at y; y uses the old z",
    paper: "Defazio et al. 2024, https://arxiv.org/abs/2405.15682",
    variants,
    #[cfg(feature = "checkpoint")]
    json: JSON,
};

#[cfg(feature = "checkpoint")]
const JSON: Json = Json {
    conventions: &[
        Convention {
            name: "schedulefree",
            options: || serde_json::to_value(ScheduleFreeAdamw::schedulefree()),
        },
        Convention { name: "optax", options: || serde_json::to_value(ScheduleFreeAdamw::optax()) },
        Convention { name: "keras", options: || serde_json::to_value(ScheduleFreeAdamw::keras()) },
    ],
    ..Json::of::<ScheduleFreeAdamw>(2.5e-3, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    (
        "betas",
        "two numbers, the first above 0, each at least 0 and below 1 (also when rounded to f32)",
    ),
    ("eps", NON_NEGATIVE),
    ("warmup_steps", "a whole number of steps"),
    ("r", EXPONENT),
    ("weight_lr_power", EXPONENT),
];

fn variants() -> Vec<Variant> {
    let default = ScheduleFreeAdamw::default();
    vec![
        Variant::new(2.5e-3, default.clone()),
        Variant::new(1e-2, ScheduleFreeAdamw { warmup_steps: 5, ..default.clone() }).l2(0.1),
        Variant::new(
            1e-3,
            ScheduleFreeAdamw {
                betas: [0.5, 0.95],
                eps: 1e-4,
                warmup_steps: 3,
                r: 0.5,
                weight_lr_power: 1.0,
            },
        )
        .decay(0.1)
        .maximize(),
    ]
}
