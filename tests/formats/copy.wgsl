// A copy in place of a step: what is stored is what was loaded.
@compute @workgroup_size(WORKGROUP_SIZE)
fn update(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = locate(workgroup, lane);
    if at.inside {
        store_param(at.param, load_grad(at.grad));
    }
}
