// The first half of a norm: each workgroup sums up its gradients. In a fixed order, so that the same
// gradients give the same bits.
//
// Squares of 1e-30 and of 1e30 are no f32 numbers. As Blue (1978) did, the small, the ordinary and the
// large are summed apart, the small and large scaled by powers of two.

override CLIP_VALUE: bool = false;

// x, y, z: sums of small, ordinary and large squares, as bits; w: the largest magnitude's bits.
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> ledger: Ledger;
@group(1) @binding(0) var<uniform> control: Control;

const SMALL = 0x2b800000u; // 2^-40: below is small
const LARGE = 0x53800000u; // 2^40: from here on is large
const UP = 19342813113834066795298816.0; // 2^84
const DOWN = 5.169878828456423e-26;      // 2^-84

const LANES = 256u;
var<workgroup> sums: array<vec3<f32>, LANES>;
var<workgroup> largest: array<u32, LANES>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let limit = control.clip_value * scale_now(control.new_scale, ledger.scale);
    var small = real();
    var ordinary = real();
    var large = real();
    var magnitudes = real_bits();
    for (var i = lane; i < WORKGROUP_SPAN; i += WORKGROUP_SIZE) {
        let at = locate(workgroup, i);
        if !at.inside {
            break;
        }
        let loaded = load_grad(at.grad);
        let bits = bitcast<real_bits>(loaded) & real_bits(0x7fffffffu);
        magnitudes = max(magnitudes, bits);
        var g = loaded;
        if CLIP_VALUE {
            g = clipped(loaded, limit);
        }
        let is_small = bitcast<real_bits>(abs(g)) < real_bits(SMALL);
        let is_large = bitcast<real_bits>(abs(g)) >= real_bits(LARGE);
        let scaled = g * select(select(real(1.0), real(UP), is_small), real(DOWN), is_large);
        let square = scaled * scaled;
        small += select(real(), square, is_small);
        large += select(real(), square, is_large);
        ordinary += select(square, real(), is_small | is_large);
    }
    sums[lane] = vec3<f32>(total(small), total(ordinary), total(large));
    largest[lane] = highest(magnitudes);
    workgroupBarrier();

    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half && lane + half < WORKGROUP_SIZE {
            sums[lane] += sums[lane + half];
            largest[lane] = max(largest[lane], largest[lane + half]);
        }
        workgroupBarrier();
    }
    if lane == 0u {
        let first = locate(workgroup, 0u);
        let index = first.param - first.part * WORKGROUP_SPAN + first.part;
        if first.inside {
            partials[index] = vec4<u32>(bitcast<vec3<u32>>(sums[0]), largest[0]);
        }
    }
}
