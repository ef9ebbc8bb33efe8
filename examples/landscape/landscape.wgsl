// The gradients of the functions in functions.rs at every point: x is the point, y the function, z the rule.

@group(0) @binding(0) var<storage, read> points: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> gradients: array<vec2<f32>>;

fn rosenbrock(x: f32, y: f32) -> vec2<f32> {
    let valley = y - x * x;
    return vec2(2.0 * (x - 1.0) - 400.0 * x * valley, 200.0 * valley);
}

fn beale(x: f32, y: f32) -> vec2<f32> {
    let y2 = y * y;
    let y3 = y2 * y;
    let terms = vec3(1.5 - x + x * y, 2.25 - x + x * y2, 2.625 - x + x * y3);
    return 2.0 * vec2(dot(terms, vec3(y, y2, y3) - 1.0), dot(terms, x * vec3(1.0, 2.0 * y, 3.0 * y2)));
}

fn himmelblau(x: f32, y: f32) -> vec2<f32> {
    let a = x * x + y - 11.0;
    let b = x + y * y - 7.0;
    return vec2(4.0 * x * a + 2.0 * b, 2.0 * a + 4.0 * y * b);
}

fn saddle(x: f32, y: f32) -> vec2<f32> {
    return vec2(2.0 * x, y * y * y - 2.0 * y);
}

fn ravine(x: f32, y: f32) -> vec2<f32> {
    let along = 0.8 * x + 0.6 * y;
    let across = 1000.0 * (0.8 * y - 0.6 * x);
    return vec2(0.8 * along - 0.6 * across, 0.6 * along + 0.8 * across);
}

@compute @workgroup_size(64)
fn gradient(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let count = arrayLength(&points) / (groups.y * groups.z);
    if id.x >= count {
        return;
    }
    let i = (id.z * groups.y + id.y) * count + id.x;
    let p = points[i];
    switch id.y {
        case 0: { gradients[i] = rosenbrock(p.x, p.y); }
        case 1: { gradients[i] = beale(p.x, p.y); }
        case 2: { gradients[i] = himmelblau(p.x, p.y); }
        case 3: { gradients[i] = saddle(p.x, p.y); }
        default: { gradients[i] = ravine(p.x, p.y); }
    }
}
