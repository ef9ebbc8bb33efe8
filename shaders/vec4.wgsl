// What one invocation works on: four neighbouring elements.
alias real = vec4<f32>;
alias real_bits = vec4<u32>;

fn total(x: real) -> f32 {
    return (x.x + x.y) + (x.z + x.w);
}

fn highest(x: real_bits) -> u32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}
