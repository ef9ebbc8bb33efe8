// What every kernel shares. A `real` is what one invocation works on: vec4<f32> or f32.

override WORKGROUP_SIZE: u32 = 256u;
override WORKGROUP_SPAN: u32 = WORKGROUP_SIZE; // `real`s a workgroup works on

// What one launch covers, in `real`s counted from the start of each binding.
struct Launch {
    param: u32,  // `direct` only: the first parameter,
    grad: u32,   //   its gradient
    state: u32,  //   and its state
    length: u32, // `direct`: `real`s; `table`: chunks
    row: u32,    // workgroups in a row of the grid: 65 535 are not enough
    shift: u32,  // `table` only: 2^shift workgroups share a chunk
    first: u32,  // which element of its buffer the parameters' binding starts with
    lower: u32,  // from a place in the state to that of the parameter's remainder,
    average: u32, // and to that of its average;
    copy: u32,   // from a place among the parameters to that of its copy
    unused_0: u32,
    unused_1: u32,
}

// Where one invocation finds its numbers.
struct Place {
    param: u32,
    grad: u32,
    state: u32,
    scalars: u32, // `table` only: which block of scalars
    part: u32,    // which of the workgroups that share its launch (`direct`) or its chunk (`table`)
    left: u32,    // how many there are from this one on, if it is
    inside: bool, // false past the end: nothing may be touched
}
