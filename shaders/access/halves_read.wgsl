// This access reads one number of 16 bits in half a word.
@group(role_group) @binding(role_binding) var<storage, read> role_buffer: array<u32>;

fn load_role(i: u32) -> real {
    return decode_codec((role_buffer[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu);
}
