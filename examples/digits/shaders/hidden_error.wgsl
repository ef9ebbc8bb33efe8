// Backward: hidden_errors = output_errors W2ᵀ where the unit was active, otherwise 0; one invocation
// for each unit of each image.

@group(1) @binding(0) var<storage, read> hidden: array<f32>;
@group(1) @binding(1) var<storage, read> output_errors: array<vec2<f32>>;
@group(1) @binding(2) var<storage, read> params: array<Pair>;
@group(1) @binding(3) var<storage, read_write> hidden_errors: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / HIDDEN;
    let unit = id.x % HIDDEN;
    if row >= batch.count {
        return;
    }
    var sum = 0.0;
    for (var pair = 0u; pair < PAIRS; pair++) {
        let errors = output_errors[row * PAIRS + pair];
        let weights = load_pair(params[W2 / 2u + unit * PAIRS + pair]);
        sum += errors.x * weights.x;
        sum += errors.y * weights.y;
    }
    let is_active = hidden[row * HIDDEN + unit] > 0.0;
    hidden_errors[row * HIDDEN + unit] = select(0.0, sum, is_active);
}
