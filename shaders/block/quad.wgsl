// Four codes are neighbouring bits.

fn decode_codec(bits: u32, scale: f32) -> real {
    let all = bits ^ codec_zeros;
    let last = codec_entries - 1u;
    let first = vec2(codec_table[all & last], codec_table[(all >> codec_bits) & last]);
    let second = vec2(codec_table[(all >> (2u * codec_bits)) & last], codec_table[(all >> (3u * codec_bits)) & last]);
    return scale * vec4(first, second);
}

fn packed_codec(codes: real_bits) -> u32 {
    let first = codes.x | (codes.y << codec_bits);
    let second = (codes.z << (2u * codec_bits)) | (codes.w << (3u * codec_bits));
    return (first | second) ^ codec_zeros;
}

fn encode_codec(x: real, scale: f32, random: real_bits) -> u32 {
    if !is_ordinary(scale) {
        // Only infinite numbers have a code other than that of 0.
        let codes = select(real_bits(codec_zero), real_bits(codec_entries - 1u), x > real(LARGEST));
        return select(0u, packed_codec(codes), bitcast<u32>(scale) == INFINITE);
    }
    var y = x;
    var most = scale;
    if is_extreme(scale) {
        let raise = select(SMALL, LARGE, scale < SMALL);
        y = raised(x, raise);
        most = raise * scale;
    }
    let guess = guess_codec(y, most);
    let codes = vec4(
        chosen_codec(settled_codec(guess.x, y.x, most), y.x, most, random.x),
        chosen_codec(settled_codec(guess.y, y.y, most), y.y, most, random.y),
        chosen_codec(settled_codec(guess.z, y.z, most), y.z, most, random.z),
        chosen_codec(settled_codec(guess.w, y.w, most), y.w, most, random.w),
    );
    return packed_codec(codes);
}
