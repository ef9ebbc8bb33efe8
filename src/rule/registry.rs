//! The list of the rules this crate ships: the only list of rules.

use std::any::{Any, TypeId};

use super::contract::Rule;
use super::entry::Entry;
use super::{adagrad, adam, lion, rmsprop, sgd};

/// Every rule this crate ships, one row each, simplest first: `verify`, the tests and the command walk it.
pub const ALL: &[Entry] = &[sgd::ENTRY, adagrad::ENTRY, lion::ENTRY, rmsprop::ENTRY, adam::ENTRY];

/// Whether a rule's type is one of this crate: then its options, as its `Debug` text has them all, decide all of it.
pub(crate) fn is_of_this_crate(rule: &dyn Rule) -> bool {
    let type_of = |rule: &dyn Rule| -> TypeId { (rule as &dyn Any).type_id() };
    let of = type_of(rule);
    ALL.iter().any(|entry| (entry.variants)().iter().any(|ours| type_of(&*ours.rule) == of))
}
