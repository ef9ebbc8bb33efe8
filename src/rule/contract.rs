//! The contract of a rule: what it declares, and what it computes on the host.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use super::formula::{AHEAD, At, Past};
use super::oracle::Oracle;
use crate::error::Error;
use crate::num::{Number, OneStep, StateFormat, StateFormats, Stored, Trajectory};
use crate::schedule::Target;

/// The most scalars a rule can have: with the driver's 16, and at least one word of padding, a group's
/// block has 256 bytes.
pub const MAX_SCALARS: usize = 44;

/// Where the numbers of a slot start: before the parameter's first step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Start {
    /// At 0.
    Zero,
    /// At this number, rounded to f32.
    Number(f64),
    /// At the learning rate of the first step.
    Rate,
    /// At the parameter before the first step.
    Param,
}

impl Start {
    /// The number that the host knows at learning rate `lr`; 0 where the start is the parameter.
    pub(crate) fn number(self, lr: f64) -> f64 {
        match self {
            Self::Zero | Self::Param => 0.0,
            Self::Number(x) => x,
            Self::Rate => lr,
        }
    }

    /// The number of one element, whose parameter is `p` before its first step.
    pub(crate) fn of<N: Number>(self, p: N, lr: f64) -> N {
        match self {
            Self::Param => p,
            other => N::scalar(other.number(lr)),
        }
    }
}

/// A number that a rule keeps for each element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// PyTorch's name for it.
    pub name: &'static str,
    /// The start of the slot.
    pub start: Start,
    /// The numbers of the slot, if it may be stored in blocks ([`StateFormat`](crate::StateFormat)).
    pub blocks: Option<Sign>,
}

/// The signs of the numbers in a slot that may be stored in blocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// Numbers of 0 and more.
    Unsigned,
    /// Numbers of either sign.
    Signed,
}

impl Slot {
    /// A slot that starts at 0 and is never stored in blocks.
    pub const fn zero(name: &'static str) -> Self {
        Self::starting(name, Start::Zero)
    }

    /// A slot that starts elsewhere and is never stored in blocks.
    pub const fn starting(name: &'static str, start: Start) -> Self {
        Self { name, start, blocks: None }
    }

    /// The format of the slot among those that a group wants. A slot that may not be in blocks is in f32 instead.
    pub(crate) fn format(&self, formats: &StateFormats) -> StateFormat {
        let format = formats.of(self.name);
        match (format.stored(), self.blocks) {
            (Stored::Blocks(_), None) => StateFormat::F32,
            _ => format,
        }
    }

    /// The same slot, which is a running value of either sign and may be stored in blocks.
    pub const fn signed(self) -> Self {
        Self { blocks: Some(Sign::Signed), ..self }
    }

    /// The same slot, which is a running value of 0 and more and may be stored in blocks.
    pub const fn unsigned(self) -> Self {
        Self { blocks: Some(Sign::Unsigned), ..self }
    }
}

/// The variables that a scalar depends on besides the rule's options.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Varies {
    /// Not on the step; it may depend on the learning rate and the weight decay.
    Never,
    /// On the step.
    Steps,
    /// On the step, and on the learning rate or the weight decay.
    StepsAndRate,
}

/// A member of a rule's `Hyper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scalar {
    /// The scalar's name in the WGSL.
    pub name: &'static str,
    /// The variables that the scalar depends on.
    pub varies: Varies,
}

impl Scalar {
    /// A scalar that is the same at every step; it may depend on the learning rate and the weight decay.
    pub const fn fixed(name: &'static str) -> Self {
        Self { name, varies: Varies::Never }
    }

    /// A scalar that depends on the step.
    pub const fn by_step(name: &'static str) -> Self {
        Self { name, varies: Varies::Steps }
    }

    /// A scalar that depends on the step, and on the learning rate or the weight decay.
    pub const fn by_step_and_rate(name: &'static str) -> Self {
        Self { name, varies: Varies::StepsAndRate }
    }

    /// A scalar that depends on the step if `varies`, and else is the same at every step.
    pub const fn by_step_if(varies: bool, name: &'static str) -> Self {
        if varies { Self::by_step(name) } else { Self::fixed(name) }
    }
}

/// The factors of a step, `p ← p − (lr · direction + decay · λ · p)`, where λ is the decoupled weight decay. A rule
/// that sees to λ itself, by [`At::weight_decay`], returns a `decay` of 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Multiplies the direction.
    pub lr: f64,
    /// Multiplies the weight decay λ, if that is decoupled.
    pub decay: f64,
}

/// The line on which a rule's average lies: `p + weight · (state[slot] − p)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Average {
    /// The place of the slot among [`Rule::slots`].
    pub slot: usize,
    /// The weight that takes a parameter from where gradients are wanted to the average.
    pub eval: f64,
    /// The weight that takes a parameter back.
    pub train: f64,
}

impl Average {
    /// A parameter on its way to the average, or back: `shaders/kernel/blend.wgsl` in the arithmetic of `N`.
    pub(crate) fn blend<N: Number>(self, p: N, slot: N, to_average: bool) -> N {
        let weight = if to_average { self.eval } else { self.train };
        p + N::scalar(weight) * (slot - p)
    }
}

