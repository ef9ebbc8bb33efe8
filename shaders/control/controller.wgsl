// The GPU decides everything that depends on gradients, so that the host neither sees gradients nor waits.

// The arguments of one step, from the host.
struct Control {
    partials: u32,       // partial sums
    blocks: u32,         // blocks of scalars, one a cohort
    dependents: u32,     // scalars that depend on the number of steps taken
    params: u32,         // parameters
    looks: u32,          // 1: the step depends on its gradients
    skip_nonfinite: u32, // 1: no step if a gradient is Inf or NaN
    clip_norm: u32,      // 1: gradients are scaled until their norm is `max_norm`
    euclidean: u32,      // 1: the Euclidean norm; 0: the largest magnitude
    max_norm: f32,
    clip_value: f32,     // `CLIP_VALUE` only: the largest magnitude of a gradient, times a fixed loss scale
    fixed_scale: f32,    // the loss scale, if it is fixed; otherwise 0
    inverse: f32,        // 1 / fixed_scale, times `share`
    start_scale: f32,    // the scale that a dynamic loss scale starts at,
    start: u32,          //   and the number of that start: the GPU starts once
    growth: f32,
    backoff: f32,
    interval: u32,       // finite steps in a row until the loss scale grows
    share: f32,          // sums of gradients are multiplied by this for their mean
    recorded: u32,       // steps recorded, this one included
    counted: u32,        // 1: a step may have been skipped, so that the GPU counts
    sums: u32,           // the generation of the sums that this step takes
    peeks: u32,          // 1: no step, only which cohorts have taken any: their scalar `first` becomes 0
    unused_1: u32,
    unused_2: u32,
}

// The numbers that last from step to step.
struct Controller {
    scale: f32,          // the loss scale of the gradients to come
    growth_tracker: u32, // finite steps since it last changed
    steps: u32,          // steps taken
    skipped: u32,
    norm: f32,           // of the last step that looked at gradients,
    coefficient: f32,    //   its clipping coefficient,
    found_inf: u32,      //   and its first parameter with a gradient that is Inf or NaN
    looked: u32,         // steps that looked at gradients
    start: u32,          // the last start of a dynamic loss scale
    overrun: u32,        // 1: more steps were skipped than the window of scalars reaches back
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
    unused_3: u32,
    unused_4: u32,
    unused_5: u32,
    clocks: array<vec2<u32>>, // of each cohort: x: steps skipped; y: the generation that they are of
}

// If the largest magnitude is below 2^-40 or from 2^40 on, numbers are multiplied by UP or DOWN before they are
// squared.
const SMALL = 0x2b800000u; // bits of 2^-40
const LARGE = 0x53800000u; // bits of 2^40
const UP = 19342813113834066795298816.0; // 2^84
const DOWN = 5.169878828456423e-26;      // 2^-84

const NONE = 0xffffffffu;
const INFINITY = 0x7f800000u;

// The largest magnitude of a gradient as it is stored.
fn limit_now(clip_value: f32, fixed_scale: f32, scale: f32) -> f32 {
    return select(clip_value * scale, clip_value, fixed_scale > 0.0);
}
