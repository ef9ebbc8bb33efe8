// What a step's gradients decide, on the GPU: the host neither sees them nor waits for them.

// What the host says of one step.
struct Control {
    partials: u32,       // how many there are
    blocks: u32,         // blocks of scalars
    dependents: u32,     // scalars that depend on the number of steps taken
    skip_nonfinite: u32, // 1: no step if a gradient is Inf or NaN
    clip_norm: u32,      // 1: gradients are scaled until their norm is `max_norm`
    max_norm: f32,
    clip_value: f32,     // `CLIP_VALUE` only: the largest magnitude of a gradient, loss scale aside
    new_scale: f32,      // above 0: the loss scale from this step on; below: from the next, negated
    growth: f32,
    backoff: f32,
    interval: u32,       // good steps in a row until the loss scale grows; 0: it stays
    euclidean: u32,      // 1: the Euclidean norm; 0: the largest magnitude
    share: f32,          // what sums of gradients are multiplied by for their mean; their `clip_value` is of the sum
    unused_0: u32,
    unused_1: u32,
    unused_2: u32,
}

// What is kept from step to step.
struct Ledger {
    scale: f32,       // the loss scale of the gradients to come
    good: u32,        // steps since it last changed
    taken: u32,
    skipped: u32,
    norm: f32,        // of the last step
    coefficient: f32, //   what clipping made of it
    first: u32,       //   the first partial with a gradient that is Inf or NaN
    unused: u32,
    ages: array<u32>, // steps taken by each block's parameters
}

// Where the largest magnitude is below 2^-40 or from 2^40 on, squares are scaled, by the squares of:
const SMALL = 0x2b800000u; // bits of 2^-40
const LARGE = 0x53800000u; // bits of 2^40
const UP = 19342813113834066795298816.0; // 2^84
const DOWN = 5.169878828456423e-26;      // 2^-84

// The smallest loss scale that a bad step leaves, 2^-126.
const SMALLEST = 1.1754943508222875e-38;

const NONE = 0xffffffffu;
const INFINITY = 0x7f800000u;

// The loss scale of this step's gradients.
fn scale_now(new_scale: f32, kept: f32) -> f32 {
    return select(kept, new_scale, new_scale > 0.0);
}
