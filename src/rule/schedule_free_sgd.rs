#[cfg(feature = "checkpoint")]
use super::averaging::EXPONENT;
use super::averaging::Weights;
#[cfg(feature = "checkpoint")]
use super::check::SHARE;
use super::check::check_share;
use super::contract::{Average, Rates, Rule, Scalar, Slot, Start};
use super::entry::{Entry, Variant};
use super::formula::{AHEAD, At, Formula, Past};
#[cfg(feature = "checkpoint")]
use super::json::{Convention, Json};
use crate::error::Error;
use crate::num::Number;

/// Schedule-Free SGD ([Defazio et al. 2024](https://arxiv.org/abs/2405.15682)).
///
/// ```text
/// g ← g + λ y
/// y ← y − c (y − z) − lrₜ (1 − μ (1 − c)) g
/// z ← z − lrₜ g               z starts at y; y uses the old z
/// ```
///
/// where c = wₜ / (w₁ + … + wₜ), wₜ = tʳ · lrₜᵖ with p = `weight_lr_power`, lrₜ = lr · min(1, t / `warmup_steps`), and
/// λ is decoupled weight decay, which is inside the gradient here. y is the parameter between steps, where gradients
/// are wanted; the average x, which is the result, lies on the line from z through y:
/// [`Optimizer::eval`](crate::Optimizer::eval) moves parameters there.
///
/// State: `z`. As the package `schedulefree`; the weights know the largest learning rate so far, as there.
/// Where the GPU counts steps, a rate that is set by hand counts as if it had always been; a schedule counts step by
/// step.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct ScheduleFreeSgd {
    /// μ, how far y lies from z towards the average, above 0 and below 1; `0.9`.
    pub momentum: f64,
    /// Steps over which the learning rate rises to its value, in steps; `0`.
    pub warmup_steps: u64,
    /// r, the exponent of t in the weights, from 0 to 16; `0`.
    pub r: f64,
    /// p, the exponent of the learning rate in the weights, from 0 to 16; `2`.
    pub weight_lr_power: f64,
}

impl Default for ScheduleFreeSgd {
    fn default() -> Self {
        Self { momentum: 0.9, warmup_steps: 0, r: 0.0, weight_lr_power: 2.0 }
    }
}

impl ScheduleFreeSgd {
    /// `schedulefree.SGDScheduleFree`: the defaults.
    pub fn schedulefree() -> Self {
        Self::default()
    }

    /// `optax.contrib.schedule_free_sgd`, but for its warm-up, which begins with a learning rate of 0: the defaults.
    pub fn optax() -> Self {
        Self::default()
    }

    fn weights(&self) -> Weights {
        Weights { warmup_steps: self.warmup_steps, r: self.r, power: self.weight_lr_power }
    }

    /// The part of this step in the average, the factor of the gradient in y, and in z.
    #[inline]
    fn factors(&self, at: At) -> [f64; 3] {
        let [part, ..] = at.ahead;
        let rate = at.lr * self.weights().warmup(at.t);
        [part, rate * (1.0 - self.momentum * (1.0 - part)), rate]
    }
}

impl Formula for ScheduleFreeSgd {
    // Into the CPU engine's loop, which is vectorized only as one piece.
    #[inline(always)]
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N {
        let [z] = state else { return g };
        let g = g + N::scalar(at.weight_decay) * p;
        let [part, gain, rate] = self.factors(at).map(N::scalar);
        let from_z = part * (p - *z);
        *z = *z - rate * g;
        from_z + gain * g
    }
}

impl Rule for ScheduleFreeSgd {
    fn name(&self) -> &'static str {
        "schedule_free_sgd"
    }

    fn wgsl(&self) -> &'static str {
        ENTRY.wgsl
    }

    fn slots(&self) -> Vec<Slot> {
        vec![Slot::starting("z", Start::Param)]
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
            Scalar::by_step("part"),
            Scalar::by_step_and_rate("gain"),
            rate,
            Scalar::fixed("decay"),
        ]
    }

    fn scalars(&self, at: At, out: &mut [f64]) {
        let [part, gain, rate] = self.factors(at);
        out.copy_from_slice(&[part, gain, rate, at.weight_decay]);
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
        Some(Average { slot: 0, eval: 1.0 - 1.0 / self.momentum, train: 1.0 - self.momentum })
    }

    fn check(&self) -> Result<(), Error> {
        check_share("schedule_free_sgd", "momentum", self.momentum)?;
        self.weights().check("schedule_free_sgd")
    }
}

pub(super) const ENTRY: Entry = Entry {
    name: "schedule_free_sgd",
    wgsl: include_str!("../../shaders/rule/schedule_free_sgd.wgsl"),
    formula: "\
        g ← g + λ y\n\
        y ← y − c (y − z) − lrₜ (1 − μ (1 − c)) g\n\
        z ← z − lrₜ g               z starts at y; y uses the old z",
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
            options: || serde_json::to_value(ScheduleFreeSgd::schedulefree()),
        },
        Convention { name: "optax", options: || serde_json::to_value(ScheduleFreeSgd::optax()) },
    ],
    ..Json::of::<ScheduleFreeSgd>(1.0, RANGES)
};

#[cfg(feature = "checkpoint")]
const RANGES: &[(&str, &str)] = &[
    ("momentum", SHARE),
    ("warmup_steps", "a whole number of steps"),
    ("r", EXPONENT),
    ("weight_lr_power", EXPONENT),
];

fn variants() -> Vec<Variant> {
    vec![
        Variant::new(1e-2, ScheduleFreeSgd::default()),
        Variant::new(1e-2, ScheduleFreeSgd { warmup_steps: 5, ..ScheduleFreeSgd::default() })
            .l2(0.1),
        Variant::new(
            1e-3,
            ScheduleFreeSgd { momentum: 0.5, warmup_steps: 3, r: 0.5, weight_lr_power: 1.0 },
        )
        .decay(0.1)
        .maximize(),
    ]
}
