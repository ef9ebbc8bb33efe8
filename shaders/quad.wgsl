// One invocation works on four neighbouring elements.
alias real = vec4<f32>;
alias real_bits = vec4<u32>;
alias real_integers = vec4<i32>;

// Returns the indices of the elements that the `i`th `real` holds.
fn elements(i: u32) -> real_bits {
    return 4u * i + vec4(0u, 1u, 2u, 3u);
}

fn total(x: real) -> f32 {
    return (x.x + x.y) + (x.z + x.w);
}

fn highest(x: real_bits) -> u32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}
