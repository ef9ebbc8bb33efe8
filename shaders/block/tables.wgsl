// Blocks have tables, in a uniform: for each code of slots its numbers, then pairs of limits. Each workgroup copies
// them, because its invocations look up different numbers at once.

const LANES = 256u;
const SMALLEST_NORMAL = 0x00800000u; // the bits of the smallest normal f32
const INFINITE = 0x7f800000u;

@group(0) @binding(tables_binding) var<uniform> tables: array<vec4<f32>, tables_length>;

// Whether a block of this scale has codes of its own. Otherwise all its codes are that of 0.
fn is_encoded(scale: f32) -> bool {
    return bitcast<u32>(scale) - SMALLEST_NORMAL <= INFINITE - SMALLEST_NORMAL;
}

// Returns the factor that keeps products with a small scale from becoming subnormal, which some devices take for 0.
fn raise_of(scale: f32) -> f32 {
    return select(1.0, 18446744073709551616.0, scale < 5.421010862427522e-20); // 2⁶⁴, 2⁻⁶⁴
}

// Whether the reciprocal of a scale may be subnormal, so that it gives no guess.
fn is_too_large(scale: f32) -> bool {
    return scale > 1.2676506002282294e30; // 2¹⁰⁰
}

// Returns a number as codes are found for it: raised, and 0 if it is subnormal.
fn comparable(x: real, raise: f32) -> real {
    let magnitude = bitcast<real_bits>(x) & real_bits(0x7fffffffu);
    return raise * select(x, real(), magnitude < real_bits(SMALLEST_NORMAL));
}
