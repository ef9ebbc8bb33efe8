// One number of 16 bits in half a word. The other half may be another invocation's, another view's or
// padding: no access may disturb it, whoever changes it at the same time.
@group(role_group) @binding(role_binding) var<storage, read_write> role_buffer: array<atomic<u32>>;

fn load_role(i: u32) -> real {
    return decode_codec((atomicLoad(&role_buffer[i >> 1u]) >> ((i & 1u) * 16u)) & 0xffffu);
}

fn store_role(i: u32, x: real) {
    let shift = (i & 1u) * 16u;
    let bits = encode_codec(x);
    // In between this half is 0, which nobody sees: it is this invocation's alone.
    atomicAnd(&role_buffer[i >> 1u], ~(0xffffu << shift));
    atomicOr(&role_buffer[i >> 1u], bits << shift);
}

// The number that loading gives after `x` is stored.
fn rounded_role(x: real) -> real {
    return decode_codec(encode_codec(x));
}
