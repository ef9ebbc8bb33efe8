// Backward through attention to the keys and values, one invocation for each head of each token, behind
// `query_gradient.wgsl`, which has the formulas. Both are sums over this and all later tokens of the window:
//
//     ∂loss/∂key   = Σ ∂loss/∂score query / √size
//     ∂loss/∂value = Σ p ∂loss/∂attended

@group(1) @binding(0) var<storage, read> qkv: array<vec4<f32>>;
@group(1) @binding(1) var<storage, read> log_sums: array<f32>;
@group(1) @binding(2) var<storage, read> inners: array<f32>;
@group(1) @binding(3) var<storage, read> attended_gradient: array<vec4<f32>>;
@group(1) @binding(4) var<storage, read_write> qkv_gradient: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= TOKENS * HEADS {
        return;
    }
    let here = place_of(id.x);
    let key_at = part(here.token, KEY, here.head);
    let value_at = part(here.token, VALUE, here.head);
    var key: Part;
    var value: Part;
    var of_key: Part;
    var of_value: Part;
    for (var i = 0u; i < HEAD_QUADS; i++) {
        key[i] = SCALE * qkv[key_at + i];
        value[i] = qkv[value_at + i];
        of_key[i] = vec4(0.0);
        of_value[i] = vec4(0.0);
    }
    for (var other = here.token; other < here.first + CONTEXT; other++) {
        let query = part(other, QUERY, here.head);
        let row = own(other, here.head);
        let head = other * HEADS + here.head;
        var score = 0.0;
        var of_weight = 0.0;
        for (var i = 0u; i < HEAD_QUADS; i++) {
            score += dot(key[i], qkv[query + i]);
            of_weight += dot(value[i], attended_gradient[row + i]);
        }
        let weight = exp(score - log_sums[head]);
        let of_score = SCALE * weight * (of_weight - inners[head]);
        for (var i = 0u; i < HEAD_QUADS; i++) {
            of_key[i] += of_score * qkv[query + i];
            of_value[i] += weight * attended_gradient[row + i];
        }
    }
    for (var i = 0u; i < HEAD_QUADS; i++) {
        qkv_gradient[key_at + i] = of_key[i];
        qkv_gradient[value_at + i] = of_value[i];
    }
}
