// A parameter is an f32 in two halves: the f32 rounded to bf16, and its lower 16 bits. Lower bits from 0x8000 on have
// rounded the bf16 up, away from zero; loading takes that back. With lower bits of 0, the f32 is the bf16.

fn load_weight(at: Place) -> real {
    let upper = bitcast<real_bits>(load_param(at.param)) >> real_bits(16u);
    let lower = bitcast<real_bits>(load_low_bits(low_bits_at(at))) >> real_bits(16u);
    return bitcast<real>(((upper - (lower >> real_bits(15u))) << real_bits(16u)) | lower);
}

fn store_weight(at: Place, x: real, key: vec2<f32>) -> real {
    let bits = bitcast<real_bits>(x);
    // Rounding could turn a NaN into a number, so a NaN is cut off instead.
    let is_nan = (bits & real_bits(0x7fffffffu)) > real_bits(0x7f800000u);
    let exact = select(bits, (bits | real_bits(0x400000u)) & real_bits(0xffff0000u), is_nan);
    let lower = exact & real_bits(0xffffu);
    let upper = (exact >> real_bits(16u)) + (lower >> real_bits(15u));
    store_param(at.param, bitcast<real>(upper << real_bits(16u)));
    store_low_bits(low_bits_at(at), bitcast<real>(lower << real_bits(16u)));
    return bitcast<real>(exact);
}
