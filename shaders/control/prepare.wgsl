// The second half: one workgroup adds up what the others summed, decides whether the step is taken and
// with which gradients, counts it, and writes its scalars.

override WORKGROUP_SIZE: u32 = 256u;

@group(0) @binding(0) var<storage, read> partials: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> ledger: Ledger;
// What the update's kernels bind.
@group(0) @binding(2) var<storage, read_write> scalars: array<f32>;
// Scalars that depend on the number of steps, for 1, 2, 3, … of them: the host computed them in f64.
@group(0) @binding(3) var<storage, read> series: array<f32>;
// x: which word of `scalars`; y: block; z: first of its series; w: length of its series.
@group(0) @binding(4) var<storage, read> dependents: array<vec4<u32>>;
@group(1) @binding(0) var<uniform> control: Control;
// The scalars as they are if every step is taken and no gradient scaled.
@group(1) @binding(1) var<storage, read> given: array<f32>;

const BLOCK = 64u;
// Words of `Scalars`.
const GRAD_SCALE = 3u;
const CLIP = 4u;
const SKIP = 5u;

const LANES = 256u;
var<workgroup> sums: array<vec3<f32>, LANES>;
var<workgroup> largest: array<u32, LANES>;
var<workgroup> firsts: array<u32, LANES>;

// What lane 0 decides.
var<workgroup> factor: f32;
var<workgroup> limit: f32;
var<workgroup> skip: bool;

// √(a² + b²) of what may have no square: 0 ≤ b, and a is much larger unless it is 0.
fn hypotenuse(a: f32, b: f32) -> f32 {
    if a == 0.0 {
        return b;
    }
    let ratio = b / a;
    return a * sqrt(1.0 + ratio * ratio);
}

// The root of what `norm.wgsl` has summed up. Each sum's own root is a number; the sums have no common
// scale, and a compiler may make one product of two constants, which is none.
fn euclidean(sum: vec3<f32>) -> f32 {
    let ordinary = hypotenuse(sqrt(sum.y), sqrt(sum.x) * DOWN);
    return hypotenuse(sqrt(sum.z) * UP, ordinary);
}

fn decide(sum: vec3<f32>, magnitude: u32, first: u32) {
    let scale = scale_now(control.new_scale, ledger.scale);
    let inverse = 1.0 / scale * control.share;
    let finite = magnitude < INFINITY;
    skip = !finite && control.skip_nonfinite == 1u;

    // Clipping by value makes an Inf the limit, of which the norm is taken.
    limit = control.clip_value * scale;
    let clipped = magnitude == INFINITY && control.clip_value > 0.0;
    var norm = bitcast<f32>(magnitude);
    if finite || clipped {
        if control.euclidean == 1u {
            norm = euclidean(sum);
        } else if control.clip_value > 0.0 {
            norm = bitcast<f32>(min(magnitude, bitcast<u32>(limit)));
        }
    }
    norm *= inverse;
    // As PyTorch: Inf gives 0, NaN gives NaN.
    var coefficient = 1.0;
    if control.clip_norm == 1u {
        if finite || clipped {
            coefficient = min(control.max_norm / (norm + 1e-6), 1.0);
        } else if magnitude == INFINITY {
            coefficient = 0.0;
        } else {
            coefficient = bitcast<f32>(magnitude);
        }
    }
    factor = coefficient * inverse;

    ledger.norm = norm;
    ledger.coefficient = coefficient;
    ledger.first = first;
    if skip {
        ledger.skipped += 1u;
    } else {
        ledger.taken += 1u;
    }
    ledger.scale = scale;
    if control.interval > 0u {
        ledger.good += 1u;
        if !finite {
            // Not 0, whose inverse would make a step of NaNs out of finite gradients.
            ledger.scale = max(scale * control.backoff, SMALLEST);
            ledger.good = 0u;
        } else if ledger.good >= control.interval {
            let grown = scale * control.growth;
            ledger.scale = select(scale, grown, bitcast<u32>(grown) < INFINITY);
            ledger.good = 0u;
        }
    }
    if control.new_scale < 0.0 {
        ledger.scale = -control.new_scale;
        ledger.good = 0u;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn prepare(@builtin(local_invocation_index) lane: u32) {
    var sum = vec3<f32>();
    var magnitude = 0u;
    var first = NONE;
    for (var i = lane; i < control.partials; i += WORKGROUP_SIZE) {
        let partial = partials[i];
        sum += bitcast<vec3<f32>>(partial.xyz);
        magnitude = max(magnitude, partial.w);
        if partial.w >= INFINITY {
            first = min(first, i);
        }
    }
    sums[lane] = sum;
    largest[lane] = magnitude;
    firsts[lane] = first;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half && lane + half < WORKGROUP_SIZE {
            sums[lane] += sums[lane + half];
            largest[lane] = max(largest[lane], largest[lane + half]);
            firsts[lane] = min(firsts[lane], firsts[lane + half]);
        }
        workgroupBarrier();
    }
    if lane == 0u {
        decide(sums[0], largest[0], firsts[0]);
    }
    workgroupBarrier();

    for (var i = lane; i < control.blocks * BLOCK; i += WORKGROUP_SIZE) {
        var scalar = given[i];
        switch i % BLOCK {
            case GRAD_SCALE: { scalar *= factor; }
            case CLIP: { scalar = limit; }
            case SKIP: { scalar = select(0.0, 1.0, skip); }
            default: {}
        }
        scalars[i] = scalar;
    }
    if !skip {
        for (var i = lane; i < control.blocks; i += WORKGROUP_SIZE) {
            ledger.ages[i] += 1u;
        }
    }
    // Both are read or written again, by other invocations.
    storageBarrier();
    workgroupBarrier();
    for (var i = lane; i < control.dependents; i += WORKGROUP_SIZE) {
        let dependent = dependents[i];
        let t = clamp(ledger.ages[dependent.y], 1u, dependent.w);
        scalars[dependent.x] = series[dependent.z + t - 1u];
    }
}
