// Every kernel has this file. One invocation works on a `real`, which is vec4<f32> or f32.

override WORKGROUP_SIZE: u32 = 256u;
override WORKGROUP_SPAN: u32 = WORKGROUP_SIZE; // the `real`s that a workgroup works on

// The part of the operands that one launch covers, in `real`s counted from the start of each binding.
struct Launch {
    param: u32,  // `direct` only: the first parameter,
    grad: u32,   //   its gradient
    state: u32,  //   and its state
    length: u32, // `direct`: `real`s; tables: chunks
    row: u32,    // workgroups in a row of the grid: 65 535 are not enough
    shift: u32,  // tables only: 2^shift workgroups share a chunk
    first: u32,  // the element for which noise is made, minus the element of the binding
    unused: u32,
    distances: array<vec4<u32>, 2>, // of operands without a column, by their rows: from the column's index to theirs
}

// In kernels without scalars, this number in the place of a block of scalars says that the parameter has no gradient.
const ABSENT = 1u;

// The place where one invocation finds its numbers.
struct Place {
    param: u32,
    grad: u32,
    state: u32,
    scalars: u32, // tables only: the block of scalars
    part: u32,    // which of the workgroups that share its launch (`direct`) or its chunk (tables)
    left: u32,    // `real`s from this one on, if it is inside
    inside: bool, // false past the end: nothing may be touched
}

// Whether there is a gradient. Only gradients that move may be absent; for all others a compiler knows that this is
// true.
fn has_gradient(at: Place) -> bool {
    return !gradients_move || at.scalars != ABSENT;
}
