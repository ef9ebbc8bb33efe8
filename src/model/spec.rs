//! This module has the choices that parameters and options make about the text of a kernel.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::num::SlotCodes;
use crate::num::{Code, Format, Master, StateFormats, Stored};
use crate::rule::{self, Rule, Sign, Slot, Start, Variant};

/// The declarations of a rule. The library asks for them once, so that a rule that answers differently later changes
/// nothing.
#[derive(Clone, Debug)]
pub(crate) struct RuleKey(Arc<Said>);

#[derive(Debug, Eq, PartialEq)]
struct Said {
    name: &'static str,
    wgsl: &'static str,
    switches: Vec<(&'static str, bool)>,
    slots: Vec<(&'static str, Begins)>,
    /// For each slot, the signs of its numbers if it may be in blocks.
    signs: Vec<Option<Sign>>,
    hyper: usize,
    decays_after: bool,
    /// The slot on whose line the rule's average lies.
    averaged: Option<usize>,
    /// Whether the text and the switches are those of a rule of this crate.
    ours: bool,
}

/// The way in which a kernel gives a slot its first value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Begins {
    /// By the slab, which is zero when it is made.
    Zero,
    /// By a number among the step's scalars.
    Scalar,
    /// By the parameter before the step.
    Param,
}

impl RuleKey {
    pub(crate) fn of(rule: &dyn Rule) -> Self {
        let begins = |start: &Start| match start {
            Start::Zero => Begins::Zero,
            Start::Param => Begins::Param,
            _ => Begins::Scalar,
        };
        let slots: Vec<_> =
            rule.slots().iter().map(|slot| (slot.name, begins(&slot.start))).collect();
        let signs = rule.slots().iter().map(|slot| slot.blocks).collect();
        let (name, wgsl, switches) = (rule.name(), rule.wgsl(), rule.switches());
        let hyper = rule.hyper().len();
        let same = |ours: &Variant| {
            let ours = &ours.rule;
            ours.wgsl() == wgsl
                && ours.switches() == switches
                && ours.hyper().len() == hyper
                && ours.slots().len() == slots.len()
        };
        let ours = rule::ALL.iter().any(|entry| (entry.variants)().iter().any(same));
        let decays_after = rule.decays_after();
        let averaged = rule.average().map(|average| average.slot).filter(|at| *at < slots.len());
        Self(Arc::new(Said {
            name,
            wgsl,
            switches,
            slots,
            signs,
            hyper,
            decays_after,
            averaged,
            ours,
        }))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.0.name
    }

    pub(crate) fn wgsl(&self) -> &'static str {
        self.0.wgsl
    }

    pub(crate) fn switches(&self) -> &[(&'static str, bool)] {
        &self.0.switches
    }

    /// The number of slots.
    pub(crate) fn slots(&self) -> usize {
        self.0.slots.len()
    }

    /// Whether a slot's first value is the zero that its slab is made with.
    pub(crate) fn starts_at_zero(&self, slot: usize) -> bool {
        self.0.slots[slot].1 == Begins::Zero
    }

    /// Whether a slot's first value is the parameter before the step. A first value that is neither the parameter nor
    /// zero is a number among the step's scalars.
    pub(crate) fn starts_at_param(&self, slot: usize) -> bool {
        self.0.slots[slot].1 == Begins::Param
    }

    /// Whether another rule has the same slots with the same starts.
    pub(crate) fn has_slots_of(&self, other: &Self) -> bool {
        self.0.slots == other.0.slots
    }

    /// The number of scalars.
    pub(crate) fn hyper(&self) -> usize {
        self.0.hyper
    }

    /// Whether weight decay is taken off the parameter after the step.
    pub(crate) fn decays_after(&self) -> bool {
        self.0.decays_after
    }

    /// The slot on whose line the rule's average lies, if it keeps one.
    pub(crate) fn averaged(&self) -> Option<usize> {
        self.0.averaged
    }

    pub(crate) fn slot_names(&self) -> Vec<&'static str> {
        self.0.slots.iter().map(|(name, _)| *name).collect()
    }

