// Forward: attended = Σ softmax(query · keys / √size) values over this and all earlier tokens of the window; one
// invocation for each head of each token. The softmax is taken on the way, and only its logarithm of the sum is kept.

@group(1) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read_write> attended: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read_write> log_sums: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= TOKENS * HEADS {
        return;
    }
    let here = place_of(id.x);
    var query: Part;
    var sum: Part;
    let start = part(here.token, QUERY, here.head);
    for (var i = 0u; i < HEAD_QUADS; i++) {
        query[i] = SCALE * qkv[start + i];
        sum[i] = vec4(0.0);
    }
    var top = -1e30;
    var total = 0.0;
    for (var other = here.first; other <= here.token; other++) {
        let key = part(other, KEY, here.head);
        let value = part(other, VALUE, here.head);
        var score = 0.0;
        for (var i = 0u; i < HEAD_QUADS; i++) {
            score += dot(query[i], qkv[key + i]);
        }
        // No exponential overflows: what was added up so far shrinks when a larger score comes.
        let larger = max(top, score);
        let shrink = exp(top - larger);
        let weight = exp(score - larger);
        total = total * shrink + weight;
        for (var i = 0u; i < HEAD_QUADS; i++) {
            sum[i] = sum[i] * shrink + weight * qkv[value + i];
        }
        top = larger;
    }
    let to = own(here.token, here.head);
    for (var i = 0u; i < HEAD_QUADS; i++) {
        attended[to + i] = sum[i] / total;
    }
    log_sums[id.x] = top + log(total);
}
