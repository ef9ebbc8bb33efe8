// Adds gradients to their sums, or begins those anew, whatever they were.

override FIRST: bool = false;

@compute @workgroup_size(WORKGROUP_SIZE)
fn accumulate(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = locate(workgroup, lane);
    if !at.inside {
        return;
    }
    var sum = load_grad(at.grad);
    if !FIRST {
        sum += load_sum(at.state);
    }
    store_sum(at.state, sum);
    clear_grad(at.grad);
}
