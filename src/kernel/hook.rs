//! This module has the table of hooks. A hook is a part of a kernel that spans several operands: a file of `shaders/`
//! and a row of [`HOOKS`].
//!
//! A kernel has the first hook of each part whose condition holds. Of the hooks beside the step it has all whose
//! conditions hold, in the order of the table.

use crate::model::{Body, Spec, Weight, keeps};
use crate::num::Master;

/// A part of a kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// `load_weight` and `store_weight`, for the parameter in f32.
    Weight,
    /// `load_gradient`.
    Gradient,
    /// `clear_gradient`.
    Clear,
    /// `load_x_beside` and `store_x_beside`, for operands that follow the parameter; `x` is the hook's name.
    Beside,
}

/// A file that spans operands, and the condition under which a kernel has it.
pub(super) struct Hook {
    pub(super) name: &'static str,
    pub(super) part: Part,
    /// The file's path below `shaders/`, and its text.
    pub(super) path: &'static str,
    pub(super) file: &'static str,
    pub(super) is_in: fn(&Spec) -> bool,
}

macro_rules! hook {
    ($part:ident, $name:literal, $file:literal, $is_in:expr) => {
        Hook {
            name: $name,
            part: Part::$part,
            path: $file,
            file: include_str!(concat!("../../shaders/", $file)),
            is_in: $is_in,
        }
    };
}

/// All hooks.
const HOOKS: &[Hook] = &[
    hook!(Weight, "plain", "weight/plain.wgsl", |spec| {
        spec.is_step() && spec.weight == Weight::Plain
    }),
    hook!(Weight, "stochastic", "weight/stochastic.wgsl", |spec| {
        spec.is_step() && spec.weight == Weight::Stochastic
    }),
    hook!(Weight, "remainder", "weight/remainder.wgsl", |spec| {
        spec.master() == Master::Remainder
    }),
    hook!(Weight, "master", "weight/master.wgsl", |spec| spec.master() == Master::F32),
    hook!(Gradient, "sum", "gradient/sum.wgsl", |spec| spec.summed),
    hook!(Gradient, "own", "gradient/own.wgsl", |spec| {
        !matches!(spec.body, Body::Accumulate | Body::Blend)
    }),
    hook!(Clear, "zero", "gradient/zero.wgsl", |spec| spec.clear),
    hook!(Clear, "keep", "gradient/keep.wgsl", |spec| {
        !matches!(spec.body, Body::Norm | Body::Blend)
    }),
    hook!(Beside, "copy", "beside/copy.wgsl", |spec| spec.copy.is_some()),
    hook!(Beside, "ema", "beside/ema.wgsl", |spec| keeps(spec, "ema")),
];

/// The hooks of a kernel.
pub(super) fn hooks(spec: &Spec) -> Vec<&'static Hook> {
    let mut all: Vec<&Hook> = Vec::new();
    for hook in HOOKS.iter().filter(|hook| (hook.is_in)(spec)) {
        let beside = hook.part == Part::Beside;
        let free = !all.iter().any(|other| other.part == hook.part);
        if if beside { spec.is_step() } else { free } {
            all.push(hook);
        }
    }
    all
}
