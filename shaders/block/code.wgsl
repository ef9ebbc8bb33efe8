// A code of slots in blocks: its numbers, and then the limits between which numbers get a code.
var<workgroup> codec_table: array<f32, codec_words>;

fn fill_codec(lane: u32) {
    if lane < codec_words / 4u {
        let four = tables[codec_first + lane];
        codec_table[4u * lane] = four.x;
        codec_table[4u * lane + 1u] = four.y;
        codec_table[4u * lane + 2u] = four.z;
        codec_table[4u * lane + 3u] = four.w;
    }
}

// Returns codes that are right or next to right. The lowest line counts the codes from that of 0 on.
fn guess_codec(x: real, scale: f32) -> real_bits {
    let y = x * (1.0 / scale);
    if codec_signed {
        let steps = min(aimed_codec(lowest_codec(abs(y)), x), real(codec_most));
        let signed_steps = bitcast<real>(bitcast<real_bits>(steps) | (bitcast<real_bits>(x) & real_bits(0x80000000u)));
        return codec_zero + bitcast<real_bits>(real_integers(signed_steps));
    }
    return real_bits(max(min(aimed_codec(lowest_codec(y), x), real(codec_most)), real()));
}

// Returns the code from one that is right or next to right. Products are compared, because a quotient is not exact.
fn settled_codec(guess: u32, x: f32, scale: f32) -> u32 {
    let lower = codec_table[codec_entries + guess] * scale;
    let upper = codec_table[codec_entries + 1u + guess] * scale;
    return guess + select(0u, 1u, upper <= x) - select(0u, 1u, lower > x);
}
