//! Everything with everything: rule × parameter × gradient × state × what parameters are rounded from, copied
//! to and averaged in × addressing × control, as text.

use std::collections::{BTreeMap, BTreeSet};

use naga::valid::Capabilities;
use rayon::prelude::*;
use wgpu_optim::kernel::{Kernel, every_kernel_of};
use wgpu_optim::rule;
use wgpu_optim::verify::groups;

use crate::subject::validated;

/// Every kernel there can be is valid. Those of a rule's variants that keep as many slots are the same text,
/// and so are those that differ in switches.
#[test]
fn every_combination_is_valid() {
    let one_of_each: BTreeMap<_, _> = groups()
        .into_iter()
        .map(|group| ((group.rule.name(), group.rule.slots().len()), group))
        .collect();
    let has = |name: &str| one_of_each.keys().any(|(rule, _)| *rule == name);
    assert!(rule::ALL.iter().all(|entry| has(entry.name)), "{:?}", one_of_each.keys());
    let mut checked = 0;
    for group in one_of_each.values() {
        let texts: BTreeSet<(String, String)> = every_kernel_of(group)
            .filter(|kernel| kernel.name.ends_with("-update"))
            .map(|Kernel { name, wgsl, .. }| (wgsl, name))
            .collect();
        texts.par_iter().for_each(|(wgsl, name)| {
            validated(wgsl, name, Capabilities::empty());
        });
        checked += texts.len();
    }
    // 2 widths, 2 addresses, 3 kinds of gradients in 3 formats, state in 3, averaged or not; parameters plain
    // in 3 formats, at random or with a master in 2, with a remainder in 1, or with a copy in 2.
    assert_eq!(checked, one_of_each.len() * (2 * 2 * 3 * 3 * 3 * 2) * (3 + 2 + 2 + 1 + 2));
}
