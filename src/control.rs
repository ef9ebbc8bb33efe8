//! The options for gradients before the rules see them, and for steps that are not taken.

use crate::error::Error;

/// Clipping, loss scaling and skipping, for all groups of an [`Optimizer`](crate::Optimizer) together.
///
/// A rule sees this of a gradient as the backward pass wrote it:
///
/// ```text
/// g ← mean of g                                      if they were added up
/// g ← g / loss_scale
/// g ← g limited to ±clip_value                       if that is given
/// g ← g · min(1, clip_norm / (‖all g‖ + 1e-6))       if that is given
/// ```
///
/// All of it happens in the step's own pass over the gradients, and none of it is written back: what
/// needs the norm reads the gradients once more, nothing else costs traffic. Nothing is read back.
///
/// *Differs from PyTorch*: `clip_grad_value_` and `clip_grad_norm_` are calls in any order; here the
/// value comes first.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Control {
    /// The largest norm, 0 or more, over all parameters of all groups; `None`: as
    /// `torch.nn.utils.clip_grad_norm_`.
    pub clip_norm: Option<f64>,
    /// Which norm `clip_norm` limits and [`Stats`] tells; [`Norm::Euclidean`].
    pub norm: Norm,
    /// The largest magnitude of an element, above 0; `None`: as `torch.nn.utils.clip_grad_value_`.
    pub clip_value: Option<f64>,
    /// The factor of the loss, and with it of each gradient; [`LossScale::Fixed`] of 1.
    pub loss_scale: LossScale,
    /// Whether one Inf or NaN in any gradient of any group leaves every parameter and all state as
    /// they are and does not count as a step; `false`. [`LossScale::Dynamic`] always does so.
    pub skip_nonfinite: bool,
    /// The result of gradients that [`Optimizer::accumulate`](crate::Optimizer::accumulate) has
    /// added up; [`Accumulation::Mean`].
    pub accumulation: Accumulation,
    /// Whether gradients are zero once they are used: those of a step, whether it is taken or not, or,
    /// where they are added up, those added. Costs 4 bytes an f32 gradient more, and a backward pass that
    /// adds to them needs no pass of its own for it. No two may then share an element; `false`.
    pub zero_grad: bool,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            clip_norm: None,
            norm: Norm::Euclidean,
            clip_value: None,
            loss_scale: LossScale::Fixed(1.0),
            skip_nonfinite: false,
            accumulation: Accumulation::Mean,
            zero_grad: false,
        }
    }
}

/// The gradient that a step takes where several were added up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Accumulation {
    /// The mean of all: that of one larger batch.
    #[default]
    Mean,
    /// The sum of all, as PyTorch's `.grad` without `zero_grad`.
    Sum,
}

/// A norm of all gradients together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Norm {
    /// The root of the sum of squares, `norm_type=2`.
    #[default]
    Euclidean,
    /// The largest magnitude, `norm_type=inf`.
    Largest,
}

/// The factor of the loss, by which small gradients survive 16 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum LossScale {
    /// Always the same, above 0.
    Fixed(f64),
    /// As `torch.amp.GradScaler`: smaller after a step with an Inf or NaN, which is skipped, larger after
    /// many without. It lives on the GPU: [`Optimizer::loss_scale`](crate::Optimizer::loss_scale).
    Dynamic {
        /// At the first step; `65536`.
        init: f64,
        /// Multiplies it after `interval` good steps in a row, above 1; `2`. It stays finite.
        growth: f64,
        /// Multiplies it after a bad one, between 0 and 1; `0.5`. It stays at least 2⁻¹²⁶.
        backoff: f64,
        /// In steps, at least 1; `2000`.
        interval: u32,
    },
}

impl LossScale {
    /// [`LossScale::Dynamic`] at `GradScaler`'s defaults.
    pub const fn dynamic() -> Self {
        Self::Dynamic { init: 65536.0, growth: 2.0, backoff: 0.5, interval: 2000 }
    }

    /// At the first step.
    pub(crate) fn initial(self) -> f64 {
        match self {
            Self::Fixed(scale) => scale,
            Self::Dynamic { init, .. } => init,
        }
    }
}

/// The statistics of a step's gradients, and of all steps so far.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The norm of the step's gradients: without loss scale, clipped by value, not yet by norm.
    pub norm: f64,
    /// The factor by which clipping has scaled the gradients, at most 1.
    pub coefficient: f64,
    /// The loss scale of the gradients to come.
    pub loss_scale: f64,
    /// Steps taken, those included that the host counted before.
    pub taken: u64,
    /// Steps skipped.
    pub skipped: u64,
    /// The first parameter, in the order they were added, with an Inf or NaN in this step's gradient, unless it has
    /// been removed since.
    pub nonfinite: Option<String>,
    /// Whether more steps in a row of statistics that were not asked for were skipped than the GPU has scalars
    /// for: then scalars that depend on the number of steps were those of a later step than the one taken.
    pub overrun: bool,
}

impl Control {
    /// Whether every option is in its range.
    ///
    /// # Errors
    /// The first that is not, by name.
    pub fn check(&self) -> Result<(), Error> {
        let limits = [
            ("clip_norm", self.clip_norm, "a finite number, 0 or more", true),
            ("clip_value", self.clip_value, ABOVE_0, false),
        ];
        for (option, value, must, zero) in limits {
            if let Some(value) = value {
                hold(option, value, must, is_f32(value) && (value > 0.0 || zero))?;
            }
        }
        match self.loss_scale {
            LossScale::Fixed(scale) => hold("loss_scale", scale, ABOVE_0, is_scale(scale)),
            LossScale::Dynamic { init, growth, backoff, interval } => {
                hold("loss_scale.init", init, ABOVE_0, is_scale(init))?;
                hold(
                    "loss_scale.growth",
                    growth,
                    "above 1",
                    is_f32(growth) && growth as f32 > 1.0,
                )?;
                let between =
                    (backoff as f32).is_normal() && backoff > 0.0 && (backoff as f32) < 1.0;
                hold("loss_scale.backoff", backoff, "between 0 and 1", between)?;
                let must = "at least 1 step";
                hold("loss_scale.interval", interval.into(), must, interval > 0)
            }
        }
    }

    /// Whether what a step does depends on what the gradients are. Then [`Optimizer::stats`] knows more
    /// than the host.
    ///
    /// [`Optimizer::stats`]: crate::Optimizer::stats
    pub fn looks_at_gradients(&self) -> bool {
        self.clip_norm.is_some() || self.skips()
    }

    /// The divisor of gradients that were added up so many times.
    pub(crate) fn divisor(&self, added: u32) -> f64 {
        match self.accumulation {
            Accumulation::Mean => f64::from(added.max(1)),
            Accumulation::Sum => 1.0,
        }
    }

    /// Whether a step can be skipped.
    pub(crate) fn skips(&self) -> bool {
        self.skip_nonfinite || matches!(self.loss_scale, LossScale::Dynamic { .. })
    }
}

const ABOVE_0: &str = "a finite f32 number above 0";

fn is_f32(value: f64) -> bool {
    (0.0..=f64::from(f32::MAX)).contains(&value)
}

/// Whether it and its inverse are normal f32 numbers.
fn is_scale(value: f64) -> bool {
    let normal = |x: f64| (x as f32).is_normal() && x > 0.0;
    normal(value) && normal(1.0 / value)
}

fn hold(option: &'static str, value: f64, must: &'static str, holds: bool) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Control { option, value, must }) }
}
