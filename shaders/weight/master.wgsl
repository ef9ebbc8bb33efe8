// Parameters are f32, in two parts: the 16-bit number nearest to it, and by how much the f32's bits
// differ from that number's. A difference of 0 is the number itself.

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
