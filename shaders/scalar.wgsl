// One invocation works on one element. A launch takes this width where four neighbours do not stand on a 16-byte
// boundary.
alias real = f32;
alias real_bits = u32;
alias real_integers = i32;

// The step from one index of a gradient to the next.
const GRAD_STRIDE = 1u;

// Returns the index of the element that the `i`th `real` holds.
fn elements(i: u32) -> real_bits {
    return i;
}

fn total(x: real) -> f32 {
    return x;
}

fn highest(x: real_bits) -> u32 {
    return x;
}
