//! Rules: the direction a parameter moves in, given its gradient and its own history.
//!
//! A rule is two files, `shaders/rule/x.wgsl` and `src/rule/x.rs`, and its name in the three lists of this file,
//! of modules, of exports and of entries ([`ALL`]); see `docs/ADDING_A_RULE.md`. Learning rate, weight decay, maximizing, storage and addressing are the
//! driver's (`shaders/kernel/update.wgsl`), the same for every rule.

use std::any::{Any, TypeId};

mod adabelief;
mod adadelta;
mod adagrad;
mod adam;
mod adam_atan2;
mod adamax;
mod adan;
mod ademamix;
mod adopt;
mod asgd;
mod averaging;
mod check;
mod contract;
mod correction;
mod declared;
mod entry;
mod formula;
mod grams;
#[cfg(feature = "checkpoint")]
mod json;
#[cfg(feature = "cpu")]
mod lanes;
mod laprop;
mod lion;
mod madgrad;
mod memory;
mod nadam;
mod oracle;
mod radam;
mod rmsprop;
mod rprop;
mod schedule_free_adamw;
mod schedule_free_sgd;
mod sgd;
mod signum;
mod yogi;

pub use crate::num::MAX_SLOTS;
pub(crate) use check::{check_fraction, check_non_negative};
pub use contract::{
    Average, Copied, IntoRule, MAX_SCALARS, Rates, Rule, Scalar, Sign, Slot, Start, Varies,
};
pub(crate) use contract::{Evaluate, slot_names};
pub(crate) use declared::{Declared, check_declared};
pub use entry::{Entry, Variant};
pub use formula::{AHEAD, At, Decays, Formula, Past};
#[cfg(feature = "checkpoint")]
#[cfg_attr(docsrs, doc(cfg(feature = "checkpoint")))]
pub use json::Json;
#[cfg(feature = "checkpoint")]
pub(crate) use json::{Convention, Preset};
#[cfg(feature = "cpu")]
#[cfg_attr(docsrs, doc(cfg(feature = "cpu")))]
pub use lanes::Lanes;
pub(crate) use memory::Memory;
pub use oracle::Oracle;
pub use rules::*;

/// Every rule this crate ships, one row each, simplest first: `verify`, the tests and the command walk it.
#[rustfmt::skip] // One line each.
pub const ALL: &[Entry] = &[
    sgd::ENTRY,
    adagrad::ENTRY,
    lion::ENTRY,
    rmsprop::ENTRY,
    adam::ENTRY,
    nadam::ENTRY,
    radam::ENTRY,
    adamax::ENTRY,
    adadelta::ENTRY,
    adabelief::ENTRY,
    yogi::ENTRY,
    adan::ENTRY,
    asgd::ENTRY,
    rprop::ENTRY,
    signum::ENTRY,
    ademamix::ENTRY,
    adopt::ENTRY,
    madgrad::ENTRY,
    grams::ENTRY,
    adam_atan2::ENTRY,
    laprop::ENTRY,
    schedule_free_sgd::ENTRY,
    schedule_free_adamw::ENTRY,
];

/// The rules this crate ships.
pub mod rules {
    pub use super::adabelief::AdaBelief;
    pub use super::adadelta::Adadelta;
    pub use super::adagrad::Adagrad;
    pub use super::adam::Adam;
    pub use super::adam_atan2::AdamAtan2;
    pub use super::adamax::Adamax;
    pub use super::adan::Adan;
    pub use super::ademamix::AdEMAMix;
    pub use super::adopt::Adopt;
    pub use super::asgd::Asgd;
    pub use super::grams::Grams;
    pub use super::laprop::LaProp;
    pub use super::lion::Lion;
    pub use super::madgrad::Madgrad;
    pub use super::nadam::NAdam;
    pub use super::radam::RAdam;
    pub use super::rmsprop::RmsProp;
    pub use super::rprop::Rprop;
    pub use super::schedule_free_adamw::ScheduleFreeAdamw;
    pub use super::schedule_free_sgd::ScheduleFreeSgd;
    pub use super::sgd::Sgd;
    pub use super::signum::Signum;
    pub use super::yogi::Yogi;
}

/// Whether a rule's type is one of this crate: then its options, as its `Debug` text has them all, decide all of it.
pub(crate) fn is_of_this_crate(rule: &dyn Rule) -> bool {
    let type_of = |rule: &dyn Rule| -> TypeId { (rule as &dyn Any).type_id() };
    let of = type_of(rule);
    ALL.iter().any(|entry| (entry.variants)().iter().any(|ours| type_of(&*ours.rule) == of))
}
