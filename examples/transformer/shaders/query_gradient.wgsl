// Backward through attention to the queries, one invocation for each head of each token. With p the softmax:
//
//     ∂loss/∂p     = ∂loss/∂attended · value
//     ∂loss/∂score = p (∂loss/∂p − inner),    inner = Σ p ∂loss/∂p = ∂loss/∂attended · attended
//     ∂loss/∂query = Σ ∂loss/∂score key / √size

@group(1) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> attended: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read> log_sums: array<f32>;
@group(1) @binding(3) var<storage, read> attended_gradient: array<vec4<f32>>;
@group(1) @binding(4) var<storage, read_write> qkv_gradient: array<vec4<f32>>;
@group(1) @binding(5) var<storage, read_write> inners: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= TOKENS * HEADS {
        return;
    }
    let here = place_of(id.x);
    let start = part(here.token, QUERY, here.head);
    let row = own(here.token, here.head);
    var query: Part;
    var gradient: Part;
    var sum: Part;
    var inner = 0.0;
    for (var i = 0u; i < HEAD_QUADS; i++) {
        query[i] = SCALE * qkv[start + i];
        gradient[i] = attended_gradient[row + i];
        sum[i] = vec4(0.0);
        inner += dot(gradient[i], attended[row + i]);
    }
    let log_sum = log_sums[id.x];
    for (var other = here.first; other <= here.token; other++) {
        let key = part(other, KEY, here.head);
        let value = part(other, VALUE, here.head);
        var score = 0.0;
        var of_weight = 0.0;
        for (var i = 0u; i < HEAD_QUADS; i++) {
            score += dot(query[i], qkv[key + i]);
            of_weight += dot(gradient[i], qkv[value + i]);
        }
        let of_score = SCALE * exp(score - log_sum) * (of_weight - inner);
        for (var i = 0u; i < HEAD_QUADS; i++) {
            sum[i] += of_score * qkv[key + i];
        }
    }
    for (var i = 0u; i < HEAD_QUADS; i++) {
        qkv_gradient[start + i] = sum[i];
    }
    inners[id.x] = inner;
}
