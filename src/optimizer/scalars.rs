//! A step's scalars, and what shares them.

use crate::control::Control;
use crate::group::{DRIVER_SCALARS, DriverScalars, Group};
use crate::kernel::{BLOCK, WINDOW};
use crate::num::noise;
use crate::rule::{At, Declared};

/// Words of a block.
pub(super) const WORDS: usize = BLOCK as usize / size_of::<u32>();

/// Where `noise_0` and `noise_1` are in `Scalars` of `shaders/step.wgsl`.
const NOISE: std::ops::Range<usize> = 6..8;

/// A group and the steps it has taken.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) group: Group,
    /// What the group's rule declares.
    pub(super) declared: Declared,
    pub(super) taken: u64,
}

impl Steps {
    pub(super) fn new(group: Group) -> Self {
        Self { declared: Declared::of(&*group.rule), group, taken: 0 }
    }
}

/// What shares one set of scalars: a group's parameters that were added at the same step, since bias
/// correction counts the steps of the *parameter*.
#[derive(Debug, PartialEq)]
pub(super) struct Block {
    pub(super) group: usize,
    /// Steps the group had taken when its parameters were added.
    pub(super) born: u64,
}

/// The steps that a block's parameters have taken, if none was skipped.
pub(super) fn age(groups: &[Steps], block: &Block) -> u64 {
    groups[block.group].taken - block.born
}

/// Makes room for whole windows, which launches by table bind.
pub(super) fn fill_window(scalars: &mut Vec<u32>) {
    scalars.resize(scalars.len().next_multiple_of(WINDOW as usize * WORDS), 0);
}

/// A group's scalars at its parameters' `t`th step, but for random numbers, as bits.
pub(super) fn scalars(
    group: &Group,
    declared: &Declared,
    t: u64,
    control: Option<(&Control, f64)>,
) -> [u32; WORDS] {
    let mut scalars = [0.0; WORDS];
    let (driver, hyper) = scalars.split_at_mut(DRIVER_SCALARS);
    let start = declared.starts.map(|start| start.number(group.lr));
    let own = DriverScalars { start, ..group.driver_scalars(t, control) };
    driver.copy_from_slice(&own.words());
    group.rule.scalars(At { t, lr: group.lr }, &mut hyper[..declared.scalars]);
    scalars.map(|scalar| (scalar as f32).to_bits())
}

/// Appends the scalars of every block at the step its group has just counted, as bits.
pub(super) fn write_scalars(
    groups: &[Steps],
    blocks: &[Block],
    control: Option<(&Control, f64)>,
    into: &mut Vec<u32>,
) {
    for block in blocks {
        let Steps { group, declared, .. } = &groups[block.group];
        let t = age(groups, block);
        let mut scalars = scalars(group, declared, t, control);
        if let Some(seed) = group.stochastic_rounding {
            let key = noise::key(seed, t).map(|key| (key as f32).to_bits());
            scalars[NOISE].copy_from_slice(&key);
        }
        into.extend(scalars);
    }
}
