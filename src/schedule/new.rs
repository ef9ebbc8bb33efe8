//! The constructors of schedules, with their formulas.

use super::{Schedule, SchedulePart};

impl Schedule {
    /// One number at every step.
    ///
    /// PyTorch: no scheduler. Optax: `constant_schedule`.
    pub fn constant(value: f64) -> Self {
        Self::Constant { value }
    }

    /// A straight line in `steps` steps, then `end`.
    ///
    /// ```text
    /// start + (end − start) · min(k / steps, 1)
    /// ```
    ///
    /// PyTorch: `LinearLR`, whose factors are relative to the optimizer's rate. Optax: `linear_schedule`.
    pub fn linear(start: f64, end: f64, steps: u64) -> Self {
        Self::Linear { start, end, steps }
    }

    /// A power of the part that is left, in `steps` steps, then `end`.
    ///
    /// ```text
    /// end + (start − end) · (1 − min(k / steps, 1))^power
    /// ```
    ///
    /// PyTorch: `PolynomialLR`, whose end is 0. Optax: `polynomial_schedule`.
    pub fn polynomial(start: f64, end: f64, power: f64, steps: u64) -> Self {
        Self::Polynomial { start, end, power, steps }
    }

    /// Half a wave in `steps` steps, then `end` ([Loshchilov & Hutter 2017](https://arxiv.org/abs/1608.03983)).
    ///
    /// ```text
    /// end + (start − end) · (1 + cos(π · min(k / steps, 1))) / 2
    /// ```
    ///
    /// PyTorch: `CosineAnnealingLR` up to `T_max`; *differs from PyTorch* after that, where PyTorch's rises again.
    /// Optax: `cosine_decay_schedule` with `alpha` = end / start.
    pub fn cosine(start: f64, end: f64, steps: u64) -> Self {
        Self::Cosine { start, end, steps }
    }

    /// Half a wave in `steps` steps, then again from `start`, each time `factor` times as long
    /// ([Loshchilov & Hutter 2017](https://arxiv.org/abs/1608.03983)).
    ///
    /// ```text
    /// end + (start − end) · (1 + cos(π · i / n)) / 2      i: the steps before this one in its cycle of n
    /// ```
    ///
    /// PyTorch: `CosineAnnealingWarmRestarts` (`T_0`, `T_mult`). Optax: `sgdr_schedule`, cycle by cycle.
    pub fn cosine_restarts(start: f64, end: f64, steps: u64, factor: u64) -> Self {
        Self::CosineRestarts { start, end, steps, factor }
    }

    /// A factor at each step.
    ///
    /// ```text
    /// start · gamma^k
    /// ```
    ///
    /// With a `gamma` above 1 it grows, up to the largest f32 number.
    ///
    /// PyTorch: `ExponentialLR`. Optax: `exponential_decay` with `gamma` = `decay_rate`^(1 / `transition_steps`).
    pub fn exponential(start: f64, gamma: f64) -> Self {
        Self::Exponential { start, gamma }
    }

    /// A factor after every `every` steps.
    ///
    /// ```text
    /// start · gamma^⌊k / every⌋
    /// ```
    ///
    /// PyTorch: `StepLR`. Optax: `exponential_decay` with `staircase`.
    pub fn step(start: f64, gamma: f64, every: u64) -> Self {
        Self::Step { start, gamma, every }
    }

    /// A factor after each milestone.
    ///
    /// ```text
    /// start · gamma^(number of milestones ≤ k)
    /// ```
    ///
    /// PyTorch: `MultiStepLR`. Optax: `piecewise_constant_schedule` with the same scale at each boundary.
    pub fn multi_step(start: f64, gamma: f64, milestones: impl Into<Vec<u64>>) -> Self {
        Self::MultiStep { start, gamma, milestones: milestones.into() }
    }

    /// Half a wave up to `peak` and another down, then the end
    /// ([Smith & Topin 2018](https://arxiv.org/abs/1708.07120)).
    ///
    /// ```text
    /// from peak / div                at k = 0
    /// to   peak                      at k = pct_start · steps − 1
    /// to   peak / div / final_div    at k = steps − 1, and from there on
    /// ```
    ///
    /// PyTorch: `OneCycleLR` with `anneal_strategy="cos"` and two phases, `div_factor` and `final_div_factor`;
    /// *differs from PyTorch* after the last step, where PyTorch's raises. Optax: `cosine_onecycle_schedule`, whose
    /// peak is at k = ⌊pct_start · steps⌋ and whose end is at k = steps.
    pub fn one_cycle(peak: f64, steps: u64, pct_start: f64, div: f64, final_div: f64) -> Self {
        Self::OneCycle { peak, steps, pct_start, div, final_div }
    }

