//! The schedule that has state: a rate that falls when a metric stops getting better.

use super::at::MOST;
use crate::error::Error;

/// The direction in which a metric gets better.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum PlateauMode {
    /// Less is better, as of a loss.
    #[default]
    Min,
    /// More is better, as of an accuracy.
    Max,
}

/// The meaning of a threshold.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum ThresholdMode {
    /// A part of the best metric so far.
    #[default]
    Rel,
    /// A difference from the best metric so far.
    Abs,
}

/// A learning rate that falls by a factor when a metric has not become better for some time: PyTorch's
/// `ReduceLROnPlateau`, with its names. Optax: `contrib.reduce_on_plateau`, which scales updates in place of the rate.
///
/// ```text
/// metric < best · (1 − threshold)     is better, in modes `Min` and `Rel`
/// lr ← max(lr · factor, min_lr)       after more than `patience` metrics in a row that are not
/// ```
///
/// ```
/// use wgpu_optim::ReduceOnPlateau;
///
/// let mut plateau = ReduceOnPlateau { patience: 1, ..ReduceOnPlateau::new(1e-2) };
/// plateau.check()?;
/// let rates = [1.0, 0.5, 0.5, 0.5].map(|loss| plateau.step(loss));
/// assert_eq!(rates, [1e-2, 1e-2, 1e-2, 1e-3]);
/// # Ok::<(), wgpu_optim::Error>(())
/// ```
///
/// All state is public, and is part of the struct's serde form (feature `serde`), so that a run can go on.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
pub struct ReduceOnPlateau {
    /// The rate now, 0 or more.
    pub lr: f64,
    /// The direction in which the metric gets better; [`PlateauMode::Min`].
    pub mode: PlateauMode,
    /// The factor of the rate, at least 0 and below 1; `0.1`.
    pub factor: f64,
    /// The metrics in a row that need not be better; `10`.
    pub patience: u64,
    /// The amount by which a better metric is better, 0 or more; `1e-4`.
    pub threshold: f64,
    /// The meaning of the threshold; [`ThresholdMode::Rel`].
    pub threshold_mode: ThresholdMode,
    /// The metrics after a fall of the rate that do not count; `0`.
    pub cooldown: u64,
    /// The least rate, 0 or more; `0`.
    pub min_lr: f64,
    /// The largest fall of the rate that is left out, 0 or more; `1e-8`.
    pub eps: f64,
    /// State: the best metric so far.
    #[cfg_attr(feature = "serde", serde(default))]
    pub best: Option<f64>,
    /// State: the metrics in a row that were not better.
    #[cfg_attr(feature = "serde", serde(default))]
    pub bad: u64,
    /// State: the metrics to come that do not count.
    #[cfg_attr(feature = "serde", serde(default))]
    pub cooling: u64,
}

impl ReduceOnPlateau {
    /// A rate with PyTorch's defaults.
    pub fn new(lr: f64) -> Self {
        Self {
            lr,
            mode: PlateauMode::Min,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            threshold_mode: ThresholdMode::Rel,
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
            best: None,
            bad: 0,
            cooling: 0,
        }
    }

    /// Takes a metric, and returns the rate from now on. NaN is not better than anything.
    pub fn step(&mut self, metric: f64) -> f64 {
        if self.is_better(metric) {
            self.best = Some(metric);
            self.bad = 0;
        } else {
            self.bad = self.bad.saturating_add(1);
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad > self.patience {
            let lr = (self.lr * self.factor).max(self.min_lr);
            if self.lr - lr > self.eps {
                self.lr = lr;
            }
            self.cooling = self.cooldown;
            self.bad = 0;
        }
        self.lr
    }

    fn is_better(&self, metric: f64) -> bool {
        let threshold = self.threshold;
        match (self.mode, self.threshold_mode) {
            (PlateauMode::Min, of) => {
                let best = self.best.unwrap_or(f64::INFINITY);
                metric
                    < if of == ThresholdMode::Rel {
                        best * (1.0 - threshold)
                    } else {
                        best - threshold
                    }
            }
            (PlateauMode::Max, of) => {
                let best = self.best.unwrap_or(f64::NEG_INFINITY);
                metric
                    > if of == ThresholdMode::Rel {
                        best * (1.0 + threshold)
                    } else {
                        best + threshold
                    }
            }
        }
    }

    /// Whether every option is in its range.
    ///
    /// # Errors
    /// The first that is not, by its name.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |key: &str, is: f64, must: &str| {
            Error::Schedule("reduce_on_plateau", format!("`{key}` is {is}; it must be {must}"))
        };
        let Self { lr, factor, threshold, min_lr, eps, .. } = *self;
        for (key, value) in [("lr", lr), ("min_lr", min_lr), ("threshold", threshold), ("eps", eps)]
        {
            if !(0.0..=MOST).contains(&value) {
                return Err(wrong(key, value, "a finite f32 number, 0 or more"));
            }
        }
        if !(0.0..1.0).contains(&factor) {
            return Err(wrong("factor", factor, "at least 0 and below 1"));
        }
        Ok(())
    }
}
