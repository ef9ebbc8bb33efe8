// These functions take the place of WGSL's own in rules. WGSL's own may lose a NaN, which must stay, and a driver may
// take every comparison of a number with itself for true. So these functions compare bits.

// Returns −1, 0 or 1 if x is below, at or above 0. A NaN stays a NaN.
fn sign_of(x: real) -> real {
    let bits = bitcast<real_bits>(x);
    let magnitude = bits & real_bits(0x7fffffffu);
    let one = bitcast<real>((bits & real_bits(0x80000000u)) | real_bits(0x3f800000u));
    // Above 0 and not a NaN: 0 becomes the largest integer.
    return select(x, one, magnitude - real_bits(1u) < real_bits(0x7f800000u));
}

// Returns `x`, but at least `low` and at most `high`, where `low` ≤ `high`. A NaN stays a NaN.
fn limited(x: real, low: real, high: real) -> real {
    let is_number = (bitcast<real_bits>(x) & real_bits(0x7fffffffu)) <= real_bits(0x7f800000u);
    return select(x, min(max(x, low), high), is_number);
}

// Returns −1, 0 or 1 as `sign_of` does, and 0 for a NaN, as PyTorch's `sign`.
fn sign_or_zero(x: real) -> real {
    let bits = bitcast<real_bits>(x);
    let magnitude = bits & real_bits(0x7fffffffu);
    let one = bitcast<real>((bits & real_bits(0x80000000u)) | real_bits(0x3f800000u));
    return select(real(), one, magnitude - real_bits(1u) < real_bits(0x7f800000u));
}

// Returns the larger of two numbers of 0 and more, or a NaN if one of them is a NaN. Numbers of 0 and more have the
// same order as their bits, and a NaN is above all of them.
fn larger(x: real, y: real) -> real {
    return bitcast<real>(max(bitcast<real_bits>(x), bitcast<real_bits>(y)));
}
