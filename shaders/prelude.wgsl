// What every kernel shares. A `real` is what one invocation works on: vec4<f32> or f32.

override WORKGROUP_SIZE: u32 = 256u;

// One step of one group. The host computes these in f64 and rounds each of them once.
struct Scalars {
    lr: f32,         // what the direction is multiplied by
    decay: f32,      // lr · λ of decoupled weight decay, otherwise 0
    l2: f32,         // λ of an L2 penalty, otherwise 0
    grad_scale: f32, // 1, or −1 to maximize
    hyper: Hyper,    // the rule's own
}

// What one launch covers, in `real`s counted from the start of each binding.
struct Launch {
    param: u32,  // `direct` only: the first parameter,
    grad: u32,   //   its gradient
    state: u32,  //   and its state
    length: u32, // `direct`: `real`s; `table`: chunks
    row: u32,    // workgroups in a row of the grid: 65 535 are not enough
    shift: u32,  // `table` only: 2^shift workgroups share a chunk
}

// Where one invocation finds its numbers.
struct Place {
    param: u32,
    grad: u32,
    state: u32,
    scalars: u32, // `table` only: which block of scalars
    inside: bool, // false past the end: nothing may be touched
}

// The slots of one `real`, in registers. The driver loads them all before the rule runs and stores
// them all after it: behind the first store, no compiler may move another load up.
const MAX_SLOTS = 3u;
alias State = array<real, MAX_SLOTS>;
var<private> state: State;

// What remains of an old value, plus what is new: keep · old + new. The host's f64 `keep` comes in
// two halves, because f32 alone misses it by up to 3e-8, and 1 / (1 − keep) multiplies that: a
// settled average at β = 0.999 would be off by 1.3e-5.
fn decayed(old: real, keep: f32, keep_low: f32, new_part: real) -> real {
    return keep * old + (keep_low * old + new_part);
}
