// A code of slots in blocks: its numbers, and for each of its codes the limits between which numbers get the code.
var<workgroup> codec_numbers: array<f32, codec_entries>;
var<workgroup> codec_limits: array<vec2<f32>, codec_entries>;

fn fill_codec(lane: u32) {
    const quads = codec_entries / 4u;
    if lane < quads {
        let four = tables[codec_first + lane];
        codec_numbers[4u * lane] = four.x;
        codec_numbers[4u * lane + 1u] = four.y;
        codec_numbers[4u * lane + 2u] = four.z;
        codec_numbers[4u * lane + 3u] = four.w;
    } else if lane < 3u * quads {
        let four = tables[codec_first + lane];
        codec_limits[2u * (lane - quads)] = four.xy;
        codec_limits[2u * (lane - quads) + 1u] = four.zw;
    }
}

// Returns codes that are right or next to right. The lowest line counts the codes from that of 0 on.
fn guess_codec(x: real, scale: f32) -> real_bits {
    let y = select(max(x, real()), abs(x), codec_signed) * (1.0 / scale);
    let steps = real_bits(max(lowest_codec(y) + shift_codec(x), real()));
    let below = codec_zero - min(steps, real_bits(codec_zero));
    let above = min(codec_zero + steps, real_bits(codec_entries - 1u));
    return select(above, below, x < real());
}

// Returns the code from one that is right or next to right. Products are compared, because a quotient is not exact.
fn settled_codec(guess: u32, x: f32, scale: f32) -> u32 {
    let limits = codec_limits[guess];
    return guess + select(0u, 1u, limits.y * scale <= x) - select(0u, 1u, limits.x * scale > x);
}

// Returns the code by bisection: counts the upper limits up to x.
fn bisected_codec(x: f32, scale: f32) -> u32 {
    var code = 0u;
    for (var half = codec_entries / 2u; half > 0u; half /= 2u) {
        let next = code + half;
        code = select(code, next, codec_limits[next - 1u].y * scale <= x);
    }
    return code;
}
