// This access reads four numbers of 16 bits from any element on.
@group(role_group) @binding(role_binding) var<storage, read> role_buffer: array<u32>;

fn half_of_role(i: u32) -> u32 {
    return (role_buffer[i >> 1u] >> ((i & 1u) * 16u)) & 0xffffu;
}

fn load_role(i: u32) -> real {
    let bits = vec4(half_of_role(i), half_of_role(i + 1u), half_of_role(i + 2u), half_of_role(i + 3u));
    return decode_codec(bits);
}