    /// A straight line from `low` to `high` in `up` steps, another back in `down` steps, and so on
    /// ([Smith 2017](https://arxiv.org/abs/1506.01186)).
    ///
    /// ```text
    /// low + (high − low) · i / up                  i = k mod (up + down), up to i = up
    /// low + (high − low) · (up + down − i) / down  after that
    /// ```
    ///
    /// PyTorch: `CyclicLR` with `mode="triangular"`, `step_size_up` and `step_size_down`. Optax: none.
    pub fn cyclic(low: f64, high: f64, up: u64, down: u64) -> Self {
        Self::Cyclic { low, high, up, down }
    }

    /// A straight line from 0 to `peak` at step `warmup`, then the inverse square root of the step, Noam's schedule
    /// ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762)).
    ///
    /// ```text
    /// peak · min(t / warmup, √(warmup / t))
    /// ```
    ///
    /// PyTorch: `LambdaLR` with that function. Optax: none.
    pub fn inverse_sqrt(peak: f64, warmup: u64) -> Self {
        Self::InverseSqrt { peak, warmup }
    }

    /// Warm-up, stable, decay: a straight line from 0 to `peak`, the peak for `stable` steps, a straight line to `end`
    /// ([Hu et al. 2024](https://arxiv.org/abs/2404.06395)).
    ///
    /// ```text
    /// peak · t / warmup                           up to t = warmup
    /// peak                                        for `stable` more steps
    /// peak + (end − peak) · min(i / decay, 1)     at the i-th step after those
    /// ```
    ///
    /// PyTorch: `SequentialLR` of `LinearLR`, `ConstantLR` and `LinearLR`. Optax: `join_schedules` of such.
    pub fn wsd(peak: f64, warmup: u64, stable: u64, decay: u64, end: f64) -> Self {
        Self::Wsd { peak, warmup, stable, decay, end }
    }

    /// One value up to each boundary, and the last after all of them.
    ///
    /// ```text
    /// values[number of boundaries ≤ k]      the first value for the first boundaries[0] steps
    /// ```
    ///
    /// PyTorch: `LambdaLR`. Optax: `piecewise_constant_schedule`, which has factors in place of values.
    pub fn piecewise(boundaries: impl Into<Vec<u64>>, values: impl Into<Vec<f64>>) -> Self {
        Self::Piecewise { boundaries: boundaries.into(), values: values.into() }
    }

    /// A straight line to the first value of `then` in `steps` steps, then that schedule from its own beginning.
    ///
    /// ```text
    /// from + (then(1) − from) · k / steps      up to t = steps
    /// then(t − steps)                          after that
    /// ```
    ///
    /// PyTorch: `SequentialLR` of `LinearLR` and another. Optax: `warmup_cosine_decay_schedule` and the like.
    pub fn warmup(steps: u64, from: f64, then: impl Into<Self>) -> Self {
        Self::Warmup { steps, from, then: Box::new(then.into()) }
    }

    /// Schedules one after another, each for its number of steps and from its own beginning, and `last` without end.
    ///
    /// ```
    /// use wgpu_optim::Schedule;
    ///
    /// let lr = Schedule::sequence([(10, 1e-3.into())], Schedule::linear(1e-3, 0.0, 90));
    /// assert_eq!([10, 11, 56, 101].map(|t| lr.at(t)), [1e-3, 1e-3, 0.5e-3, 0.0]);
    /// ```
    ///
    /// PyTorch: `SequentialLR`, whose milestones are sums of these numbers. Optax: `join_schedules`.
    pub fn sequence(parts: impl IntoIterator<Item = (u64, Self)>, last: impl Into<Self>) -> Self {
        let parts = parts.into_iter().map(|(steps, schedule)| (Some(steps), schedule));
        let all = parts.chain(std::iter::once((None, last.into())));
        let parts = all.map(|(steps, schedule)| SchedulePart { steps, schedule }).collect();
        Self::Sequence { parts }
    }
}
