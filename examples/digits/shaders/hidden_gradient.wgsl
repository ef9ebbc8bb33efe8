// Backward: ∂loss/∂W1 = xᵀ hidden_errors, one invocation for each quad of weights, then of biases.

@group(1) @binding(0) var<storage, read> images: array<f32>;
@group(1) @binding(1) var<storage, read> order: array<u32>;
@group(1) @binding(2) var<storage, read> hidden_errors: array<vec4<f32>>;
@group(1) @binding(3) var<storage, read_write> grads: array<Quad>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.x / QUADS;
    let quad = id.x % QUADS;
    if pixel > INPUTS {
        return;
    }
    var sum = vec4(0.0);
    for (var row = 0u; row < batch.count; row++) {
        var input = 1.0; // behind the last pixel: the bias
        if pixel < INPUTS {
            input = images[order[batch.first + row] * INPUTS + pixel];
        }
        sum += input * hidden_errors[row * QUADS + quad];
    }
    grads[W1 / 4u + id.x] = store_quad(sum);
}
