// Parameters are f32, in two halves: a bf16 that is the f32 rounded, and the f32's lower 16 bits. From
// 0x8000 on those have rounded it up, away from zero, which loading takes back. A lower half of 0 is
// the bf16 itself.

fn load_weight(at: Place) -> real {
    let upper = bitcast<real_bits>(load_param(at.param)) >> real_bits(16u);
    let lower = bitcast<real_bits>(load_low_bits(low_bits_at(at))) >> real_bits(16u);
    return bitcast<real>(((upper - (lower >> real_bits(15u))) << real_bits(16u)) | lower);
}

fn store_weight(at: Place, x: real, key: vec2<f32>) -> real {
    let bits = bitcast<real_bits>(x);
    // Rounding could turn a NaN into a number: it is cut off instead.
    let is_nan = (bits & real_bits(0x7fffffffu)) > real_bits(0x7f800000u);
    let exact = select(bits, (bits | real_bits(0x400000u)) & real_bits(0xffff0000u), is_nan);
    let lower = exact & real_bits(0xffffu);
    let upper = (exact >> real_bits(16u)) + (lower >> real_bits(15u));
    store_param(at.param, bitcast<real>(upper << real_bits(16u)));
    store_low_bits(low_bits_at(at), bitcast<real>(lower << real_bits(16u)));
    return bitcast<real>(exact);
}
