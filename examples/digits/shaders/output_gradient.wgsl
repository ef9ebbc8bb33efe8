// Backward: ∂loss/∂W2 = hiddenᵀ output_errors, one invocation for each weight, then each bias.

@group(1) @binding(0) var<storage, read> hidden: array<f32>;
@group(1) @binding(1) var<storage, read> output_errors: array<f32>;
@group(1) @binding(2) var<storage, read_write> grads: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x / CLASSES;
    let digit = id.x % CLASSES;
    if unit > HIDDEN {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < batch.count; row++) {
        var input = 1.0; // behind the last unit: the bias
        if unit < HIDDEN {
            input = hidden[row * HIDDEN + unit];
        }
        sum += input * output_errors[row * CLASSES + digit];
    }
    grads[W2 + id.x] = sum;
}
