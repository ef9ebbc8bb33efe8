// A number gets one of the two codes around it: the upper one as often as the number is near to it. Limits are the
// numbers of codes, so that the code found is the last one up to x.

fn aimed_codec(steps: real, x: real) -> real {
    return steps + select(real(-0.5), real(0.5), x < real());
}

fn chosen_codec(code: u32, x: f32, scale: f32, random: u32) -> u32 {
    let number = codec_table[code];
    let upper = min(code + 1u, codec_entries - 1u);
    // A width of 11 bits times a share of 13 bits is exact, so that it does not matter whether a device fuses the
    // product and the sum.
    let width = bitcast<f32>(bitcast<u32>(codec_table[upper] - number) & 0xffffe000u);
    let share = f32(2u * (random >> 20u) + 1u) / 8192.0;
    return select(code, upper, (number + width * share) * scale <= x);
}
