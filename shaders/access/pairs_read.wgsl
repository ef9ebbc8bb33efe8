// Four numbers of 16 bits, two to a word, the first in its lower half, only read.
@group(role_group) @binding(role_binding) var<storage, read> role_buffer: array<vec2<u32>>;

fn load_role(i: u32) -> real {
    let words = role_buffer[i].xxyy;
    return decode_codec((words >> vec4(0u, 16u, 0u, 16u)) & vec4(0xffffu));
}
