// This kernel adds gradients to their sums. It overwrites the sum of an older step, whatever that sum is.

@group(0) @binding(sums_binding) var<uniform> sums: Sums;
// The generation of the sums that this launch makes.
@group(1) @binding(0) var<uniform> now: Sums;

// Returns the gradient, or zero if there is none.
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
    // All invocations agree on whether sums begin, so that a sum that begins is not read. The condition is fetched
    // before the branch that ends the outside invocations. Each way has all its loads together, so that no load waits
    // for the branch of another.
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
