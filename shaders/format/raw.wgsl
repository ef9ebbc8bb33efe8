// This file moves 16 bits as they are, as the upper half of a word.

fn decode_raw(bits: real_bits) -> real {
    return bitcast<real>(bits << real_bits(16u));
}

fn encode_raw(x: real) -> real_bits {
    return bitcast<real_bits>(x) >> real_bits(16u);
}
