// A number gets the nearest code; of two as near the upper one.
var<workgroup> codec_numbers: array<f32, codec_entries>;
// The middle between each number and the next.
var<workgroup> codec_middles: array<f32, codec_entries>;

fn fill_codec(lane: u32) {
    if lane < codec_entries {
        let number = table_number(codec_first + lane);
        let next = table_number(codec_first + min(lane + 1u, codec_entries - 1u));
        codec_numbers[lane] = number;
        codec_middles[lane] = 0.5 * (number + next);
    }
}

// Counts the middles up to x, by bisection. Products are compared, because a quotient is not exact.
fn code_of_codec(x: f32, scale: f32, random: u32) -> u32 {
    var code = 0u;
    for (var half = codec_entries / 2u; half > 0u; half /= 2u) {
        let next = code + half;
        code = select(code, next, codec_middles[next - 1u] * scale <= x);
    }
    return code;
}
