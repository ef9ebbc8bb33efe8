//! Schedules: numbers that change from step to step, as functions of the step alone.

mod at;
mod check;
mod new;
mod plateau;
mod range;

pub use plateau::{PlateauMode, ReduceOnPlateau, ThresholdMode};

/// An option that a schedule sets.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// The learning rate.
    Lr,
    /// The weight decay.
    WeightDecay,
    /// The rule's momentum.
    Momentum,
    /// One of the rule's β, counted from 0.
    Beta(usize),
}

/// A number for each step: a learning rate, or another option that changes in the course of training.
///
/// A schedule is a pure function of the step t = 1, 2, …, so a resumed run needs nothing but its step. The first
/// step uses what PyTorch's scheduler has before any call of its `step`, and step t what it has after t − 1 calls.
/// [`Schedule::at`] takes time that does not depend on t. The constructors have the formulas, where k = t − 1.
///
/// ```
/// use wgpu_optim::Schedule;
///
/// // 100 steps from 0 to 1e-3, then 900 steps down to 1e-5, along half a wave.
/// let lr = Schedule::warmup(100, 0.0, Schedule::cosine(1e-3, 1e-5, 900));
/// lr.check()?;
/// assert_eq!(lr.at(1), 0.0);
/// assert_eq!(lr.at(51), 0.5e-3);
/// assert_eq!(lr.at(101), 1e-3);
/// assert_eq!(lr.at(1_000_000), 1e-5);
/// # Ok::<(), wgpu_optim::Error>(())
/// ```
///
/// Every value is a finite f32 number, 0 or more, if [`Schedule::check`] passes. With the feature `serde`, a schedule
/// is an object as in CONFIG: `{"schedule": "cosine", "start": 1e-3, "end": 1e-5, "steps": 900}`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "schedule", rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Schedule {
    /// [`Schedule::constant`].
    Constant {
        /// The number at every step.
        value: f64,
    },
    /// [`Schedule::linear`].
    Linear {
        /// The first number.
        start: f64,
        /// The last number.
        end: f64,
        /// The steps on the way.
        steps: u64,
    },
    /// [`Schedule::polynomial`].
    Polynomial {
        /// The first number.
        start: f64,
        /// The last number.
        end: f64,
        /// The exponent of the part that is left.
        power: f64,
        /// The steps on the way.
        steps: u64,
    },
    /// [`Schedule::cosine`].
    Cosine {
        /// The first number.
        start: f64,
        /// The last number.
        end: f64,
        /// The steps on the way.
        steps: u64,
    },
    /// [`Schedule::cosine_restarts`].
    CosineRestarts {
        /// The first number of each cycle.
        start: f64,
        /// The number that each cycle approaches.
        end: f64,
        /// The steps of the first cycle.
        steps: u64,
        /// The length of each cycle, relative to the one before.
        factor: u64,
    },
    /// [`Schedule::exponential`].
    Exponential {
        /// The first number.
        start: f64,
        /// The factor at each step.
        gamma: f64,
    },
    /// [`Schedule::step`].
    Step {
        /// The first number.
        start: f64,
        /// The factor at the end of each stretch.
        gamma: f64,
        /// The steps of a stretch.
        every: u64,
    },
    /// [`Schedule::multi_step`].
    MultiStep {
        /// The first number.
        start: f64,
        /// The factor behind each milestone.
        gamma: f64,
        /// The steps after which the factor comes in.
        milestones: Vec<u64>,
    },
    /// [`Schedule::one_cycle`].
    OneCycle {
        /// The largest number.
        peak: f64,
        /// All steps.
        steps: u64,
        /// The part of the steps that leads to the peak.
        pct_start: f64,
        /// The peak, relative to the first number.
        div: f64,
        /// The first number, relative to the last.
        final_div: f64,
    },
    /// [`Schedule::cyclic`].
    Cyclic {
        /// The number at the start of each cycle.
        low: f64,
        /// The number between rise and fall.
        high: f64,
        /// The steps of a rise.
        up: u64,
        /// The steps of a fall.
        down: u64,
    },
    /// [`Schedule::inverse_sqrt`].
    InverseSqrt {
        /// The largest number.
        peak: f64,
        /// The step that has it.
        warmup: u64,
    },
    /// [`Schedule::wsd`].
    Wsd {
        /// The largest number.
        peak: f64,
        /// The steps of the rise.
        warmup: u64,
        /// The steps after the rise that have the peak.
        stable: u64,
        /// The steps of the fall.
        decay: u64,
        /// The last number.
        end: f64,
    },
    /// [`Schedule::piecewise`].
    Piecewise {
        /// The last step of each value but the last.
        boundaries: Vec<u64>,
        /// The values, one more than boundaries.
        values: Vec<f64>,
    },
    /// [`Schedule::warmup`].
    Warmup {
        /// The steps of the rise.
        steps: u64,
        /// The first number.
        from: f64,
        /// The schedule that follows, from its own beginning.
        then: Box<Schedule>,
    },
    /// [`Schedule::sequence`].
    Sequence {
        /// The schedules, all but the last with the number of their steps.
        parts: Vec<SchedulePart>,
    },
}

/// A schedule in a [`Schedule::sequence`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SchedulePart {
    /// The steps that it lasts; `None` for the last, which has no end. `for` in JSON.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "for", default, skip_serializing_if = "Option::is_none")
    )]
    pub steps: Option<u64>,
    /// The schedule.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub schedule: Schedule,
}

impl Schedule {
    /// The name in CONFIG, as `cosine`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant { .. } => "constant",
            Self::Linear { .. } => "linear",
            Self::Polynomial { .. } => "polynomial",
            Self::Cosine { .. } => "cosine",
            Self::CosineRestarts { .. } => "cosine_restarts",
            Self::Exponential { .. } => "exponential",
            Self::Step { .. } => "step",
            Self::MultiStep { .. } => "multi_step",
            Self::OneCycle { .. } => "one_cycle",
            Self::Cyclic { .. } => "cyclic",
            Self::InverseSqrt { .. } => "inverse_sqrt",
            Self::Wsd { .. } => "wsd",
            Self::Piecewise { .. } => "piecewise",
            Self::Warmup { .. } => "warmup",
            Self::Sequence { .. } => "sequence",
        }
    }
}

/// The number itself, at every step.
impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::constant(value)
    }
}
