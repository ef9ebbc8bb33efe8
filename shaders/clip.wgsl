// Returns `x` with a magnitude of at most `limit`. The comparison is in integers, because `clamp` may drop a NaN,
// which must stay.
fn clipped(x: real, limit: f32) -> real {
    let bits = bitcast<real_bits>(x);
    let magnitude = bits & real_bits(0x7fffffffu);
    let most = real_bits(bitcast<u32>(limit));
    let too_large = (magnitude > most) & (magnitude <= real_bits(0x7f800000u));
    return bitcast<real>(select(bits, (bits & real_bits(0x80000000u)) | most, too_large));
}
