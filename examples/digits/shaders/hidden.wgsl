// Forward: hidden = max(0, x W1 + b1), one invocation for each quad of units of each image.

@group(1) @binding(0) var<storage, read> images: array<f32>;
@group(1) @binding(1) var<storage, read> order: array<u32>;
@group(1) @binding(2) var<storage, read> params: array<Quad>;
@group(1) @binding(3) var<storage, read_write> hidden: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / QUADS;
    let quad = id.x % QUADS;
    if row >= batch.count {
        return;
    }
    let image = order[batch.first + row] * INPUTS;
    var sum = load_quad(params[B1 / 4u + quad]);
    for (var pixel = 0u; pixel < INPUTS; pixel++) {
        let weights = load_quad(params[W1 / 4u + pixel * QUADS + quad]);
        sum += images[image + pixel] * weights;
    }
    hidden[row * QUADS + quad] = max(vec4(0.0), sum);
}
