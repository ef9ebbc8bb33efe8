//! Rules: the direction a parameter moves in, given its gradient and its own history.
//!
//! A rule is two files, `shaders/rule/x.wgsl` and `src/rule/x.rs`, and one row in [`ALL`]; see
//! `docs/ADDING_A_RULE.md`. Learning rate, weight decay, maximizing, storage and addressing are the
//! driver's (`shaders/kernel/update.wgsl`), the same for every rule.

mod adagrad;
mod adam;
mod rmsprop;
mod sgd;

use std::fmt::Debug;

pub use rules::*;

use crate::error::Error;
use crate::group::Group;
use crate::num::{Number, OneStep, Trajectory};

/// The most slots of state a rule can keep: what fits WebGPU's default of 8 storage buffers.
pub const MAX_SLOTS: usize = 3;

/// The most scalars a rule can have, so that a group's block has 256 bytes.
pub const MAX_SCALARS: usize = 48;

/// Which step it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// Steps taken by the parameter, this one included: 1 at its first.
    pub t: u64,
    /// The group's learning rate at this step.
    pub lr: f64,
}

/// The formula, as the paper has it, generic over the arithmetic: the reference, and the error
/// bound of the comparison with it, are this one text. `Clone`, so that a loop can hold the options in
/// registers.
pub trait Formula: Clone {
    /// The direction for one element. `state` has one number a slot, in the order of
    /// [`Rule::slots`], and is updated.
    fn direction<N: Number>(&self, g: N, state: &mut [N], at: At) -> N;
}

/// [`Formula`] in each arithmetic there is, so that [`Rule`] is object-safe. Implemented for every
/// formula; never by hand.
pub trait Oracle {
    /// In f64.
    fn exact(&self, g: f64, state: &mut [f64], at: At) -> f64;
    /// With the bound of one step.
    fn one_step(&self, g: OneStep, state: &mut [OneStep], at: At) -> OneStep;
    /// With the bound of many steps.
    fn trajectory(&self, g: Trajectory, state: &mut [Trajectory], at: At) -> Trajectory;
    /// In f32, many elements at a time.
    #[cfg(feature = "cpu")]
    fn fast(&self, chunk: crate::cpu::Chunk<'_>);
}

/// A [`Number`] that an object-safe [`Rule`] can be asked for.
pub(crate) trait Evaluate: Number {
    /// `rule`'s direction in this arithmetic.
    fn direction(rule: &dyn Rule, g: Self, state: &mut [Self], at: At) -> Self;
}

impl Evaluate for f64 {
    fn direction(rule: &dyn Rule, g: Self, state: &mut [Self], at: At) -> Self {
        rule.exact(g, state, at)
    }
}

impl Evaluate for OneStep {
    fn direction(rule: &dyn Rule, g: Self, state: &mut [Self], at: At) -> Self {
        rule.one_step(g, state, at)
    }
}

impl Evaluate for Trajectory {
    fn direction(rule: &dyn Rule, g: Self, state: &mut [Self], at: At) -> Self {
        rule.trajectory(g, state, at)
    }
}

impl<F: Formula> Oracle for F {
    fn exact(&self, g: f64, state: &mut [f64], at: At) -> f64 {
        self.direction(g, state, at)
    }

    fn one_step(&self, g: OneStep, state: &mut [OneStep], at: At) -> OneStep {
        self.direction(g, state, at)
    }

    fn trajectory(&self, g: Trajectory, state: &mut [Trajectory], at: At) -> Trajectory {
        self.direction(g, state, at)
    }

    #[cfg(feature = "cpu")]
    fn fast(&self, chunk: crate::cpu::Chunk<'_>) {
        crate::cpu::step(self, chunk);
    }
}

/// An optimizer's rule. Public and object-safe: a rule in your own crate needs no change in this one.
pub trait Rule: Oracle + Debug + Send + Sync + 'static {
    /// The field's name in lower case: `"adam"`.
    fn name(&self) -> &'static str;

