//! The list of the rules this crate ships: the only list of rules.

use super::entry::Entry;
use super::{adagrad, adam, lion, rmsprop, sgd};

/// Every rule this crate ships, one row each, simplest first: `verify`, the tests and the command walk it.
pub const ALL: &[Entry] = &[sgd::ENTRY, adagrad::ENTRY, lion::ENTRY, rmsprop::ENTRY, adam::ENTRY];
