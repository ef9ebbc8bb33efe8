//! Everything with everything: rule × width × addressing × formats × what completes parameters × what is beside
//! them × where gradients are × what becomes of them, as text.

use std::cell::RefCell;
use std::collections::HashSet;

use naga::valid::Capabilities;
use rayon::prelude::*;
use wgpu_optim::kernel::{Kernel, every_kernel_of};

use crate::cover::{Choices, Pair, choices, cover, pairs};
use crate::subject::validated;

/// Every two choices that a kernel can have together are in a kernel that is valid. Variants of a rule with
/// as many slots have the same text, whatever their switches.
#[test]
fn every_pair_of_choices_is_valid() {
    for group in support::one_of_each_text() {
        let rule = group.rule.name();
        let of = |kernel: &Kernel| -> Choices {
            let facts = kernel.facts.as_ref();
            choices(facts.unwrap_or_else(|| panic!("{}: no facts", kernel.name)))
        };
        let (all, names) = (RefCell::new(HashSet::<Pair>::new()), RefCell::new(HashSet::new()));
        let every = every_kernel_of(&group).inspect(|kernel| {
            all.borrow_mut().extend(pairs(&of(kernel)));
            assert!(names.borrow_mut().insert(kernel.name.clone()), "two of {}", kernel.name);
        });
        let chosen = cover(every, of);
        let covered: HashSet<Pair> =
            chosen.iter().flat_map(|kernel| pairs(&of(kernel)).collect::<Vec<_>>()).collect();
        assert_eq!(covered, all.into_inner(), "{rule}");
        let slots = support::slots(&group).len();
        println!("{rule}, {slots} slots: {} of {} kernels", chosen.len(), names.borrow().len());
        chosen.par_iter().for_each(|kernel| {
            validated(&kernel.wgsl, &kernel.name, Capabilities::empty());
        });
    }
}
