// This access moves one number of 16 bits in half a word. The other half may belong to another invocation, to another
// view or to nobody, and may change at the same time. No access disturbs it.
@group(role_group) @binding(role_binding) var<storage, read_write> role_buffer: array<atomic<u32>>;

fn load_role(i: u32) -> real {
    return decode_codec((atomicLoad(&role_buffer[i >> 1u]) >> ((i & 1u) * 16u)) & 0xffffu);
}

fn store_role(i: u32, x: real) {
    let shift = (i & 1u) * 16u;
    let bits = encode_codec(x);
    // Between the two operations this half is 0. Nobody sees that, because only this invocation accesses the half.
    atomicAnd(&role_buffer[i >> 1u], ~(0xffffu << shift));
    atomicOr(&role_buffer[i >> 1u], bits << shift);
}

// Returns the number that loading gives after `x` is stored.
fn rounded_role(x: real) -> real {
    return decode_codec(encode_codec(x));
}
