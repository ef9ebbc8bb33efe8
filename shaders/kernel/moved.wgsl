override CLIP_VALUE: bool = false;

// Returns the parameter after the step, from the parameter and the gradient as they were loaded. The state is in
// registers.
//
//     g ← grad_scale · ∂f + l2 · p
//     p ← p − (lr · direction(p, g) + decay · p)
fn moved(p: real, gradient: real, step: Scalars) -> real {
    var loaded = gradient;
    if CLIP_VALUE {
        loaded = clipped(loaded, step.clip);
    }
    let g = step.grad_scale * loaded + step.l2 * p;
    return stepped(p, direction(p, g, step.hyper), step.lr, step.decay);
}
