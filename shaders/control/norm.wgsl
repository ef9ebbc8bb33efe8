// The first half of a norm: each workgroup sums up its gradients' squares. In a fixed order, so that the
// same gradients give the same bits.

override CLIP_VALUE: bool = false;

// x, y, z: sums of squares of the small, scaled up, of the ordinary, and of the large, scaled down, as
// bits; w: the largest magnitude's bits.
@group(0) @binding(2) var<storage, read_write> partials: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> ledger: Ledger;
@group(1) @binding(0) var<uniform> control: Control;

// 16 invocations add up 16 numbers each, one adds up theirs: a tree would take 8 barriers for these 2.
const SIDE = 16u;
const LANES = SIDE * SIDE;
var<workgroup> shared_partials: array<vec4<u32>, LANES>;

// What 16 invocations have, from `first` on and `stride` apart, as one partial.
fn gather(first: u32, stride: u32) -> vec4<u32> {
    var all = shared_partials[first];
    for (var i = 1u; i < SIDE; i++) {
        let other = first + i * stride;
        if other < WORKGROUP_SIZE {
            let partial = shared_partials[other];
            let sums = bitcast<vec3<f32>>(all.xyz) + bitcast<vec3<f32>>(partial.xyz);
            all = vec4<u32>(bitcast<vec3<u32>>(sums), max(all.w, partial.w));
        }
    }
    return all;
}

// What one invocation has summed up.
struct Sum {
    squares: real,
    magnitude: real_bits,
}

fn plus(sum: Sum, loaded: real, limit: f32, scale: f32) -> Sum {
    let magnitude = bitcast<real_bits>(loaded) & real_bits(0x7fffffffu);
    var g = loaded;
    if CLIP_VALUE {
        g = clipped(loaded, limit);
    }
    g *= scale;
    return Sum(sum.squares + g * g, max(sum.magnitude, magnitude));
}

// Sums up what is left of `count` from `lane` on.
fn sum_up(first: u32, count: u32, lane: u32, limit: f32, scale: f32) -> Sum {
    var sum = Sum();
    // All invocations agree on this, and four loads may be on their way at once.
    if count == WORKGROUP_SPAN {
        for (var i = lane; i < WORKGROUP_SPAN; i += 4u * WORKGROUP_SIZE) {
            let a = load_grad(first + i);
            let b = load_grad(first + i + WORKGROUP_SIZE);
            let c = load_grad(first + i + 2u * WORKGROUP_SIZE);
            let d = load_grad(first + i + 3u * WORKGROUP_SIZE);
            sum = plus(plus(sum, a, limit, scale), b, limit, scale);
            sum = plus(plus(sum, c, limit, scale), d, limit, scale);
        }
        return sum;
    }
    for (var i = lane; i < count; i += WORKGROUP_SIZE) {
        sum = plus(sum, load_grad(first + i), limit, scale);
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let limit = control.clip_value * scale_now(control.new_scale, ledger.scale);
    let start = locate(workgroup, 0u);
    let count = select(0u, min(start.left, WORKGROUP_SPAN), start.inside);
    var sum = sum_up(start.grad, count, lane, limit, 1.0);
    let magnitude = highest(sum.magnitude);
    // Squares of 1e-30 and of 1e30 are no f32 numbers. Who meets nothing larger than small, or something
    // large, sums again, scaled by a power of two; elsewhere, what has no square does not matter.
    // What is squared is what clipping by value leaves.
    let squared = select(magnitude, min(magnitude, bitcast<u32>(limit)), CLIP_VALUE);
    let is_small = squared < SMALL && squared > 0u;
    let is_large = squared >= LARGE;
    if is_small || is_large {
        sum = sum_up(start.grad, count, lane, limit, select(DOWN, UP, is_small));
    }
    let squares = total(sum.squares);
    let small = select(0.0, squares, is_small);
    let large = select(0.0, squares, is_large);
    let ordinary = select(squares, 0.0, is_small || is_large);
    let sums = vec3<f32>(small, ordinary, large);
    shared_partials[lane] = vec4<u32>(bitcast<vec3<u32>>(sums), magnitude);
    workgroupBarrier();
    if lane % SIDE == 0u {
        shared_partials[lane] = gather(lane, 1u);
    }
    workgroupBarrier();
    if lane == 0u && start.inside {
        let index = start.param - start.part * WORKGROUP_SPAN + start.part;
        partials[index] = gather(0u, SIDE);
    }
}
