// One code is a few bits.

fn decode_codec(bits: u32, scale: f32) -> real {
    return scale * codec_table[(bits & (codec_entries - 1u)) ^ codec_zero];
}

fn encode_codec(x: real, scale: f32, random: real_bits) -> u32 {
    if !is_ordinary(scale) {
        // Only infinite numbers have a code other than that of 0.
        let is_last = bitcast<u32>(scale) == INFINITE && x > LARGEST;
        return select(0u, (codec_entries - 1u) ^ codec_zero, is_last);
    }
    var y = x;
    var most = scale;
    if is_extreme(scale) {
        let raise = select(SMALL, LARGE, scale < SMALL);
        y = raised(x, raise);
        most = raise * scale;
    }
    return chosen_codec(settled_codec(guess_codec(y, most), y, most), y, most, random) ^ codec_zero;
}
