// This access reads four f32 numbers from any element on.
@group(role_group) @binding(role_binding) var<storage, read> role_buffer: array<f32>;

fn load_role(i: u32) -> real {
    return real(role_buffer[i], role_buffer[i + 1u], role_buffer[i + 2u], role_buffer[i + 3u]);
}
