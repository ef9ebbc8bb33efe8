//! This module makes the words that the GPU reads before a step that depends on its gradients.

use super::scalars::StepArgs;
use crate::control::{Control, LossScale, Norm};
use crate::model::Model;

/// A struct of words with the names of its members, for the test that compares them with WGSL.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($member:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        $vis struct $name { $(pub(crate) $member: u32),* }

        impl $name {
            /// The members, in order.
            pub(crate) const NAMES: &'static [&'static str] = &[$(stringify!($member)),*];

            /// The words, in the order of the members.
            pub(crate) fn words(self) -> [u32; Self::NAMES.len()] {
                [$(self.$member),*]
            }
        }

        impl From<[u32; $name::NAMES.len()]> for $name {
            fn from([$($member),*]: [u32; $name::NAMES.len()]) -> Self {
                Self { $($member),* }
            }
        }
    };
}

words! {
    /// `Control` in `shaders/control/controller.wgsl`, as bits.
    pub(super) struct ControlWords {
        partials, blocks, dependents, params, looks, skip_nonfinite, clip_norm, euclidean, max_norm,
        clip_value, fixed_scale, inverse, start_scale, start, growth, backoff, interval, share, recorded,
        counted, sums, peeks, unused_1, unused_2,
    }
}

words! {
    /// `Controller` in `shaders/control/controller.wgsl` before the cohorts' clocks, as bits.
    pub(crate) struct ControllerWords {
        scale, growth_tracker, steps, skipped, norm, coefficient, found_inf, looked, start, overrun,
        unused_0, unused_1, unused_2, unused_3, unused_4, unused_5,
    }
}

/// The names of the words of `Control`.
pub(crate) const CONTROL_NAMES: &[&str] = ControlWords::NAMES;

/// Words of a cohort's clock in `Controller`, and of its row behind the blocks.
pub(crate) const CLOCK_WORDS: usize = 2;
pub(crate) const ROW_WORDS: usize = 4;

/// The parameter that a controller names if none had a gradient that is Inf or NaN.
pub(crate) const NONE: u32 = u32::MAX;

impl ControllerWords {
    /// Before the first step.
    pub(crate) fn new(control: &Control, start: u32) -> Self {
        let scale = (control.loss_scale.initial() as f32).to_bits();
        let coefficient = 1.0_f32.to_bits();
        Self { scale, coefficient, found_inf: NONE, start, ..Self::default() }
    }
}

/// How many there are of the things that a step's decision walks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) partials: u32,
    pub(super) dependents: u32,
}

impl ControlWords {
    /// The arguments of the next step.
    pub(super) fn new(model: &Model, args: StepArgs, counts: Counts) -> Self {
        let control = &*model.control;
        let bits = |x: f64| (x as f32).to_bits();
        let fixed = model.fixed_scale();
        let scale = fixed.unwrap_or(1.0) * args.multiplied;
        let (init, growth, backoff, interval) = match control.loss_scale {
            LossScale::Fixed(_) => (0.0, 0.0, 0.0, 0),
            LossScale::Dynamic { init, growth, backoff, interval } => {
                (init, growth, backoff, interval)
            }
        };
        Self {
            partials: counts.partials,
            blocks: model.cohorts.all().len() as u32,
            dependents: counts.dependents,
            params: model.places.len() as u32,
            looks: control.looks_at_gradients().into(),
            skip_nonfinite: control.skips().into(),
            clip_norm: control.clip_norm.is_some().into(),
            euclidean: (control.norm == Norm::Euclidean).into(),
            max_norm: bits(control.clip_norm.unwrap_or(0.0)),
            clip_value: bits(control.clip_value.unwrap_or(0.0) * scale),
            fixed_scale: bits(fixed.unwrap_or(0.0)),
            inverse: bits(1.0 / scale),
            start_scale: bits(init),
            start: model.last_start,
            growth: bits(growth),
            backoff: bits(backoff),
            interval,
            share: bits(1.0 / args.multiplied),
            recorded: model.recorded as u32,
            counted: model.cohorts.is_counted().into(),
            sums: args.sums,
            ..Self::default()
        }
    }
}
