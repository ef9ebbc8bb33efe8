// A number gets the nearest code; of two as near the upper one. Limits are the middles between numbers.

fn shift_codec(x: real) -> real {
    return real();
}

fn chosen_codec(code: u32, x: f32, scale: f32, random: u32) -> u32 {
    return code;
}
