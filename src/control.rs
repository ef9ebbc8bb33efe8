//! What is done to gradients before the rules see them, and which steps are not taken.

use crate::error::Error;

/// Clipping, loss scaling and skipping, for all groups of an [`Optimizer`](crate::Optimizer) together.
///
/// Of a gradient as the backward pass wrote it, a rule sees
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
pub struct Control {
    /// The largest norm, 0 or more, over all parameters of all groups; `None`: as
    /// `torch.nn.utils.clip_grad_norm_`.
    pub clip_norm: Option<f64>,
    /// Which norm `clip_norm` limits and [`Stats`] tells; [`Norm::Euclidean`].
    pub norm: Norm,
    /// The largest magnitude of an element, above 0; `None`: as `torch.nn.utils.clip_grad_value_`.
    pub clip_value: Option<f64>,
    /// What the loss, and with it each gradient, was multiplied by; [`LossScale::Fixed`] of 1.
    pub loss_scale: LossScale,
    /// Whether one Inf or NaN in any gradient of any group leaves every parameter and all state as
    /// they are and does not count as a step; `false`. [`LossScale::Dynamic`] always does so.
    pub skip_nonfinite: bool,
    /// What a step makes of gradients that [`Optimizer::accumulate`](crate::Optimizer::accumulate) has
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

/// What a step makes of gradients that were added up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Accumulation {
    /// Their mean: that of one larger batch.
    #[default]
    Mean,
    /// Their sum, as PyTorch's `.grad` without `zero_grad`.
    Sum,
}

/// A norm of all gradients together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Norm {
    /// The root of the sum of squares, `norm_type=2`.
    #[default]
    Euclidean,
    /// The largest magnitude, `norm_type=inf`.
    Largest,
}

/// What the loss was multiplied by, so that small gradients survive 16 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
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
        /// Multiplies it after a bad one, between 0 and 1; `0.5`.
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

/// What came of the gradients of a step, and of all steps so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// The norm of the step's gradients: without loss scale, clipped by value, not yet by norm.
    pub norm: f64,
    /// What they were multiplied by for it, at most 1.
    pub coefficient: f64,
    /// The loss scale of the gradients to come.
    pub loss_scale: f64,
    /// Steps taken, those included that the host counted before.
    pub taken: u64,
    /// Steps skipped.
    pub skipped: u64,
    /// The first parameter, in the order they were added, with an Inf or NaN in this step's gradient.
    pub nonfinite: Option<String>,
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

    /// What gradients added up so many times are to be divided by.
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

/// [`Control`] in f64 on the CPU, step after step: what the kernels are tested against.
///
/// ```
/// use wgpu_optim::{Control, Controller};
///
/// let mut control = Controller::new(Control { clip_norm: Some(1.0), ..Control::default() })?;
/// let mut grads = [vec![3.0], vec![4.0]];
/// assert!(control.apply(&mut grads)); // the step is to be taken,
/// assert!((grads[0][0] - 0.6).abs() < 1e-6); // with these gradients
/// # Ok::<(), wgpu_optim::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Controller {
    control: Control,
    scale: f64,
    good: u32,
    norm: f64,
    coefficient: f64,
    taken: u64,
    skipped: u64,
    /// The first gradient with an Inf or NaN.
    first: Option<usize>,
    /// Gradients added up since the last step, and how many times.
    sums: Vec<Vec<f64>>,
    added: u32,
}

impl Controller {
    /// Before the first step.
    ///
    /// # Errors
    /// What [`Control::check`] finds.
    pub fn new(control: Control) -> Result<Self, Error> {
        control.check()?;
        let scale = control.loss_scale.initial();
        Ok(Self {
            control,
            scale,
            good: 0,
            norm: 0.0,
            coefficient: 1.0,
            taken: 0,
            skipped: 0,
            first: None,
            sums: Vec::new(),
            added: 0,
        })
    }

    /// Adds gradients to what the next [`Controller::apply`] takes.
    pub fn accumulate(&mut self, grads: &[Vec<f64>]) {
        self.added += 1;
        if self.added == 1 {
            self.sums = grads.to_vec();
            return;
        }
        let pairs = self.sums.iter_mut().flatten().zip(grads.iter().flatten());
        pairs.for_each(|(sum, g)| *sum += g);
    }

    /// Turns the gradients of all parameters into what the rules are to see, and tells whether the
    /// step is to be taken at all. If gradients were added up, it is those that count, whatever `grads` are.
    pub fn apply(&mut self, grads: &mut [Vec<f64>]) -> bool {
        let added = std::mem::take(&mut self.added);
        for (grad, sum) in grads.iter_mut().zip(&self.sums).filter(|_| added > 0) {
            grad.clone_from(sum);
        }
        self.first = grads.iter().position(|grad| grad.iter().any(|g| !g.is_finite()));
        let scale = self.scale * self.control.divisor(added);
        for g in grads.iter_mut().flatten() {
            *g /= scale;
            if let Some(limit) = self.control.clip_value
                && g.abs() > limit
            {
                *g = limit.copysign(*g);
            }
        }
        let all = grads.iter().flatten();
        self.norm = match self.control.norm {
            Norm::Euclidean => all.map(|g| g * g).sum::<f64>().sqrt(),
            // Unlike `f64::max`, which drops a NaN.
            Norm::Largest => all.fold(0.0, |most, g| if g.abs() <= most { most } else { g.abs() }),
        };
        self.coefficient = match self.control.clip_norm {
            // Unlike `f64::min`, which drops a NaN.
            Some(most) => match most / (self.norm + 1e-6) {
                coefficient if coefficient > 1.0 => 1.0,
                coefficient => coefficient,
            },
            None => 1.0,
        };
        let bad = self.first.is_some();
        let skip = bad && self.control.skips();
        if skip {
            self.skipped += 1;
        } else {
            self.taken += 1;
            grads.iter_mut().flatten().for_each(|g| *g *= self.coefficient);
        }
        self.rescale(bad);
        !skip
    }

    /// The loss scale after a step that was bad or not.
    fn rescale(&mut self, bad: bool) {
        let LossScale::Dynamic { growth, backoff, interval, .. } = self.control.loss_scale else {
            return;
        };
        self.good += 1;
        if bad {
            self.scale *= backoff;
            self.good = 0;
        } else if self.good >= interval {
            let grown = self.scale * growth;
            self.scale = if grown <= f64::from(f32::MAX) { grown } else { self.scale };
            self.good = 0;
        }
    }

    /// What came of the last step; the first parameter with an Inf or NaN is called by `names`.
    pub fn stats(&self, names: &[&str]) -> Stats {
        Stats {
            norm: self.norm,
            coefficient: self.coefficient,
            loss_scale: self.scale,
            taken: self.taken,
            skipped: self.skipped,
            nonfinite: self.first.and_then(|first| names.get(first)).map(|&name| name.to_owned()),
        }
    }
}
