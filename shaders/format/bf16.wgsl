// This file encodes bf16, the upper half of an f32, by integers only. A `bitcast` keeps bits that arithmetic might
// flush.

fn decode_bf16(bits: real_bits) -> real {
    return bitcast<real>(bits << real_bits(16u));
}

// Rounds to nearest, ties to even. A NaN becomes a quiet NaN with the upper bits of its payload.
fn encode_bf16(x: real) -> real_bits {
    let bits = bitcast<real_bits>(x);
    let upper = bits >> real_bits(16u);
    let rounded = (bits + 0x7fffu + (upper & real_bits(1u))) >> real_bits(16u);
    let is_nan = (bits & real_bits(0x7fffffffu)) > real_bits(0x7f800000u);
    return select(rounded, upper | real_bits(0x40u), is_nan);
}

// Rounds to one of the two nearest numbers, to the upper one as often as `x` is near to it.
fn dither_bf16(x: real, noise: real_bits) -> real {
    let bits = bitcast<real_bits>(x);
    let dithered = (bits + (noise >> real_bits(16u))) & real_bits(0xffff0000u);
    let is_finite = (bits & real_bits(0x7f800000u)) != real_bits(0x7f800000u);
    return bitcast<real>(select(bits, dithered, is_finite));
}
