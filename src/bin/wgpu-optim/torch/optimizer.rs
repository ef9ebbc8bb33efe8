//! An optimizer's options and state in this crate's terms, between PyTorch's form and any other.

use serde_json::{Map, Value as Json};

use super::blocks::Blocks;
use super::value::Tensor;

/// All groups of an optimizer, and what it keeps of each parameter.
#[derive(Debug, Default)]
pub(crate) struct Optimizer {
    pub(crate) groups: Vec<Group>,
    /// Each group's in PyTorch's order, which is all that tells unnamed parameters apart.
    pub(crate) params: Vec<Param>,
}

/// The options of a group.
#[derive(Debug)]
pub(crate) struct Group {
    /// An object as CONFIG has it, with `optimizer`, `lr`, and every option of the rule.
    pub(crate) config: Map<String, Json>,
}

/// A parameter with its state.
#[derive(Debug)]
pub(crate) struct Param {
    /// The name, if it is known.
    pub(crate) name: Option<String>,
    /// The place of its group.
    pub(crate) group: usize,
    /// The steps that were taken; `None` before the first.
    pub(crate) steps: Option<u64>,
    /// Each slot of the rule with its numbers; empty before the first step.
    pub(crate) slots: Vec<(String, Tensor)>,
    /// The slots that are in blocks of codes instead.
    pub(crate) blocks: Vec<(String, Blocks)>,
}

impl Param {
    /// The shapes of the slots with their names.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let plain = self.slots.iter().map(|(slot, tensor)| (slot, tensor));
        let blocks = self.blocks.iter().map(|(slot, blocks)| (slot, &blocks.codes));
        plain.chain(blocks).map(|(slot, tensor)| (slot.as_str(), &tensor.shape[..]))
    }

    /// The name, or the position, for errors.
    pub(super) fn shown(&self, position: usize) -> String {
        match &self.name {
            Some(name) => format!("`{name}`"),
            None => format!("parameter {position}"),
        }
    }
}
