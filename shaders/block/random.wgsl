// A number gets one of the two codes around it: the upper one as often as the number is near to it.
var<workgroup> codec_numbers: array<f32, codec_entries>;

fn fill_codec(lane: u32) {
    if lane < codec_entries {
        codec_numbers[lane] = table_number(codec_first + lane);
    }
}

// Counts the numbers up to x, by bisection. Products are compared, because a quotient is not exact.
fn code_of_codec(x: f32, scale: f32, random: u32) -> u32 {
    var code = 0u;
    for (var half = codec_entries / 2u; half > 0u; half /= 2u) {
        let next = code + half;
        code = select(code, next, codec_numbers[next] * scale <= x);
    }
    let upper = min(code + 1u, codec_entries - 1u);
    let number = codec_numbers[code];
    // A width of 11 bits times a share of 13 bits is exact, so that it does not matter whether a device fuses the
    // product and the sum.
    let width = bitcast<f32>(bitcast<u32>(codec_numbers[upper] - number) & 0xffffe000u);
    let share = f32(2u * (random >> 20u) + 1u) / 8192.0;
    return select(code, upper, (number + width * share) * scale <= x);
}
