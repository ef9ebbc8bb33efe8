// Forward: normed = stream / √(mean(stream²) + ε), scaled = normed · gain (RMSNorm); one invocation for each token.

@group(1) @binding(0) var<storage, read> stream: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> params: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> normed: array<vec4<f32>>;
@group(1) @binding(3) var<storage, read_write> scaled: array<vec4<f32>>;
// 1 / √(mean(stream²) + ε) of each token, for the way back.
@group(1) @binding(4) var<storage, read_write> factors: array<f32>;

const EPSILON = 1e-5;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    if token >= TOKENS {
        return;
    }
    let quads = WIDTH / 4u;
    let row = token * quads;
    var squares = 0.0;
    for (var quad = 0u; quad < quads; quad++) {
        let x = stream[row + quad];
        squares += dot(x, x);
    }
    let factor = inverseSqrt(squares / f32(WIDTH) + EPSILON);
    factors[token] = factor;
    for (var quad = 0u; quad < quads; quad++) {
        let x = stream[row + quad] * factor;
        normed[row + quad] = x;
        scaled[row + quad] = x * params[GAIN / 4u + quad];
    }
}
