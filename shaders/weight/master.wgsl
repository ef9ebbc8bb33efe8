// A parameter is an f32 in two parts: the 16-bit number nearest to it, and the difference of the two numbers' bits.
// With a difference of 0, the f32 is the 16-bit number.

fn load_weight(at: Place) -> real {
    let stored = bitcast<real_bits>(load_param(at.param));
    return bitcast<real>(stored + load_low_bits(low_bits_at(at)));
}

fn store_weight(at: Place, x: real, key: vec2<f32>) -> real {
    let stored = bitcast<real_bits>(decode_codec(encode_codec(x)));
    store_param(at.param, x);
    store_low_bits(low_bits_at(at), bitcast<real_bits>(x) - stored);
    return x;
}
