// Backward: ∂loss/∂gain = Σ ∂loss/∂scaled · normed over all tokens, one workgroup for each quad of gains.

@group(1) @binding(0) var<storage, read> scaled_gradient: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> normed: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> grads: array<vec4<f32>>;

var<workgroup> sums: array<vec4<f32>, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let quads = WIDTH / 4u;
    let quad = group.x;
    var sum = vec4(0.0);
    for (var token = local; token < TOKENS; token += WORKGROUP_SIZE) {
        let at = token * quads + quad;
        sum += scaled_gradient[at] * normed[at];
    }
    sums[local] = sum;
    for (var half = WORKGROUP_SIZE / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            sums[local] += sums[local + half];
        }
    }
    if local == 0u {
        grads[GAIN / 4u + quad] = sums[0];
    }
}
