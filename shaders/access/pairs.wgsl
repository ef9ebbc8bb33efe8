// This access moves four numbers of 16 bits. Two share a word, the first of them in its lower half.
@group(role_group) @binding(role_binding) var<storage, read_write> role_buffer: array<vec2<u32>>;

fn load_role(i: u32) -> real {
    let words = role_buffer[i].xxyy;
    return decode_codec((words >> vec4(0u, 16u, 0u, 16u)) & vec4(0xffffu));
}

fn store_role(i: u32, x: real) {
    let bits = encode_codec(x);
    role_buffer[i] = bits.xz | (bits.yw << vec2(16u));
}

// Returns the number that loading gives after `x` is stored.
fn rounded_role(x: real) -> real {
    return decode_codec(encode_codec(x));
}
