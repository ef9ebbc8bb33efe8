// Forward: outputs = inputs W, or inputs² W if SQUARED; one invocation for each 4×4 block of outputs. A file of
// `finish` says how a quad of them is stored.

@group(1) @binding(0) var<storage, read> inputs: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> params: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> outputs: array<vec4<f32>>;

fn input(at: u32) -> vec4<f32> {
    let x = inputs[at];
    return select(x, x * x, SQUARED);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let quads = OUTPUTS / 4u;
    let step = INPUTS / 4u;
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
    for (var k = 0u; k < step; k++) {
        let start = WEIGHTS / 4u + 4u * k * quads + quad;
        let weights = mat4x4(
            params[start],
            params[start + quads],
            params[start + 2u * quads],
            params[start + 3u * quads],
        );
        a += weights * input(row + k);
        b += weights * input(row + step + k);
        c += weights * input(row + 2u * step + k);
        d += weights * input(row + 3u * step + k);
    }
    let to = token * quads + quad;
    finish(to, a);
    finish(to + quads, b);
    finish(to + 2u * quads, c);
    finish(to + 3u * quads, d);
}
