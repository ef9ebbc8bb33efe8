// The parts that every step has: its scalars, and registers for the state.

// One step of one group. The host computes these in f64 and rounds each of them once.
struct Scalars {
    lr: f32,         // what the direction is multiplied by
    decay: f32,      // lr · λ of decoupled weight decay, otherwise 0
    l2: f32,         // λ of an L2 penalty, otherwise 0
    grad_scale: f32, // what the gradient is multiplied by: 1, −1 to maximize, and what clipping makes of it
    clip: f32,       // `CLIP_VALUE` only: the gradient's largest magnitude, before it is multiplied
    skip: f32,       // above 0 if the step is not to be taken
    noise_0: f32,    // what seed and step come to, for rounding at random
    noise_1: f32,
    ema: f32,        // how much of the parameter goes into its average: 1 at the first step
    first: f32,      // 1 at the parameter's first step, otherwise 0
    sums: f32,
    unused: f32,
    start_0: f32,    // the number that each slot starts at, unless that is the parameter
    start_1: f32,
    start_2: f32,
    start_3: f32,
    hyper: Hyper,    // the rule's own, at a multiple of 16 bytes
}

// The slots of one `real`, in registers. The driver loads them all before the rule runs and stores
// them all after it: behind the first store, no compiler may move another load up.
const MAX_SLOTS = 4u;
alias State = array<real, MAX_SLOTS>;
var<private> state: State;

// The rest of an old value plus the new part: keep · old + new. The host's f64 `keep` comes in
// two halves, because f32 alone misses it by up to 3e-8, and 1 / (1 − keep) multiplies that: a
// settled average at β = 0.999 would be off by 1.3e-5.
fn decayed(old: real, keep: f32, keep_low: f32, new_part: real) -> real {
    return keep * old + (keep_low * old + new_part);
}
