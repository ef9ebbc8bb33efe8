// Backward: ∂loss/∂W = inputsᵀ ∂loss/∂outputs, with inputs² for inputs if SQUARED; one invocation for each 4×4 block.

@group(1) @binding(0) var<storage, read> inputs: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> output_gradient: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> grads: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let quads = OUTPUTS / 4u;
    let step = INPUTS / 4u;
    let block = id.x / quads;
    let quad = id.x % quads;
    if block >= step {
        return;
    }
    var a = vec4(0.0);
    var b = vec4(0.0);
    var c = vec4(0.0);
    var d = vec4(0.0);
    for (var token = 0u; token < TOKENS; token++) {
        let x = inputs[token * step + block];
        let input = select(x, x * x, SQUARED);
        let gradient = output_gradient[token * quads + quad];
        a += input.x * gradient;
        b += input.y * gradient;
        c += input.z * gradient;
        d += input.w * gradient;
    }
    let to = WEIGHTS / 4u + 4u * block * quads + quad;
    grads[to] = a;
    grads[to + quads] = b;
    grads[to + 2u * quads] = c;
    grads[to + 3u * quads] = d;
}