    /// The codes of the slots, in the formats that a group wants.
    pub(crate) fn codes(&self, formats: &StateFormats) -> SlotCodes {
        if let StateFormats::All(format) = formats
            && let Some(format) = format.plain()
        {
            return SlotCodes::all(format); // also without slots
        }
        SlotCodes::of(self.declared_slots().iter().map(
            |slot| match slot.format(formats).stored() {
                Stored::Plain(format) => Code::Plain(format),
                Stored::Blocks(of) => Code::Blocks(of.code(slot.blocks == Some(Sign::Signed))),
            },
        ))
    }

    /// The slots as the rule declares them, but for their starts.
    pub(crate) fn declared_slots(&self) -> Vec<Slot> {
        let slots = self.0.slots.iter().zip(&self.0.signs);
        slots.map(|((name, _), blocks)| Slot { blocks: *blocks, ..Slot::zero(name) }).collect()
    }

    /// Whether the rule's text is this crate's own, so that it can be compiled without bounds checks.
    pub(crate) fn is_ours(&self) -> bool {
        self.0.ours
    }
}

impl PartialEq for RuleKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for RuleKey {}

impl Hash for RuleKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The text is left out, because it is long and rules with equal names and switches seldom differ in it.
        (self.0.name, &self.0.switches, self.0.slots.len()).hash(state);
    }
}

/// The work of a kernel.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Body {
    /// A step.
    Update,
    /// The traffic of a step with next to no arithmetic. Benchmarks compare a step with it.
    Stream,
    /// A move of the parameters to the average that a rule keeps, or back.
    Blend,
    /// The sums of gradients over several backward passes.
    Accumulate,
    /// The partial sums of a norm.
    Norm,
}

/// The way in which parameters are stored in fewer bits than they are computed in.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Weight {
    /// A step rounds parameters to nearest.
    Plain,
    /// A step rounds parameters at random.
    Stochastic,
    /// A step completes parameters with the low bits that are kept beside the state.
    Mastered(Master),
}

/// The place of gradients.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Grads {
    /// In a buffer of which a launch writes no other part.
    Own,
    /// In a buffer that the launch also writes. Both bindings must be of one kind.
    Shared,
    /// In the parameters' binding.
    Joined,
}

/// The choices that parameters and options make. A plan adds the width and the addressing.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Spec {
    pub(crate) body: Body,
    /// The rule, in steps only.
    pub(crate) rule: Option<RuleKey>,
    pub(crate) param: Format,
    pub(crate) grad: Format,
    /// The codes of the slots.
    pub(crate) state: SlotCodes,
    /// Whether codes of state in blocks are chosen at random.
    pub(crate) dithers: bool,
    pub(crate) weight: Weight,
    /// The format of copies, if there are any.
    pub(crate) copy: Option<Format>,
    /// The rows of the operand table that the group asks for, one bit each.
    pub(crate) kept: u16,
    /// Whether each gradient's magnitude is limited.
    pub(crate) clip_value: bool,
    /// Whether weight decay leaves out elements that the step moves away from 0.
    pub(crate) cautious: bool,
    pub(crate) grads: Grads,
    /// Whether gradients are zero once they are used.
    pub(crate) clear: bool,
    /// Whether gradients are sums. The kernel then checks that the sums were made.
    pub(crate) summed: bool,
}

impl Spec {
    /// The plainest kernel of a body, in f32.
    pub(crate) fn new(body: Body, rule: Option<RuleKey>) -> Self {
        Self {
            body,
            rule,
            param: Format::F32,
            grad: Format::F32,
            state: SlotCodes::all(Format::F32),
            dithers: false,
            weight: Weight::Plain,
            copy: None,
            kept: 0,
            clip_value: false,
            cautious: false,
            grads: Grads::Own,
            clear: false,
            summed: false,
        }
    }

    /// Whether the kernel is a step, or has parameters and state as one.
    pub(crate) fn is_step(&self) -> bool {
        matches!(self.body, Body::Update | Body::Stream | Body::Blend)
    }

    pub(crate) fn slots(&self) -> usize {
        self.rule.as_ref().filter(|_| self.is_step()).map_or(0, RuleKey::slots)
    }

    /// Whether a slot of the step is in blocks.
    pub(crate) fn in_blocks(&self) -> bool {
        matches!(self.body, Body::Update | Body::Stream) && !self.state.blocks().is_empty()
    }

    /// The master that completes the parameters.
    pub(crate) fn master(&self) -> Master {
        match self.weight {
            Weight::Mastered(master) if self.is_step() => master,
            _ => Master::None,
        }
    }
}

#[cfg(test)]
mod tests;
