//! Rules: the direction a parameter moves in, given its gradient and its own history.
//!
//! A rule is two files, `shaders/rule/x.wgsl` and `src/rule/x.rs`, and one row in [`ALL`]; see
//! `docs/ADDING_A_RULE.md`. Learning rate, weight decay, maximizing, storage and addressing are the
//! driver's (`shaders/kernel/update.wgsl`), the same for every rule.

mod adagrad;
mod adam;
mod check;
mod contract;
mod declared;
mod entry;
mod formula;
#[cfg(feature = "cli")]
mod json;
#[cfg(feature = "cpu")]
mod lanes;
mod lion;
mod oracle;
mod registry;
mod rmsprop;
mod sgd;

pub(crate) use check::{check_fraction, check_non_negative};
pub(crate) use contract::{Evaluate, slot_names};
pub use contract::{IntoRule, MAX_SCALARS, Rates, Rule, Scalar, Slot, Start, Varies};
pub(crate) use declared::{Declared, check_declared};
pub use entry::{Entry, Variant};
pub use formula::{At, Formula, MAX_SLOTS};
#[cfg(feature = "cli")]
#[cfg_attr(docsrs, doc(cfg(feature = "cli")))]
pub use json::Json;
#[cfg(feature = "cli")]
pub(crate) use json::{Convention, Preset};
#[cfg(feature = "cpu")]
#[cfg_attr(docsrs, doc(cfg(feature = "cpu")))]
pub use lanes::Lanes;
pub use oracle::Oracle;
pub use registry::ALL;
pub(crate) use registry::is_of_this_crate;
pub use rules::*;

/// The rules this crate ships.
pub mod rules {
    pub use super::adagrad::Adagrad;
    pub use super::adam::Adam;
    pub use super::lion::Lion;
    pub use super::rmsprop::RmsProp;
    pub use super::sgd::Sgd;
}
