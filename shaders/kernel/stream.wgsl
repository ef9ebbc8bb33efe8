// This kernel has the traffic of `update`, and one addition for each number that it writes. It shows how fast a step
// could be.

@compute @workgroup_size(WORKGROUP_SIZE)
fn update(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = locate(workgroup, lane);
    if !at.inside {
        return;
    }
    var step = Scalars();
    let p = load_weight(at);
    let g = load_gradient(at.grad, 0u);
    load_state(at.state, p, step);
    load_beside(at);

    state = State(state[0] + g, state[1] + g, state[2] + g, state[3] + g);
    step.ema = 1.0;

    let weight = store_weight(at, p + g, vec2<f32>());
    store_state(at.state);
    store_beside(at, weight, step);
    clear_gradient(at.grad);
}
