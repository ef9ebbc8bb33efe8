// Four codes are neighbouring bits.

fn decode_codec(bits: u32, scale: f32) -> real {
    let shifts = codec_bits * vec4(0u, 1u, 2u, 3u);
    let codes = ((vec4(bits) >> shifts) & vec4(codec_entries - 1u)) ^ vec4(codec_zero);
    let lower = vec2(codec_numbers[codes.x], codec_numbers[codes.y]);
    return scale * vec4(lower, codec_numbers[codes.z], codec_numbers[codes.w]);
}

fn encode_codec(x: real, scale: f32, random: real_bits) -> u32 {
    let raise = raise_of(scale);
    let most = raise * scale;
    let y = comparable(x, raise);
    let codes = vec4(
        code_of_codec(y.x, most, random.x),
        code_of_codec(y.y, most, random.y),
        code_of_codec(y.z, most, random.z),
        code_of_codec(y.w, most, random.w),
    );
    let all = (codes ^ vec4(codec_zero)) << (codec_bits * vec4(0u, 1u, 2u, 3u));
    return select(0u, (all.x | all.y) | (all.z | all.w), is_encoded(scale));
}
