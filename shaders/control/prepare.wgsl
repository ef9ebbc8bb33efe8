// This kernel has one workgroup. It adds up the partial sums, decides whether the step is taken and by how much
// gradients are scaled, counts the step, and writes its scalars.

override WORKGROUP_SIZE: u32 = 256u;

@group(0) @binding(0) var<storage, read> partials: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> controller: Controller;
// The blocks that the update's kernels bind.
@group(0) @binding(2) var<storage, read_write> scalars: array<f32>;
// The scalars that depend on the number of steps, for consecutive steps. The host computed them in f64.
@group(0) @binding(3) var<storage, read> series: array<f32>;
// x: the word of `scalars`; y: the cohort; z: where t = 0 would stand in `series`, wrapping; w: the
// first t there is.
@group(0) @binding(4) var<storage, read> dependents: array<vec4<u32>>;
// The first partial of each parameter, ascending.
@group(0) @binding(5) var<storage, read> firsts: array<u32>;
@group(1) @binding(0) var<uniform> control: Control;
// The blocks of a step that is taken and scales no gradient, as bits. Behind them is a row for each cohort, in the
// order in which cohorts were made: steps recorded; generation; the cohort that it was split from, or NONE; 1 if its
// clock runs.
@group(1) @binding(1) var<storage, read> given: array<u32>;

const BLOCK = 64u;
const ROW = 4u;

const LANES = 256u;
var<workgroup> sums: array<vec3<f32>, LANES>;
var<workgroup> largest: array<u32, LANES>;
var<workgroup> earliest: array<u32, LANES>;

// Lane 0 writes these variables.
var<workgroup> factor: f32;
var<workgroup> limit: f32;
var<workgroup> skip: bool;

// Any lane may raise these variables.
var<workgroup> is_new: atomic<u32>;
var<workgroup> is_over: atomic<u32>;

// Returns √(a² + b²), also if the squares are no f32 numbers. b is 0 or more, and a is 0 or much larger than b.
fn hypotenuse(a: f32, b: f32) -> f32 {
    if a == 0.0 {
        return b;
    }
    let ratio = b / a;
    return a * sqrt(1.0 + ratio * ratio);
}

// Returns the root of the sums of `norm.wgsl`. The root of each sum is an f32 number, but the sums have no common
// scale. A compiler may also multiply two constants into one that is no f32 number.
fn euclidean(sum: vec3<f32>) -> f32 {
    let ordinary = hypotenuse(sqrt(sum.y), sqrt(sum.x) * DOWN);
    return hypotenuse(sqrt(sum.z) * UP, ordinary);
}

// Returns 1 / scale, which is exact for a power of two. A division may be 2.5 units in the last place off.
fn reciprocal(scale: f32) -> f32 {
    let bits = bitcast<u32>(scale);
    let negated = (254u << 23u) - bits;
    let is_power = (bits & 0x7fffffu) == 0u && negated > 0x7fffffu && negated < INFINITY;
    return select(1.0 / scale, bitcast<f32>(negated), is_power);
}

