// One fused step: every parameter, gradient and state is read once, then each that changes is written once.
//
//     g ← grad_scale · ∂f + l2 · p
//     p ← p − (lr · direction(g) + decay · p)

override CLIP_VALUE: bool = false;

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
        let p = load_weight(at);
        var loaded = load_grad(at.grad);
        load_state(at.state);
        let average = load_average(at);

        if CLIP_VALUE {
            loaded = clipped(loaded, step.clip);
        }
        let g = step.grad_scale * loaded + step.l2 * p;
        let u = direction(p, g, step.hyper);

        let key = vec2(step.noise_0, step.noise_1);
        let weight = store_weight(at, p - (step.lr * u + step.decay * p), key);
        store_state(at.state);
        store_average(at, average, weight, step.ema);
    }
    if at.inside {
        clear_grad(at.grad); // of a step that is not taken, too
    }
}
