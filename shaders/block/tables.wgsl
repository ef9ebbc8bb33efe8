// Blocks have `tables`: for each code of slots its numbers, then its limits. Each workgroup copies them, because its
// invocations look up different numbers at once.

const LANES = 256u;
const SMALLEST_NORMAL = 0x00800000u; // the bits of the smallest normal f32
const INFINITE = 0x7f800000u;
const LARGEST = 3.4028234663852886e38; // the largest f32
const LARGE = 18446744073709551616.0;  // 2⁶⁴
const SMALL = 5.421010862427522e-20;   // 2⁻⁶⁴

// Whether a scale is a number above 0.
fn is_ordinary(scale: f32) -> bool {
    return bitcast<u32>(scale) - SMALLEST_NORMAL < INFINITE - SMALLEST_NORMAL;
}

// Whether products with a scale, or its reciprocal, may be subnormal, which some devices take for 0.
fn is_extreme(scale: f32) -> bool {
    return bitcast<u32>(scale) - bitcast<u32>(SMALL) > bitcast<u32>(LARGE) - bitcast<u32>(SMALL);
}

// Returns numbers for which codes are found in place of numbers with an extreme scale.
fn raised(x: real, raise: f32) -> real {
    let magnitude = bitcast<real_bits>(x) & real_bits(0x7fffffffu);
    return raise * select(x, real(), magnitude < real_bits(SMALLEST_NORMAL));
}
