// One code is a few bits.

fn decode_codec(bits: u32, scale: f32) -> real {
    return scale * codec_table[(bits & (codec_entries - 1u)) ^ codec_zero];
}

fn found_codec(x: real, scale: f32) -> real_bits {
    return settled_codec(guess_codec(x, scale), x, scale);
}

fn encode_codec(x: real, scale: f32, random: real_bits) -> u32 {
    if !is_encoded(scale) {
        return 0u;
    }
    let raise = raise_of(scale);
    let most = raise * scale;
    let y = comparable(x, raise);
    var code = chosen_codec(found_codec(y, most), y, most, random);
    if is_infinite(scale) {
        code = select(codec_zero, codec_entries - 1u, x > LARGEST);
    }
    return code ^ codec_zero;
}
