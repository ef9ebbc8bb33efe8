// This access moves four f32 numbers from any element on.
@group(role_group) @binding(role_binding) var<storage, read_write> role_buffer: array<f32>;

fn load_role(i: u32) -> real {
    return real(role_buffer[i], role_buffer[i + 1u], role_buffer[i + 2u], role_buffer[i + 3u]);
}

fn store_role(i: u32, x: real) {
    role_buffer[i] = x.x;
    role_buffer[i + 1u] = x.y;
    role_buffer[i + 2u] = x.z;
    role_buffer[i + 3u] = x.w;
}
