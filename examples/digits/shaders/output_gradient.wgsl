// Backward: ∂loss/∂W2 = hiddenᵀ output_errors, one invocation for each pair of weights, then of
// biases.

@group(1) @binding(0) var<storage, read> hidden: array<f32>;
@group(1) @binding(1) var<storage, read> output_errors: array<vec2<f32>>;
@group(1) @binding(2) var<storage, read_write> grads: array<Pair>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x / PAIRS;
    let pair = id.x % PAIRS;
    if unit > HIDDEN {
        return;
    }
    var sum = vec2(0.0);
    for (var row = 0u; row < batch.count; row++) {
        var input = 1.0; // behind the last unit: the bias
        if unit < HIDDEN {
            input = hidden[row * HIDDEN + unit];
        }
        sum += input * output_errors[row * PAIRS + pair];
    }
    grads[W2 / 2u + id.x] = store_pair(sum);
}
