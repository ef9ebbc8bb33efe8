// The mean loss of the batch, kept for the host; one workgroup.

@group(1) @binding(0) var<storage, read> losses: array<f32>;
@group(1) @binding(1) var<storage, read_write> scores: array<f32>;

var<workgroup> sums: array<f32, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var token = local; token < TOKENS; token += WORKGROUP_SIZE) {
        sum += losses[token];
    }
    sums[local] = sum;
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            sums[local] += sums[local + half];
        }
    }
    if local == 0u {
        scores[batch.score] = sums[0] / f32(TOKENS);
    }
}
