// This file encodes f16 of IEEE 754 by integers only. Drivers round `pack2x16float` either way, and flush subnormals.

fn decode_f16(bits: real_bits) -> real {
    let sign = (bits & real_bits(0x8000u)) << real_bits(16u);
    let magnitude = bits & real_bits(0x7fffu);
    // The exponent counts from −15 in f16, and from −127 in f32.
    let normal = (magnitude << real_bits(13u)) + (112u << 23u);
    let special = (magnitude << real_bits(13u)) | real_bits(0x7f800000u);
    // A subnormal n · 2⁻²⁴ is normal in f32. Its first bit becomes the implicit bit.
    let n = magnitude & real_bits(0x3ffu);
    let shift = countLeadingZeros(n) - 21u;
    let fraction = ((n << shift) & real_bits(0x3ffu)) << real_bits(13u);
    let not_zero = ((113u - shift) << real_bits(23u)) | fraction;
    let subnormal = select(not_zero, real_bits(), n == real_bits());
    let finite = select(normal, subnormal, magnitude < real_bits(0x400u));
    return bitcast<real>(sign | select(finite, special, magnitude >= real_bits(0x7c00u)));
}

// Rounds to nearest, ties to even. Numbers from 65 504 and half a step on become infinity. A NaN becomes a quiet NaN
// with the upper bits of its payload.
fn encode_f16(x: real) -> real_bits {
    let bits = bitcast<real_bits>(x);
    let sign = (bits >> real_bits(16u)) & real_bits(0x8000u);
    let magnitude = bits & real_bits(0x7fffffffu);
    let odd = (magnitude >> real_bits(13u)) & real_bits(1u);
    // A carry out of the fraction makes the next exponent, which is right.
    let rounded = (magnitude - (112u << 23u) + 0xfffu + odd) >> real_bits(13u);
    let normal = min(rounded, real_bits(0x7c00u));
    // A number below 2⁻¹⁴ becomes a multiple of 2⁻²⁴. A number that is shifted by 25 bits is below half of 2⁻²⁴.
    let significand = (magnitude & real_bits(0x7fffffu)) | real_bits(0x800000u);
    let shift = clamp(126u - (magnitude >> real_bits(23u)), real_bits(14u), real_bits(25u));
    let half = (real_bits(1u) << (shift - 1u)) - 1u + ((significand >> shift) & real_bits(1u));
    let subnormal = (significand + half) >> shift;
    let finite = select(normal, subnormal, magnitude < real_bits(113u << 23u));
    let nan = ((magnitude >> real_bits(13u)) & real_bits(0x3ffu)) | real_bits(0x7e00u);
    let special = select(real_bits(0x7c00u), nan, magnitude > real_bits(0x7f800000u));
    return sign | select(finite, special, magnitude >= real_bits(0x7f800000u));
}

// Rounds to one of the two nearest numbers, to the upper one as often as `x` is near to it.
fn dither_f16(x: real, noise: real_bits) -> real {
    let bits = bitcast<real_bits>(x);
    let magnitude = bits & real_bits(0x7fffffffu);
    let exponent = magnitude >> real_bits(23u);
    // 13 bits of the f32 are below the last bit of the f16; below 2⁻¹⁴ there are more.
    let below = min(126u - min(exponent, real_bits(113u)), real_bits(23u));
    let mask = (real_bits(1u) << below) - 1u;
    let dithered = (magnitude + (noise & mask)) & ~mask;
    // The neighbours of a number below 2⁻²⁴ are 0 and 2⁻²⁴. A number below 2⁻⁵⁵ is nearer to 0 than 32 bits can tell.
    let significand = (magnitude & real_bits(0x7fffffu)) | real_bits(0x800000u);
    let nearness = (significand << real_bits(8u)) >> min(102u - min(exponent, real_bits(102u)), real_bits(31u));
    let is_up = (noise < nearness) & (exponent > real_bits(71u));
    let least = select(real_bits(), real_bits(103u << 23u), is_up);
    let finite = select(dithered, least, exponent < real_bits(103u));
    let rounded = select(finite, magnitude, exponent == real_bits(255u));
    return bitcast<real>((bits & real_bits(0x80000000u)) | rounded);
}
