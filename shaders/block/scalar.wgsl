// One code is a few bits.

fn decode_codec(bits: u32, scale: f32) -> real {
    return scale * codec_numbers[(bits & (codec_entries - 1u)) ^ codec_zero];
}

fn found_codec(x: real, scale: f32) -> real_bits {
    if is_too_large(scale) {
        return bisected_codec(x, scale);
    }
    return settled_codec(guess_codec(x, scale), x, scale);
}

fn encode_codec(x: real, scale: f32, random: real_bits) -> u32 {
    if !is_encoded(scale) {
        return 0u;
    }
    let raise = raise_of(scale);
    let most = raise * scale;
    let y = comparable(x, raise);
    return chosen_codec(found_codec(y, most), y, most, random) ^ codec_zero;
}
