// One fused step: every parameter, gradient and state is read once, then each that changes is written once.
//
//     g ← grad_scale · ∂f + l2 · p
//     p ← p − (lr · direction(p, g) + decay · p)

override CLIP_VALUE: bool = false;

// All loads, and the new parameter. Nothing is stored.
fn compute(at: Place, step: Scalars) -> real {
    let p = load_weight(at);
    var loaded = load_gradient(at.grad, u32(step.sums));
    load_state(at.state, p, step);
    load_beside(at);

    if CLIP_VALUE {
        loaded = clipped(loaded, step.clip);
    }
    let g = step.grad_scale * loaded + step.l2 * p;
    let u = direction(p, g, step.hyper);
    return p - (step.lr * u + step.decay * p);
}

// All stores.
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
    // Before the branch, where every invocation agrees on them: behind it, a compiler must expect any
    // of them to have left, and may fetch each scalar for each lane.
    let step = scalars_of(at);
    if at.inside & !skipped() {
        commit(at, compute(at, step), step);
    }
    if at.inside {
        clear_gradient(at.grad); // of a step that is not taken, too
    }
}