/// A copy of a rule behind a pointer. Every rule that can be cloned has it.
pub trait Copied {
    /// The copy.
    fn copied(&self) -> Box<dyn Rule>;
}

impl<R: Rule + Clone> Copied for R {
    fn copied(&self) -> Box<dyn Rule> {
        Box::new(self.clone())
    }
}

/// An optimizer's rule. Public and object-safe: a rule in your own crate needs no change in this one.
pub trait Rule: Oracle + Copied + Any + Debug + Send + Sync {
    /// The field's name in lower case: `"adam"`.
    fn name(&self) -> &'static str;

    /// WGSL that declares `struct Hyper`, `HYPER_LENGTH` and
    /// `fn direction(p: real, g: real, hyper: Hyper) -> real`; `shaders/README.md` has the contract, and
    /// `verify::verify_group` (feature `verify`) tells whether it is kept.
    fn wgsl(&self) -> &'static str;

    /// The state kept for each element, in slot order. At most [`MAX_SLOTS`](super::MAX_SLOTS).
    fn slots(&self) -> Vec<Slot>;

    /// The `override` switches of the WGSL and their values.
    fn switches(&self) -> Vec<(&'static str, bool)>;

    /// The members of `Hyper`, in order, and what each depends on. All are f32. At most [`MAX_SCALARS`].
    fn hyper(&self) -> Vec<Scalar>;

    /// The values of [`hyper`](Rule::hyper) at one step, in f64, into `out`, which is as long; the driver
    /// rounds. A function of the options and `at` alone, which may be called for any step in any order.
    fn scalars(&self, at: At, out: &mut [f64]);

    /// The numbers that depend on the learning rates of all steps up to this one, for [`At::past`]: from those after
    /// the step before, or, without them, as if the rate had always been the present one. `None` if the rule has none
    /// such.
    ///
    /// Where the GPU counts steps, a rate that is set counts as if it had always been; a schedule is known step by
    /// step.
    fn remember(&self, _: At, _before: Option<Past>) -> Option<Past> {
        None
    }

    /// The numbers of a step that take long to compute, for [`At::ahead`]: once for all elements.
    fn ahead(&self, _: At) -> [f64; AHEAD] {
        [0.0; AHEAD]
    }

    /// The factors of a step: the learning rate, unless the rule has already put it into its state. They
    /// may depend on the learning rate and the options, but not on the step.
    fn rates(&self, at: At) -> Rates {
        Rates { lr: at.lr, decay: at.lr }
    }

    /// Whether decoupled weight decay is taken off the parameter after the step, `p ← (p − lr·u)(1 − decay)`, and
    /// not off the one before it, `p ← p − lr·u − decay·p`; `false`.
    fn decays_after(&self) -> bool {
        false
    }

    /// The option that a schedule sets, [`Target::Momentum`] or [`Target::Beta`]; `None` if the rule has none such.
    fn scheduled(&mut self, _: Target) -> Option<&mut f64> {
        None
    }

    /// The average that [`Optimizer::eval`](crate::Optimizer::eval) moves parameters to; `None` if the rule keeps
    /// none.
    fn average(&self) -> Option<Average> {
        None
    }

    /// Whether every option is in its range.
    ///
    /// # Errors
    /// [`Error::Hyper`], [`Error::NoEpsilon`] or [`Error::Conflict`], naming the option.
    fn check(&self) -> Result<(), Error>;
}

impl At {
    /// The same step with the numbers that a rule computes ahead.
    pub(crate) fn looking_ahead(self, rule: &dyn Rule) -> Self {
        Self { ahead: rule.ahead(self), ..self }
    }
}

/// A rule, or a rule behind a pointer: the argument of [`Group::new`](crate::Group::new).
pub trait IntoRule {
    /// The rule behind a pointer.
    fn into_rule(self) -> Arc<dyn Rule>;
}

impl<R: Rule> IntoRule for R {
    fn into_rule(self) -> Arc<dyn Rule> {
        Arc::new(self)
    }
}

impl IntoRule for Arc<dyn Rule> {
    fn into_rule(self) -> Arc<dyn Rule> {
        self
    }
}

/// The names of a rule's slots.
pub(crate) fn slot_names(rule: &dyn Rule) -> Vec<&'static str> {
    rule.slots().iter().map(|slot| slot.name).collect()
}

/// A [`Number`] that an object-safe [`Rule`] can be asked for.
pub(crate) trait Evaluate: Number {
    /// `rule`'s direction in this arithmetic.
    fn direction(rule: &dyn Rule, p: Self, g: Self, state: &mut [Self], at: At) -> Self;
}

impl Evaluate for f64 {
    fn direction(rule: &dyn Rule, p: Self, g: Self, state: &mut [Self], at: At) -> Self {
        rule.exact(p, g, state, at)
    }
}

impl Evaluate for OneStep {
    fn direction(rule: &dyn Rule, p: Self, g: Self, state: &mut [Self], at: At) -> Self {
        rule.one_step(p, g, state, at)
    }
}

impl Evaluate for Trajectory {
    fn direction(rule: &dyn Rule, p: Self, g: Self, state: &mut [Self], at: At) -> Self {
        rule.trajectory(p, g, state, at)
    }
}
