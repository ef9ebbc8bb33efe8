// Four codes are neighbouring bits.

fn decode_codec(bits: u32, scale: f32) -> real {
    let shifts = codec_bits * vec4(0u, 1u, 2u, 3u);
    let codes = ((vec4(bits) >> shifts) & vec4(codec_entries - 1u)) ^ vec4(codec_zero);
    let lower = vec2(codec_numbers[codes.x], codec_numbers[codes.y]);
    return scale * vec4(lower, codec_numbers[codes.z], codec_numbers[codes.w]);
}

fn found_codec(x: real, scale: f32) -> real_bits {
    if is_too_large(scale) {
        let lower = vec2(bisected_codec(x.x, scale), bisected_codec(x.y, scale));
        return vec4(lower, bisected_codec(x.z, scale), bisected_codec(x.w, scale));
    }
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
    let codes = vec4(
        chosen_codec(found.x, y.x, most, random.x),
        chosen_codec(found.y, y.y, most, random.y),
        chosen_codec(found.z, y.z, most, random.z),
        chosen_codec(found.w, y.w, most, random.w),
    );
    let all = (codes ^ vec4(codec_zero)) << (codec_bits * vec4(0u, 1u, 2u, 3u));
    return (all.x | all.y) | (all.z | all.w);
}