    /// WGSL that declares `struct Hyper`, `HYPER_LENGTH` and `fn direction`; `shaders/README.md` has
    /// the contract, and [`verify_group`](crate::verify::verify_group) tells whether it is kept.
    fn wgsl(&self) -> &'static str;

    /// The state kept for each element, in slot order, under PyTorch's names. At most [`MAX_SLOTS`].
    fn slots(&self) -> &'static [&'static str];

    /// The `override` switches of the WGSL and their values.
    fn switches(&self) -> Vec<(&'static str, bool)>;

    /// The members of `Hyper`, in order. All are f32. At most [`MAX_SCALARS`].
    fn scalar_names(&self) -> &'static [&'static str];

    /// The values of `Hyper` at one step, in f64, into `out`, which is as long as
    /// [`scalar_names`](Rule::scalar_names). Called once a step and group; the driver rounds.
    fn scalars(&self, at: At, out: &mut [f64]);

    /// What the driver multiplies the direction by: the learning rate, unless the rule has already
    /// put it into its state.
    fn outer_lr(&self, lr: f64) -> f64 {
        lr
    }

    /// Whether every option is in its range.
    ///
    /// # Errors
    /// [`Error::Hyper`], [`Error::NoEpsilon`] or [`Error::Conflict`], naming the option.
    fn check(&self) -> Result<(), Error>;
}

/// A rule this crate ships.
pub struct Entry {
    /// [`Rule::name`], and the name of its two files.
    pub name: &'static str,
    /// [`Rule::wgsl`].
    pub wgsl: &'static str,
    /// Every combination of switches, and a spread of hyper-parameters and conventions: what
    /// `verify`, the tests and the benches walk.
    pub variants: fn() -> Vec<Group>,
    /// The rule from a JSON object of its options, for `wgpu-optim replay`.
    #[cfg(feature = "cli")]
    pub config: crate::config::Options,
}

/// The rules this crate ships.
pub mod rules {
    pub use super::adagrad::Adagrad;
    pub use super::adam::Adam;
    pub use super::rmsprop::RmsProp;
    pub use super::sgd::Sgd;
}

/// Every rule this crate ships, one row each, simplest first: `verify`, the tests and the command walk it.
pub const ALL: &[Entry] = &[sgd::ENTRY, adagrad::ENTRY, rmsprop::ENTRY, adam::ENTRY];

/// `Ok` if `value` is a number from `0` up to but not including `1`.
pub(crate) fn check_fraction(
    rule: &'static str,
    option: &'static str,
    value: f64,
) -> Result<(), Error> {
    // As f32, because a β that rounds to 1 never forgets, and its bias correction divides by zero.
    if (0.0..1.0).contains(&value) && (value as f32) < 1.0 {
        return Ok(());
    }
    Err(Error::Hyper {
        rule,
        option,
        value,
        must: "at least 0 and below 1 (also when rounded to f32)",
    })
}

/// `Ok` if `value` is a finite f32, 0 or more.
pub(crate) fn check_non_negative(
    rule: &'static str,
    option: &'static str,
    value: f64,
) -> Result<(), Error> {
    if value >= 0.0 && value <= f64::from(f32::MAX) {
        return Ok(());
    }
    Err(Error::Hyper { rule, option, value, must: "a finite f32 number, 0 or more" })
}

/// `Ok` if both are finite and one of them keeps the kernel from 0 / 0.
pub(crate) fn check_epsilon(rule: &'static str, eps: f64, eps_root: f64) -> Result<(), Error> {
    check_non_negative(rule, "eps", eps)?;
    check_non_negative(rule, "eps_root", eps_root)?;
    if (eps as f32) < f32::MIN_POSITIVE && (eps_root as f32) < f32::MIN_POSITIVE {
        return Err(Error::NoEpsilon { rule, eps, eps_root });
    }
    Ok(())
}
