//! This module holds parameters and groups.

use std::sync::Arc;

use super::operand::asked;
use super::spec::RuleKey;
use crate::group::Group;
use crate::num::SlotCodes;
use crate::num::{Format, Master};
use crate::rule::{self, Declared, Memory, Past};
use crate::view::View;

/// A group, and the steps recorded for it.
#[derive(Clone, Debug)]
pub(crate) struct GroupState {
    pub(crate) group: Group,
    /// The declarations of the group's rule.
    pub(crate) declared: Declared,
    /// The rule's options as text, if the rule is a type of this crate. Rules with equal texts have equal scalars.
    pub(crate) options: Option<Arc<str>>,
    /// The schedules and the numbers that they do not set, as text, if there are schedules.
    pub(crate) scheduled: Option<Arc<str>>,
    pub(crate) recorded: u64,
    /// The memory of the rates of all recorded steps.
    pub(crate) memory: Memory,
    /// The rule's memory after the last recorded step, if it does not follow from the step's number.
    pub(crate) past: Option<Past>,
}

impl GroupState {
    pub(crate) fn new(group: Group, recorded: u64) -> Self {
        let rule = &*group.rule;
        let options = rule::is_of_this_crate(rule).then(|| format!("{rule:?}").into());
        let declared = Declared::of(rule);
        Self {
            declared,
            options,
            scheduled: scheduled(&group),
            group,
            recorded,
            memory: Memory::default(),
            past: None,
        }
    }

    /// Counts a recorded step. If the GPU counts the steps that are taken, only schedules tell their rates, and
    /// `Series` remembers those.
    pub(crate) fn count(&mut self, on_gpu: bool) {
        self.recorded += 1;
        if on_gpu {
            (self.memory, self.past) = (Memory::default(), None);
        } else {
            let now = self.group.now(self.recorded);
            self.past = now.note(self.recorded, &mut self.memory);
        }
    }

    /// Sets the learning rate, which then follows no schedule.
    pub(crate) fn set_lr(&mut self, lr: f64) {
        self.group.set_lr(lr);
        if self.scheduled.is_some() {
            self.scheduled = scheduled(&self.group);
        }
    }

    /// The same group with other options. The rule stays.
    pub(crate) fn with(&self, group: Group) -> Self {
        Self { scheduled: scheduled(&group), group, ..self.clone() }
    }
}

fn scheduled(group: &Group) -> Option<Arc<str>> {
    let Group { lr, weight_decay, decoupled, schedules, .. } = group;
    let text = || format!("{schedules:?} {lr:?} {weight_decay:?} {decoupled}").into();
    (!schedules.is_empty()).then(text)
}

/// The options of a group that decide kernels and state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupKind {
    pub(crate) rule: RuleKey,
    pub(crate) state: SlotCodes,
    /// Parameters with fewer elements have no blocks.
    pub(crate) block_min_size: u64,
    pub(crate) dithers: bool,
    /// The rows of the operand table that the group asks for, one bit each.
    pub(crate) kept: u16,
    pub(crate) stochastic: bool,
    pub(crate) cautious: bool,
}

impl GroupKind {
    pub(crate) fn of(group: &Group) -> Self {
        Self::with(group, RuleKey::of(&*group.rule))
    }

    /// The options of a group whose rule has these declarations.
    pub(crate) fn with(group: &Group, rule: RuleKey) -> Self {
        let state = rule.codes(&group.state_format);
        Self {
            rule,
            state,
            block_min_size: group.block_min_size,
            dithers: group.stochastic_state.is_some(),
            kept: asked(group),
            stochastic: group.stochastic_rounding.is_some(),
            cautious: group.cautious_weight_decay,
        }
    }

    /// The codes of the slots of a parameter of `len` elements.
    pub(crate) fn state_of(&self, len: u64) -> SlotCodes {
        if len < self.block_min_size { self.state.without_blocks() } else { self.state }
    }
}

/// A parameter.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    /// How many parameters were added before it: no other parameter of any time has this number.
    pub(crate) number: usize,
    /// The place of the parameter in [`Model::order`](super::Model::order).
    pub(crate) rank: usize,
    pub(crate) name: String,
    pub(crate) group: usize,
    pub(crate) view: View,
    pub(crate) copy: Option<View>,
    pub(crate) master: Master,
    /// The element of its buffer at which the parameter was added. Random bits count from that element.
    pub(crate) origin: u64,
    /// The place of the parameter's state, once there is some.
    pub(crate) spot: Option<Spot>,
    /// Whether the gradient has ever moved or been absent. If so, kernels expect it to move at every step.
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
    /// The format of the gradient, or of the last one if there is none now.
    pub(crate) format: Format,
    pub(crate) cohort: usize,
    /// Whether the parameter is frozen: then `view` is none.
    pub(crate) frozen: bool,
    /// The gradient that a frozen parameter has once it is unfrozen.
    pub(crate) held: Option<View>,
}
