// Backward: with d = gain · ∂loss/∂scaled, the stream's gradient is factor · (d − normed · mean(d · normed)). It comes
// on top of what reaches the stream past the layer, if ADDS; one invocation for each token.

@group(1) @binding(0) var<storage, read> scaled_gradient: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> normed: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read> factors: array<f32>;
@group(1) @binding(3) var<storage, read> params: array<vec4<f32>>;
@group(1) @binding(4) var<storage, read_write> stream_gradient: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    if token >= TOKENS {
        return;
    }
    let quads = WIDTH / 4u;
    let row = token * quads;
    var sum = 0.0;
    for (var quad = 0u; quad < quads; quad++) {
        sum += dot(scaled_gradient[row + quad] * params[GAIN / 4u + quad], normed[row + quad]);
    }
    let mean = sum / f32(WIDTH);
    for (var quad = 0u; quad < quads; quad++) {
        let d = scaled_gradient[row + quad] * params[GAIN / 4u + quad];
        let gradient = factors[token] * (d - normed[row + quad] * mean);
        if ADDS {
            stream_gradient[row + quad] += gradient;
        } else {
            stream_gradient[row + quad] = gradient;
        }
    }
}
