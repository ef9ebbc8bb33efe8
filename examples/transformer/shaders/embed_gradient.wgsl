// Backward: the gradient of an embedding is the sum of the stream's over all tokens that it stands for; one invocation
// for each quad of each character, then of each position. Nothing is added atomically, so the sum has one order.

@group(1) @binding(0) var<storage, read> stream_gradient: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read_write> grads: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let quads = WIDTH / 4u;
    let row = id.x / quads;
    let quad = id.x % quads;
    if row >= VOCABULARY + CONTEXT {
        return;
    }
    var sum = vec4(0.0);
    if row < VOCABULARY {
        for (var token = 0u; token < TOKENS; token++) {
            if text[place(token)] == row {
                sum += stream_gradient[token * quads + quad];
            }
        }
        grads[TOKEN / 4u + row * quads + quad] = sum;
    } else {
        let position = row - VOCABULARY;
        for (var token = position; token < TOKENS; token += CONTEXT) {
            sum += stream_gradient[token * quads + quad];
        }
        grads[POSITION / 4u + position * quads + quad] = sum;
    }
}
