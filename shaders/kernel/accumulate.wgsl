// Adds gradients to their sums. A sum that is of an older step is begun anew, whatever it was.

@group(0) @binding(sums_binding) var<uniform> sums: Sums;
// The sums that are being made.
@group(1) @binding(0) var<uniform> now: Sums;

// The gradient, or zero without one.
fn gradient(at: Place) -> real {
    if has_gradient(at) {
        return load_grad(at.grad);
    }
    return real();
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn accumulate(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = locate(workgroup, lane);
    // All invocations agree on this, so that a sum that begins is not read. It is fetched before the branch that ends
    // the outside invocations, and each way has all its loads together: no load waits for another's branch.
    let goes_on = sums.generation == now.generation;
    if !at.inside {
        return;
    }
    if goes_on {
        store_sum(sum_at(at), gradient(at) + load_sum(sum_at(at)));
    } else {
        store_sum(sum_at(at), gradient(at));
    }
    if has_gradient(at) {
        clear_gradient(at.grad);
    }
}
