//! The table that properties walk. Its rows come from the library's registries: nobody lists a rule, a format
//! or a variant here.

use wgpu_optim::verify::{self, groups};
use wgpu_optim::{Accumulation, Control, Format, Group, Master, rule};

pub use wgpu_optim::verify::Case;

/// The rows that `verify` compares with the reference, and more that only differ in what is combined: averages
/// of every kind of parameter, sums in place of means, and the most that a step can bind.
pub fn cases() -> Vec<Case> {
    let mut all = verify::cases();
    let completed = |case: &&Case| {
        let Group { master, stochastic_rounding, ema, .. } = case.group;
        ema.is_none() && (master != Master::None || stochastic_rounding.is_some())
    };
    let averaged = all.iter().filter(completed).cloned();
    let averaged = averaged.map(|case| Case { group: case.group.clone().ema(0.9), ..case });
    let averaged: Vec<Case> = averaged.filter(Case::fits_default_limits).collect();
    all.extend(averaged);
    let sums = all.iter().filter(|case| case.accumulate > 0).cloned().map(|case| {
        let control = Control { accumulation: Accumulation::Sum, ..case.control };
        Case { control, ..case }
    });
    let sums: Vec<Case> = sums.collect();
    all.extend(sums);
    let control = Control { zero_grad: true, ..Control::default() };
    all.extend(halves().filter_map(|format| {
        let copied =
            |group: Group| Case { control, copy: Some(format), ..Case::new(group.ema(0.99)) };
        let fitting = groups().into_iter().map(copied).filter(Case::fits_default_limits);
        fitting.max_by_key(Case::storage_buffers)
    }));
    all
}

/// The first variant of every rule.
pub fn one_of_each() -> Vec<Group> {
    rule::ALL
        .iter()
        .filter_map(|entry| (entry.variants)().into_iter().next())
        .map(Group::from)
        .collect()
}

/// One group of each rule and number of slots. Other variants have the same kernels but for their switches.
pub fn one_of_each_text() -> Vec<Group> {
    let mut all = groups();
    all.sort_by_key(|group| (group.rule.name(), slots(group).len()));
    all.dedup_by_key(|group| (group.rule.name(), slots(group).len()));
    all
}

/// A group whose rule keeps the most slots.
pub fn most_slots() -> Group {
    let most = groups().into_iter().max_by_key(|group| slots(group).len());
    most.unwrap_or_else(|| panic!("there is no rule"))
}

/// The ways in which more than 16 bits of a parameter are kept, each with the formats that it is for.
pub fn masters() -> Vec<(Master, Format)> {
    let mut all = Vec::new();
    for Case { group, param, .. } in cases() {
        if group.master != Master::None && !all.contains(&(group.master, param)) {
            all.push((group.master, param));
        }
    }
    all
}

/// The names of a rule's slots, in order.
pub fn slots(group: &Group) -> Vec<&'static str> {
    group.rule.slots().iter().map(|slot| slot.name).collect()
}

/// The formats of 16 bits.
pub fn halves() -> impl Iterator<Item = Format> + Clone {
    Format::ALL.into_iter().filter(|format| format.bytes() == 2)
}
