// This access moves 32 bits that are no number. A path of floats might change bits that look like a NaN.
@group(role_group) @binding(role_binding) var<storage, read_write> role_buffer: array<real_bits>;

fn load_role(i: u32) -> real_bits {
    return role_buffer[i];
}

fn store_role(i: u32, x: real_bits) {
    role_buffer[i] = x;
}
