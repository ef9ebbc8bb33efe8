// Four codes are neighbouring bits.

fn decode_codec(bits: u32, scale: f32) -> real {
    let shifts = codec_bits * vec4(0u, 1u, 2u, 3u);
    let codes = ((vec4(bits) >> shifts) & vec4(codec_entries - 1u)) ^ vec4(codec_zero);
    let lower = vec2(codec_table[codes.x], codec_table[codes.y]);
    return scale * vec4(lower, codec_table[codes.z], codec_table[codes.w]);
}

fn found_codec(x: real, scale: f32) -> real_bits {
    let guess = guess_codec(x, scale);
    return vec4(
        settled_codec(guess.x, x.x, scale),
        settled_codec(guess.y, x.y, scale),
        settled_codec(guess.z, x.z, scale),
        settled_codec(guess.w, x.w, scale),
    );
}

fn encode_codec(x: real, scale: f32, random: real_bits) -> u32 {
    if !is_encoded(scale) {
        return 0u;
    }
    let raise = raise_of(scale);
    let most = raise * scale;
    let y = comparable(x, raise);
    let found = found_codec(y, most);
    var codes = vec4(
        chosen_codec(found.x, y.x, most, random.x),
        chosen_codec(found.y, y.y, most, random.y),
        chosen_codec(found.z, y.z, most, random.z),
        chosen_codec(found.w, y.w, most, random.w),
    );
    if is_infinite(scale) {
        codes = select(vec4(codec_zero), vec4(codec_entries - 1u), x > real(LARGEST));
    }
    let all = (codes ^ vec4(codec_zero)) << (codec_bits * vec4(0u, 1u, 2u, 3u));
    return (all.x | all.y) | (all.z | all.w);
}
