// Forward: logits = hidden W2 + b2, one invocation for each pair of digits of each image.

@group(1) @binding(0) var<storage, read> hidden: array<f32>;
@group(1) @binding(1) var<storage, read> params: array<Pair>;
@group(1) @binding(2) var<storage, read_write> logits: array<vec2<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / PAIRS;
    let pair = id.x % PAIRS;
    if row >= batch.count {
        return;
    }
    var sum = load_pair(params[B2 / 2u + pair]);
    for (var unit = 0u; unit < HIDDEN; unit++) {
        let weights = load_pair(params[W2 / 2u + unit * PAIRS + pair]);
        sum += hidden[row * HIDDEN + unit] * weights;
    }
    logits[id.x] = sum;
}
