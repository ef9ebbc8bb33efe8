// What one invocation works on: one element, where four neighbours do not stand on a 16-byte boundary.
alias real = f32;
alias real_bits = u32;

// Which element the `i`th is.
fn elements(i: u32) -> real_bits {
    return i;
}

fn total(x: real) -> f32 {
    return x;
}

fn highest(x: real_bits) -> u32 {
    return x;
}
