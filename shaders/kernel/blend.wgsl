// This kernel moves parameters on the line to a slot: to the average that the rule keeps, or back.
//
//     p ← p + weight · (slot − p)          the weight comes in the place of the learning rate

@compute @workgroup_size(WORKGROUP_SIZE)
fn blend(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = locate(workgroup, lane);
    let step = scalars_of(at);
    // Before a parameter's first step, its slots have no numbers yet.
    if at.inside && step.first == 0.0 {
        let p = load_weight(at);
        load_state(at.state, p, step);
        load_beside(at);
        let weight = store_weight(at, p + step.lr * (state[blended_slot] - p), vec2<f32>());
        store_beside(at, weight, step);
    }
}
