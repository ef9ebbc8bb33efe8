// Forward: logits = hidden W2 + b2, one invocation for each digit of each image.

@group(1) @binding(0) var<storage, read> hidden: array<f32>;
@group(1) @binding(1) var<storage, read> params: array<f32>;
@group(1) @binding(2) var<storage, read_write> logits: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / CLASSES;
    let digit = id.x % CLASSES;
    if row >= batch.count {
        return;
    }
    var sum = params[B2 + digit];
    for (var unit = 0u; unit < HIDDEN; unit++) {
        sum += hidden[row * HIDDEN + unit] * params[W2 + unit * CLASSES + digit];
    }
    logits[id.x] = sum;
}
