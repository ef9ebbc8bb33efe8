// This access moves f32 numbers as they are.
@group(role_group) @binding(role_binding) var<storage, read_write> role_buffer: array<real>;

fn load_role(i: u32) -> real {
    return role_buffer[i];
}

fn store_role(i: u32, x: real) {
    role_buffer[i] = x;
}

// Returns the number that loading gives after `x` is stored.
fn rounded_role(x: real) -> real {
    return x;
}
