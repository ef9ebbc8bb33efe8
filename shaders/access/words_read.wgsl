// This access reads f32 numbers as they are.
@group(role_group) @binding(role_binding) var<storage, read> role_buffer: array<real>;

fn load_role(i: u32) -> real {
    return role_buffer[i];
}
