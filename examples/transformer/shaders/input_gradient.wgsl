// Backward: ∂loss/∂inputs = ∂loss/∂outputs Wᵀ, one invocation for each 4×4 block of it. A file of `finish` says how a
// quad of it is stored, in `outputs`.

@group(1) @binding(0) var<storage, read> output_gradient: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> params: array<vec4<f32>>;
// The numbers that the way forward has stored at the same place.
@group(1) @binding(2) var<storage, read> forward: array<vec4<f32>>;
@group(1) @binding(3) var<storage, read_write> outputs: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let quads = INPUTS / 4u;
    let step = OUTPUTS / 4u;
    let token = id.x / quads * 4u;
    let quad = id.x % quads;
    if token >= TOKENS {
        return;
    }
    let row = token * step;
    var a = vec4(0.0);
    var b = vec4(0.0);
    var c = vec4(0.0);
    var d = vec4(0.0);
    for (var n = 0u; n < step; n++) {
        let start = WEIGHTS / 4u + 4u * quad * step + n;
        let weights = mat4x4(
            params[start],
            params[start + step],
            params[start + 2u * step],
            params[start + 3u * step],
        );
        a += output_gradient[row + n] * weights;
        b += output_gradient[row + step + n] * weights;
        c += output_gradient[row + 2u * step + n] * weights;
        d += output_gradient[row + 3u * step + n] * weights;
    }
    let to = token * quads + quad;
    finish(to, a);
    finish(to + quads, b);
    finish(to + 2u * quads, c);
    finish(to + 3u * quads, d);
}
