
// Parameters and gradients are stored in 16 bits, two to a word, the first in its lower half. The host
// puts the format's name in place of `codec`; the library's file of that name decodes and encodes.
alias Pair = u32;
alias Quad = vec2<u32>;
alias real = vec2<f32>;
alias real_bits = vec2<u32>;

fn load_pair(stored: Pair) -> vec2<f32> {
    return decode_codec(vec2(stored & 0xffffu, stored >> 16u));
}

fn load_quad(stored: Quad) -> vec4<f32> {
    return vec4(load_pair(stored.x), load_pair(stored.y));
}

fn store_pair(x: vec2<f32>) -> Pair {
    let bits = encode_codec(x);
    return bits.x | (bits.y << 16u);
}

fn store_quad(x: vec4<f32>) -> Quad {
    return vec2(store_pair(x.xy), store_pair(x.zw));
}
