// This kernel is one fused step. It reads every parameter, gradient and slot once, and then writes each that changes
// once.

// Loads all numbers and returns the new parameter. Stores nothing.
fn compute(at: Place, step: Scalars) -> real {
    let p = load_weight(at);
    let loaded = load_gradient(at.grad, u32(step.sums));
    load_state(at.state, p, step);
    load_beside(at);
    return moved(p, loaded, step);
}

// Stores all numbers.
fn commit(at: Place, x: real, step: Scalars) {
    let weight = store_weight(at, x, vec2(step.noise_0, step.noise_1));
    store_state(at.state);
    store_beside(at, weight, step);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn update(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = locate(workgroup, lane);
    // Scalars are fetched before the branch, where control flow is uniform. Behind the branch, a compiler must expect
    // that some invocations have left, and may fetch each scalar for each lane.
    let step = scalars_of(at);
    if at.inside & !skipped() {
        commit(at, compute(at, step), step);
    }
    if at.inside {
        clear_gradient(at.grad); // also in a step that is not taken
    }
}
