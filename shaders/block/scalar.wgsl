// One code is a few bits.

fn decode_codec(bits: u32, scale: f32) -> real {
    return scale * codec_numbers[(bits & (codec_entries - 1u)) ^ codec_zero];
}

fn encode_codec(x: real, scale: f32, random: real_bits) -> u32 {
    let raise = raise_of(scale);
    let code = code_of_codec(comparable(x, raise), raise * scale, random);
    return select(0u, code ^ codec_zero, is_encoded(scale));
}
