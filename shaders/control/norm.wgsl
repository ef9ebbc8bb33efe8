// This kernel is the first half of a norm: each workgroup sums up the squares of its gradients. The order is fixed, so
// that the same gradients give the same bits.

override CLIP_VALUE: bool = false;

// x, y, z: the sums of squares, as bits: of small numbers, scaled up, of ordinary numbers, and of large numbers,
// scaled down; w: the bits of the largest magnitude.
@group(0) @binding(partials_binding) var<storage, read_write> partials: array<vec4<u32>>;
@group(0) @binding(controller_binding) var<storage, read> controller: Controller;
@group(1) @binding(0) var<uniform> control: Control;

// 16 invocations add up 16 numbers each, and one invocation adds up their sums. That takes 2 barriers; a tree would
// take 8.
const SIDE = 16u;
const LANES = SIDE * SIDE;
var<workgroup> shared_partials: array<vec4<u32>, LANES>;

// Adds up the partials of 16 invocations, from `first` on and `stride` apart.
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

// The sum of one invocation.
struct Sum {
    squares: real,
    magnitude: real_bits,
}

fn plus(sum: Sum, x: real, limit: f32, scale: f32) -> Sum {
    let magnitude = bitcast<real_bits>(x) & real_bits(0x7fffffffu);
    var g = x;
    if CLIP_VALUE {
        g = clipped(x, limit);
    }
    g *= scale;
    return Sum(sum.squares + g * g, max(sum.magnitude, magnitude));
}

// Sums up the gradients at `lane`, `lane` + WORKGROUP_SIZE, and so on, below `count`.
fn sum_up(first: u32, count: u32, lane: u32, limit: f32, scale: f32) -> Sum {
    var sum = Sum();
    // All invocations take the same way here. Four loads may be on their way at once.
    if count == WORKGROUP_SPAN {
        for (var i = lane; i < WORKGROUP_SPAN; i += 4u * WORKGROUP_SIZE) {
            // The constants are added last, so that a compiler can put them into the loads.
            let at = first + i * GRAD_STRIDE;
            let a = load_gradient(at, control.sums);
            let b = load_gradient(at + GRAD_STRIDE * WORKGROUP_SIZE, control.sums);
            let c = load_gradient(at + 2u * GRAD_STRIDE * WORKGROUP_SIZE, control.sums);
            let d = load_gradient(at + 3u * GRAD_STRIDE * WORKGROUP_SIZE, control.sums);
            sum = plus(plus(sum, a, limit, scale), b, limit, scale);
            sum = plus(plus(sum, c, limit, scale), d, limit, scale);
        }
        return sum;
    }
    for (var i = lane; i < count; i += WORKGROUP_SIZE) {
        let g = load_gradient(first + i * GRAD_STRIDE, control.sums);
        sum = plus(sum, g, limit, scale);
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn norm(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let limit = limit_now(control.clip_value, control.fixed_scale, controller.scale);
    let start = locate(workgroup, 0u);
    // A parameter without a gradient has partials of zero.
    let present = start.inside && has_gradient(start);
    let count = select(0u, min(start.left, WORKGROUP_SPAN), present);
    var sum = sum_up(start.grad, count, lane, limit, 1.0);
    let magnitude = highest(sum.magnitude);
    // The squares of 1e-30 and of 1e30 are no f32 numbers. An invocation whose largest magnitude is below 2^-40 or
    // from 2^40 on sums a second time, scaled by a power of two. In other invocations, squares that underflow are
    // negligible. Gradients are clipped by value before they are squared.
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
