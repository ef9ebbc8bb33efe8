// This access moves four numbers of 16 bits from any element on. The first and the last may share a word with other
// numbers, which may change at the same time. No access disturbs those numbers.
@group(role_group) @binding(role_binding) var<storage, read_write> role_buffer: array<atomic<u32>>;

fn half_of_role(i: u32) -> u32 {
    return (atomicLoad(&role_buffer[i >> 1u]) >> ((i & 1u) * 16u)) & 0xffffu;
}

fn load_role(i: u32) -> real {
    let bits = vec4(half_of_role(i), half_of_role(i + 1u), half_of_role(i + 2u), half_of_role(i + 3u));
    return decode_codec(bits);
}

fn put_role(i: u32, bits: u32) {
    let shift = (i & 1u) * 16u;
    atomicAnd(&role_buffer[i >> 1u], ~(0xffffu << shift));
    atomicOr(&role_buffer[i >> 1u], bits << shift);
}

fn store_role(i: u32, x: real) {
    let bits = encode_codec(x);
    put_role(i, bits.x);
    put_role(i + 1u, bits.y);
    put_role(i + 2u, bits.z);
    put_role(i + 3u, bits.w);
}
