// This kernel is one fused step of parameters with state in blocks. It reads and writes every number once, as `update`
// does. A workgroup works on whole blocks. All its invocations reach the barriers, behind which each block has the
// largest magnitude of its new numbers. The step uses the new numbers before they are encoded.

@compute @workgroup_size(WORKGROUP_SIZE)
fn update(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = locate(workgroup, lane);
    let step = scalars_of(at);
    let works = at.inside & !skipped();
    var p = real();
    var loaded = real();
    // Loads come before the first barrier, so that the tables arrive meanwhile.
    if works {
        p = load_weight(at);
        loaded = load_gradient(at.grad, u32(step.sums));
        load_state(at.state, p, step);
        load_beside(at);
    }
    fill_tables(lane);
    workgroupBarrier();
    var x = real();
    if works {
        decode_state(p, step);
        x = moved(p, loaded, step);
    }
    // An invocation that does not work still has zeros for state, which are part of no magnitude and get the code of 0.
    measure_state(lane);
    workgroupBarrier();
    gather_state(lane);
    workgroupBarrier();
    encode_state(lane, at, step);
    share_state();
    if works {
        let weight = store_weight(at, x, vec2(step.noise_0, step.noise_1));
        store_state(at.state, lane);
        store_beside(at, weight, step);
    }
    if at.inside {
        clear_gradient(at.grad); // also in a step that is not taken
    }
}
