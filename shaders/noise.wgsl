// This file makes random bits, a function of seed, step and element alone. `src/num/noise.rs` has the same function in
// Rust. The host makes 48 bits of seed and step; an f32 carries 24 of them exactly.

// The permutation of PCG-RXS-M-XS (O'Neill 2014), as a hash (Jarzynski & Olano 2020).
fn permuted(x: real_bits) -> real_bits {
    let mixed = x * 747796405u + 2891336453u;
    let word = ((mixed >> ((mixed >> real_bits(28u)) + 4u)) ^ mixed) * 277803737u;
    return (word >> real_bits(22u)) ^ word;
}

fn noise(element: real_bits, key: vec2<f32>) -> real_bits {
    let first = permuted(element + u32(key.x) * 0x9e3779b9u);
    return permuted(first ^ real_bits(u32(key.y) << 8u));
}
