//! A formula behind a pointer, in each arithmetic there is.

use super::formula::{At, Formula};
#[cfg(feature = "cpu")]
use super::lanes::{Lanes, step};
use crate::num::{OneStep, Trajectory};

/// A supertrait that only formulas have, so that [`Oracle`] can gain arithmetics.
pub trait Sealed {}

impl<F: Formula> Sealed for F {}

/// [`Formula`] in each arithmetic there is, so that [`Rule`](super::Rule) is object-safe. Sealed: every
/// formula has it, and nothing else can.
pub trait Oracle: Sealed {
    /// In f64.
    fn exact(&self, p: f64, g: f64, state: &mut [f64], at: At) -> f64;
    /// With the bound of one step.
    fn one_step(&self, p: OneStep, g: OneStep, state: &mut [OneStep], at: At) -> OneStep;
    /// With the bound of many steps.
    fn trajectory(
        &self,
        p: Trajectory,
        g: Trajectory,
        state: &mut [Trajectory],
        at: At,
    ) -> Trajectory;
    /// In f32, many elements at a time.
    #[cfg(feature = "cpu")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cpu")))]
    fn fast(&self, lanes: Lanes<'_>);
}

impl<F: Formula> Oracle for F {
    fn exact(&self, p: f64, g: f64, state: &mut [f64], at: At) -> f64 {
        self.direction(p, g, state, at)
    }

    fn one_step(&self, p: OneStep, g: OneStep, state: &mut [OneStep], at: At) -> OneStep {
        self.direction(p, g, state, at)
    }

    fn trajectory(
        &self,
        p: Trajectory,
        g: Trajectory,
        state: &mut [Trajectory],
        at: At,
    ) -> Trajectory {
        self.direction(p, g, state, at)
    }

    #[cfg(feature = "cpu")]
    fn fast(&self, lanes: Lanes<'_>) {
        step(self, lanes);
    }
}
