//! The scalars of a step that do not depend on the rule.

use crate::rule::MAX_SLOTS;

/// The scalars of one step that are not the rule's own, in f64: the members of `Scalars` in
/// `shaders/step.wgsl` before `hyper`, which says what each does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DriverScalars {
    pub(crate) lr: f64,
    pub(crate) decay: f64,
    pub(crate) l2: f64,
    pub(crate) grad_scale: f64,
    pub(crate) clip: f64,
    pub(crate) skip: f64,
    /// [`noise::key`](crate::num::noise::key) of a seed and the step.
    pub(crate) noise: [f64; 2],
    pub(crate) ema: f64,
    pub(crate) first: f64,
    pub(crate) sums: f64,
    /// [`noise::state_key`](crate::num::noise::state_key) of a seed and the step.
    pub(crate) state_noise: f64,
    pub(crate) start: [f64; MAX_SLOTS],
}

/// How many words [`DriverScalars`] take.
pub(crate) const DRIVER_SCALARS: usize = DriverScalars::NAMES.len();

impl DriverScalars {
    /// The members of `Scalars`, in order.
    pub(crate) const NAMES: [&str; 16] = [
        "lr",
        "decay",
        "l2",
        "grad_scale",
        "clip",
        "skip",
        "noise_0",
        "noise_1",
        "ema",
        "first",
        "sums",
        "state_noise",
        "start_0",
        "start_1",
        "start_2",
        "start_3",
    ];

    /// The numbers in the order of [`DriverScalars::NAMES`].
    pub(crate) fn words(self) -> [f64; DRIVER_SCALARS] {
        let Self { lr, decay, l2, grad_scale, clip, skip, noise, ema, first, sums, .. } = self;
        let Self { state_noise, start, .. } = self;
        let [noise_0, noise_1] = noise;
        let [start_0, start_1, start_2, start_3] = start;
        [
            lr,
            decay,
            l2,
            grad_scale,
            clip,
            skip,
            noise_0,
            noise_1,
            ema,
            first,
            sums,
            state_noise,
            start_0,
            start_1,
            start_2,
            start_3,
        ]
    }
}
