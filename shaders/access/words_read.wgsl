// f32, as it is, only read.
@group(role_group) @binding(role_binding) var<storage, read> role_buffer: array<real>;

fn load_role(i: u32) -> real {
    return role_buffer[i];
}