// Returns the parameter to which a partial sum belongs.
fn owner(partial: u32) -> u32 {
    var low = 0u;
    var high = control.params;
    while high - low > 1u {
        let middle = (low + high) / 2u;
        if firsts[middle] <= partial {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

fn decide(sum: vec3<f32>, magnitude: u32, first: u32) {
    let fixed = control.fixed_scale > 0.0;
    let scale = select(controller.scale, control.fixed_scale, fixed);
    let inverse = select(reciprocal(scale) * control.share, control.inverse, fixed);
    let finite = magnitude < INFINITY;
    skip = !finite && control.skip_nonfinite == 1u;

    // Clipping by value turns an Inf into the limit, and the norm sees the limit.
    limit = limit_now(control.clip_value, control.fixed_scale, scale);
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
    // A norm of Inf gives 0, and a norm of NaN gives NaN, as in PyTorch.
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

    if control.looks == 1u {
        controller.norm = norm;
        controller.coefficient = coefficient;
        controller.found_inf = NONE;
        if first != NONE {
            controller.found_inf = owner(first);
        }
        controller.looked = min(controller.looked, NONE - 1u) + 1u;
    }
    if skip {
        controller.skipped += 1u;
    }
    controller.steps = control.recorded - controller.skipped;
    controller.scale = scale;
    if fixed {
        return;
    }
    controller.growth_tracker += 1u;
    if !finite {
        // The scale never becomes 0. Every gradient would then be 0, which is finite, and 0 · 1 / 0 is NaN.
        let lower = scale * control.backoff;
        let smallest = bitcast<f32>(0x00800000u);
        controller.scale = select(lower, smallest, bitcast<u32>(lower) < 0x00800000u);
        controller.growth_tracker = 0u;
    } else if controller.growth_tracker >= control.interval {
        let grown = scale * control.growth;
        controller.scale = select(scale, grown, bitcast<u32>(grown) < INFINITY);
        controller.growth_tracker = 0u;
    }
    if control.start != controller.start {
        controller.scale = control.start_scale;
        controller.growth_tracker = 0u;
        controller.start = control.start;
    }
}

fn row(i: u32) -> vec4<u32> {
    let at = control.blocks * BLOCK + i * ROW;
    return vec4(given[at], given[at + 1u], given[at + 2u], given[at + 3u]);
}

// Gives each cohort that the GPU meets for the first time the skipped steps of the cohort that it was split from. The
// host does not know whether the commands of an earlier step were executed, so every step names these cohorts again.
fn split(lane: u32) {
    for (var i = lane; i < control.blocks; i += WORKGROUP_SIZE) {
        if controller.clocks[i].y != row(i).y {
            atomicStore(&is_new, 1u);
        }
    }
    workgroupBarrier();
    if lane == 0u && atomicLoad(&is_new) == 1u {
        // Cohorts come in the order in which they were made, because one may have been split from another.
        for (var i = 0u; i < control.blocks; i += 1u) {
            let cohort = row(i);
            if controller.clocks[i].y != cohort.y {
                var skipped = 0u;
                if cohort.z != NONE {
                    skipped = controller.clocks[cohort.z].x;
                }
                controller.clocks[i] = vec2(skipped, cohort.y);
            }
        }
    }
    storageBarrier();
    workgroupBarrier();
    if skip {
        for (var i = lane; i < control.blocks; i += WORKGROUP_SIZE) {
            controller.clocks[i].x += row(i).w;
        }
    }
    storageBarrier();
    workgroupBarrier();
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
    earliest[lane] = first;
    if lane == 0u {
        atomicStore(&is_new, 0u);
        atomicStore(&is_over, 0u);
    }
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half && lane + half < WORKGROUP_SIZE {
            sums[lane] += sums[lane + half];
            largest[lane] = max(largest[lane], largest[lane + half]);
            earliest[lane] = min(earliest[lane], earliest[lane + half]);
        }
        workgroupBarrier();
    }
    if lane == 0u && control.peeks == 1u {
        factor = 1.0;
        limit = 0.0;
        skip = false;
    } else if lane == 0u {
        decide(sums[0], largest[0], earliest[0]);
    }
    workgroupBarrier();

    for (var i = lane; i < control.blocks * BLOCK; i += WORKGROUP_SIZE) {
        var scalar = bitcast<f32>(given[i]);
        switch i % BLOCK {
            case grad_scale_word: { scalar *= factor; }
            case clip_word: { scalar = limit; }
            case skip_word: { scalar = select(0.0, 1.0, skip); }
            default: {}
        }
        scalars[i] = scalar;
    }
    if control.counted == 0u {
        return;
    }
    split(lane);
    if control.peeks == 1u {
        for (var i = lane; i < control.blocks; i += WORKGROUP_SIZE) {
            let taken = row(i).x - controller.clocks[i].x;
            scalars[i * BLOCK + first_word] = select(0.0, 1.0, taken == 0u);
        }
        return;
    }
    for (var i = lane; i < control.dependents; i += WORKGROUP_SIZE) {
        let dependent = dependents[i];
        let cohort = row(dependent.y);
        let t = cohort.x - controller.clocks[dependent.y].x;
        // A clock that stands still counts no step.
        if t < dependent.w && cohort.w == 1u && !skip {
            atomicStore(&is_over, 1u);
        }
        scalars[dependent.x] = series[dependent.z + max(t, dependent.w)];
    }
    workgroupBarrier();
    if lane == 0u && atomicLoad(&is_over) == 1u {
        controller.overrun = 1u;
    }
}
