// Every step has scalars, and registers for the state.

// The scalars of one step of one cohort. The host computes them in f64 and rounds each of them once.
struct Scalars {
    lr: f32,         // the factor of the direction
    decay: f32,      // lr · λ of decoupled weight decay, otherwise 0
    l2: f32,         // λ of an L2 penalty, otherwise 0
    grad_scale: f32, // the factor of the gradient: 1, −1 to maximize, times the factors of loss scale and clipping
    clip: f32,       // `CLIP_VALUE` only: the largest magnitude of a gradient, before `grad_scale`
    skip: f32,       // above 0 if the step is skipped
    noise_0: f32,    // 48 bits of seed and step, for rounding at random
    noise_1: f32,
    ema: f32,        // the part of the parameter that goes into its average: 1 at the first step
    first: f32,      // 1 at the parameter's first step, otherwise 0
    sums: f32,
    state_noise: f32, // 24 bits of seed and step, for codes of state at random
    start_0: f32,    // the number at which each slot starts, unless it starts at the parameter
    start_1: f32,
    start_2: f32,
    start_3: f32,
    hyper: Hyper,    // the rule's own scalars, at a multiple of 16 bytes
}

// The slots of one `real`, in registers. The kernel loads all slots before the rule runs, and stores all of them after
// it, because no compiler may move a load before an earlier store.
const MAX_SLOTS = 4u;
alias State = array<real, MAX_SLOTS>;
var<private> state: State;

// Returns keep · old + new: the rest of an old value plus the new part. The host's f64 `keep` comes in two halves.
// One f32 misses it by up to 3e-8, and 1 / (1 − keep) multiplies that error: a settled average at β = 0.999 would be
// 1.3e-5 off.
fn decayed(old: real, keep: f32, keep_low: f32, new_part: real) -> real {
    return keep * old + (keep_low * old + new_part);
}

override CAUTIOUS: bool = false;
override DECAY_AFTER: bool = false;

// Returns the parameter after the step in direction `u`. Weight decay is taken off the parameter before the step, or
// with `DECAY_AFTER` off the one after it; with `CAUTIOUS` only where the step moves the parameter towards 0.
fn stepped(p: real, u: real, lr: f32, decay: f32) -> real {
    let moved = lr * u;
    var base = p;
    if DECAY_AFTER {
        base = p - moved;
    }
    var taken = decay * base;
    if CAUTIOUS {
        taken = select(real(), taken, u * p > real());
    }
    return p - (moved + taken);
}
