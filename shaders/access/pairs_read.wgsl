// This access reads four numbers of 16 bits. Two share a word, the first of them in its lower half.
@group(role_group) @binding(role_binding) var<storage, read> role_buffer: array<vec2<u32>>;

fn load_role(i: u32) -> real {
    let words = role_buffer[i].xxyy;
    return decode_codec((words >> vec4(0u, 16u, 0u, 16u)) & vec4(0xffffu));
}
