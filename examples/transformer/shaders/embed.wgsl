// Forward: stream = token embedding + position embedding, one invocation for each quad of each token.

@group(1) @binding(0) var<storage, read> params: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read_write> stream: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let quads = WIDTH / 4u;
    let token = id.x / quads;
    let quad = id.x % quads;
    if token >= TOKENS {
        return;
    }
    let character = text[place(token)];
    let position = token % CONTEXT;
    stream[id.x] = params[TOKEN / 4u + character * quads + quad]
        + params[POSITION / 4u + position * quads + quad];
}
