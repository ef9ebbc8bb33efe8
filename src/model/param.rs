//! Parameters and groups, as they last.

use std::sync::Arc;

use super::operand::asked;
use super::spec::RuleKey;
use crate::group::Group;
use crate::num::{Format, Master};
use crate::rule::{self, Declared};
use crate::view::View;

/// A group, and the steps recorded for it.
#[derive(Clone, Debug)]
pub(crate) struct GroupState {
    pub(crate) group: Group,
    /// The declarations of the group's rule.
    pub(crate) declared: Declared,
    /// The rule's options as text, if the rule is a type of this crate: rules of one text have the same scalars.
    pub(crate) options: Option<Arc<str>>,
    pub(crate) recorded: u64,
}

impl GroupState {
    pub(crate) fn new(group: Group, recorded: u64) -> Self {
        let rule = &*group.rule;
        let options = rule::is_of_this_crate(rule).then(|| format!("{rule:?}").into());
        Self { declared: Declared::of(rule), options, group, recorded }
    }

    /// The same groups with other options, and the same rule.
    pub(crate) fn with(&self, group: Group) -> Self {
        Self { group, ..self.clone() }
    }
}

/// The options of a group that decide kernels and state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupKind {
    pub(crate) rule: RuleKey,
    pub(crate) state: Format,
    /// The rows of the operand table that the group asks for, a bit each.
    pub(crate) kept: u16,
    pub(crate) stochastic: bool,
}

impl GroupKind {
    pub(crate) fn of(group: &Group) -> Self {
        Self::with(group, RuleKey::of(&*group.rule))
    }

    /// The options of a group whose rule has said this.
    pub(crate) fn with(group: &Group, rule: RuleKey) -> Self {
        Self {
            rule,
            state: group.state_format,
            kept: asked(group),
            stochastic: group.stochastic_rounding.is_some(),
        }
    }
}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    /// How many parameters were added before it: no other parameter of any time has this number.
    pub(crate) number: usize,
    pub(crate) name: String,
    pub(crate) group: usize,
    pub(crate) view: View,
    pub(crate) copy: Option<View>,
    pub(crate) master: Master,
    /// The element of its buffer where the parameter was added: random bits count from there.
    pub(crate) origin: u64,
    /// Where its state is, once it has some.
    pub(crate) spot: Option<Spot>,
    /// Whether its gradient has ever moved or been absent: then kernels expect that of every step.
    pub(crate) moves: bool,
}

/// A parameter's range in a slab.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Spot {
    pub(crate) slab: usize,
    /// The first element.
    pub(crate) at: u64,
}

/// The part of a parameter that changes from step to step.
#[derive(Clone, Debug)]
pub(crate) struct Grad {
    /// The gradient, unless the parameter has none.
    pub(crate) view: Option<View>,
    /// How it is stored, or was when there was one.
    pub(crate) format: Format,
    pub(crate) cohort: usize,
    /// Whether the parameter is frozen: then `view` is none.
    pub(crate) frozen: bool,
    /// The gradient that a frozen parameter has once it is unfrozen.
    pub(crate) held: Option<View>,
}
