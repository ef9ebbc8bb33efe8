//! This module computes `Control` on the CPU in f64. Tests compare the kernels that look at gradients with it.

use crate::control::{Control, LossScale, Norm, Stats};
use crate::error::Error;

/// The smallest loss scale that a bad step leaves: 2⁻¹²⁶. On a device, the inverse of a smaller scale may be infinite
/// or zero.
const SMALLEST: f64 = f32::MIN_POSITIVE as f64;

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
    /// The index of the first gradient with an Inf or NaN.
    first: Option<usize>,
    /// The sums of gradients since the last step, and the number of gradients in each.
    sums: Vec<Vec<f64>>,
    added: u32,
}

impl Controller {
    /// The controller before the first step.
    ///
    /// # Errors
    /// Every error of [`Control::check`].
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

    /// Turns the gradients of all parameters into the gradients that rules see, and returns whether the step is
    /// taken. If gradients were added up, their sums take the place of `grads`.
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

    /// The loss scale after a step with or without an Inf or NaN.
    fn rescale(&mut self, bad: bool) {
        let LossScale::Dynamic { growth, backoff, interval, .. } = self.control.loss_scale else {
            return;
        };
        self.good = self.good.saturating_add(1);
        if bad {
            self.scale = (self.scale * backoff).max(SMALLEST);
            self.good = 0;
        } else if self.good >= interval {
            let grown = self.scale * growth;
            self.scale = if grown <= f64::from(f32::MAX) { grown } else { self.scale };
            self.good = 0;
        }
    }

    /// The finite steps since the loss scale last changed: for `wgpu-optim replay`.
    #[doc(hidden)]
    pub fn growth_tracker(&self) -> u32 {
        self.good
    }

    /// The sums of gradients since the last step, and the number of gradients in each: for `wgpu-optim replay`.
    #[doc(hidden)]
    pub fn sums(&self) -> (&[Vec<f64>], u32) {
        (&self.sums, self.added)
    }

    /// Goes on from the loss scale with its growth tracker, and the steps taken and skipped: for `wgpu-optim replay`.
    #[doc(hidden)]
    pub fn resume(&mut self, (scale, growth_tracker): (f64, u32), [taken, skipped]: [u64; 2]) {
        (self.scale, self.good, self.taken, self.skipped) = (scale, growth_tracker, taken, skipped);
    }

    /// Shows the norm and the clipping coefficient of a step before: for `wgpu-optim replay`.
    #[doc(hidden)]
    pub fn set_last(&mut self, norm: f64, coefficient: f64) {
        (self.norm, self.coefficient) = (norm, coefficient);
    }

    /// Goes on from sums of gradients: for `wgpu-optim replay`.
    #[doc(hidden)]
    pub fn set_sums(&mut self, sums: Vec<Vec<f64>>, added: u32) {
        (self.sums, self.added) = (sums, added);
    }

    /// The statistics of the last step. `names` has the name of the first parameter with an Inf or NaN.
    pub fn stats(&self, names: &[&str]) -> Stats {
        Stats {
            norm: self.norm,
            coefficient: self.coefficient,
            loss_scale: self.scale,
            taken: self.taken,
            skipped: self.skipped,
            overrun: false,
            nonfinite: self.first.and_then(|first| names.get(first)).map(|&name| name.to_owned()),
        }
    }
}
