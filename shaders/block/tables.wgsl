// Blocks have `tables`: for each code of slots its numbers, then pairs of limits. Each workgroup copies them, because its
// invocations look up different numbers at once.

const LANES = 256u;
const SMALLEST_NORMAL = 0x00800000u; // the bits of the smallest normal f32
const INFINITE = 0x7f800000u;
const LARGEST = 3.4028234663852886e38; // the largest f32

// Whether a block of this scale has codes of its own. Otherwise all its codes are that of 0.
fn is_encoded(scale: f32) -> bool {
    return bitcast<u32>(scale) - SMALLEST_NORMAL <= INFINITE - SMALLEST_NORMAL;
}

// Whether a scale is infinite. Then infinite numbers have the last code, and all others that of 0.
fn is_infinite(scale: f32) -> bool {
    return bitcast<u32>(scale) == INFINITE;
}

// Returns a power of two that keeps products with a small scale, and the reciprocal of a large one, from becoming
// subnormal, which some devices take for 0.
fn raise_of(scale: f32) -> f32 {
    let raised = select(1.0, 18446744073709551616.0, scale < 5.421010862427522e-20); // 2⁶⁴, 2⁻⁶⁴
    return select(raised, 5.421010862427522e-20, scale > 18446744073709551616.0);
}

// Returns a number as codes are found for it: raised, and 0 if it is subnormal.
fn comparable(x: real, raise: f32) -> real {
    let magnitude = bitcast<real_bits>(x) & real_bits(0x7fffffffu);
    return raise * select(x, real(), magnitude < real_bits(SMALLEST_NORMAL));
}
