//! This module has the cases with state in blocks, and compares such state with the formula.

use super::Case;
use super::cases::Change;
use crate::control::{Control, LossScale};
use crate::group::Group;
use crate::num::{BlockCode, Format, Master, OneStep, StateFormat};
use crate::rule;

/// The slots of a group that are in blocks, with their codes.
pub(super) fn codes(group: &Group) -> Vec<Option<BlockCode>> {
    let code = |slot: &rule::Slot| {
        let format = slot.format(&group.state_format);
        format.code(slot.blocks == Some(rule::Sign::Signed))
    };
    group.rule.slots().iter().map(code).collect()
}

/// The cases with state in blocks: every rule that has such slots in both formats, then every other option of a step,
/// each with some rule.
pub fn block_cases() -> Vec<Case> {
    let in_blocks = |group: &Group| codes(group).iter().any(Option::is_some);
    let mut all = Vec::new();
    for format in [StateFormat::Block8, StateFormat::Block4] {
        for entry in rule::ALL {
            let groups = (entry.variants)().into_iter().map(Group::from);
            let mut groups = groups.map(|group| group.state_format(format));
            all.extend(groups.find(in_blocks).map(Case::new));
        }
    }
    // Rules with several such slots show more.
    let several = |group: &Group| {
        let group = group.clone().state_format(StateFormat::Block8);
        codes(&group).iter().flatten().count() > 1
    };
    let groups: Vec<Group> = super::groups().into_iter().filter(several).collect();
    let mut turn = groups.iter().cycle();
    let others = changes().into_iter().filter_map(|change| {
        let mut changed = turn.by_ref().map(|group| change(Case::new(group.clone())));
        changed.find(|case| in_blocks(&case.group) && case.fits_default_limits())
    });
    all.extend(others);
    all
}

/// The options of a step beside state in blocks.
fn changes() -> Vec<Change> {
    const BF16: Format = Format::Bf16;
    const BLOCK8: StateFormat = StateFormat::Block8;
    const BLOCK4: StateFormat = StateFormat::Block4;
    fn group(case: Case, change: impl Fn(Group) -> Group) -> Case {
        Case { group: change(case.group), ..case }
    }
    fn stored(case: Case, format: Format, state: StateFormat) -> Case {
        group(Case { param: format, grad: format, ..case }, |g| g.state_format(state))
    }
    fn mixed(group: Group) -> Group {
        let slots = rule::slot_names(&*group.rule);
        let formats = slots.into_iter().zip([BLOCK4, BLOCK8, StateFormat::Bf16, BLOCK8]);
        let formats: Vec<_> = formats.map(|(slot, format)| (slot.to_owned(), format)).collect();
        group.state_format(formats)
    }
    fn controlled(case: Case, state: StateFormat) -> Case {
        let loss_scale = LossScale::Dynamic { init: 64.0, growth: 2.0, backoff: 0.5, interval: 3 };
        let control = Control { loss_scale, skip_nonfinite: true, ..case.control };
        group(Case { control, ..case }, |g| g.state_format(state))
    }
    vec![
        |case| group(case, mixed),
        |case| group(case, |g| g.state_format(BLOCK8).stochastic_state(5)),
        |case| group(case, |g| g.state_format(BLOCK4).stochastic_state(6)),
        |case| stored(case, BF16, BLOCK8),
        |case| stored(case, Format::F16, BLOCK4),
        |case| group(stored(case, BF16, BLOCK8), |g| g.master(Master::Remainder).ema(0.9)),
        |case| group(stored(case, Format::F16, BLOCK4), |g| g.master(Master::F32)),
        |case| group(stored(case, BF16, BLOCK4), |g| g.stochastic_rounding(3).stochastic_state(4)),
        |case| Case { copy: Some(BF16), ..group(case, |g| g.state_format(BLOCK8).ema(0.99)) },
        |case| controlled(case, BLOCK8),
        |case| Case { accumulate: 3, ..controlled(case, BLOCK4) },
        |case| {
            let control = Control { zero_grad: true, clip_norm: Some(2.0), ..case.control };
            group(Case { control, ..case }, |g| g.state_format(BLOCK8))
        },
        |case| {
            let control = Control { clip_value: Some(0.25), ..case.control };
            group(Case { control, accumulate: 2, ..case }, mixed)
        },
        // Only the longer views are in blocks.
        |case| group(case, |g| g.state_format(BLOCK8).block_min_size(1000)),
    ]
}

/// A slot of one view as a step has written it.
pub(super) struct Encoded<'a> {
    pub(super) code: BlockCode,
    pub(super) scales: &'a [f32],
    pub(super) numbers: &'a [f32],
    /// Seed, step, the slot's number and the view's first element, if codes are chosen at random.
    pub(super) random: Option<(u64, u64, u32, u32)>,
}

impl Encoded<'_> {
    /// Whether the scale of a block can be the largest magnitude of these numbers.
    fn scale_fits(&self, block: usize, expected: &[OneStep]) -> Option<bool> {
        if expected.iter().any(|x| !x.is_bounded() || x.value.is_nan()) {
            return None;
        }
        let scale = f64::from(self.scales[block]);
        let most = |sign: f64| {
            let of = |x: &OneStep| x.value.abs() + sign * x.error;
            expected.iter().map(of).fold(0.0, f64::max)
        };
        // A magnitude that is subnormal, or that a device may take for 0, counts as 0.
        let low = if most(-1.0) < 2.0 * f64::from(f32::MIN_POSITIVE) { 0.0 } else { most(-1.0) };
        Some((low..=most(1.0)).contains(&scale))
    }

    /// The error of element `i` in bounds, where a step by the formula gives `expected`. The bound is that of the
    /// number itself and the largest distance between codes around it. Besides, rounding is monotonic, so that the
    /// number must lie between those of the ends of its bound. There is no ratio if WGSL promises nothing.
    pub(super) fn ratio(&self, i: usize, expected: &[OneStep]) -> Option<f64> {
        let len = self.code.block() as usize;
        let block = i / len;
        let end = expected.len().min((block + 1) * len);
        let (x, is, scale) = (expected[i], self.numbers[i], self.scales[block]);
        if i.is_multiple_of(len) && self.scale_fits(block, &expected[i..end]) == Some(false) {
            return Some(f64::INFINITY);
        }
        if !x.is_bounded() || !scale.is_finite() {
            return None;
        }
        let ends = [x.value - x.error, x.value + x.error];
        let rounded = |x: f32| self.code.decode(self.encode(x, scale, i), scale);
        let low = rounded((ends[0] as f32).next_down());
        let high = rounded((ends[1] as f32).next_up());
        if !(low..=high).contains(&is) {
            return Some(f64::INFINITY);
        }
        let step = self.code.step_around(ends, scale, self.random.is_some());
        let off = (f64::from(is) - x.value).abs();
        // The decoded product is rounded, too.
        let bound = x.error + step + f64::from(f32::EPSILON) * f64::from(is.abs());
        Some(if off == 0.0 { 0.0 } else { off / bound })
    }

    fn encode(&self, x: f32, scale: f32, i: usize) -> u8 {
        match self.random {
            None => self.code.encode(x, scale),
            Some((seed, step, slot, first)) => {
                let place = (slot, first.wrapping_add(i as u32));
                self.code.encode_at_random((x, scale), seed, step, place)
            }
        }
    }
}
