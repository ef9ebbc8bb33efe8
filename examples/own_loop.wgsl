// The gradient of the mean squared error of y = slope · x + offset over points of y = 3x − 2.

@group(0) @binding(0) var<storage, read_write> params: array<f32, 2>;
@group(0) @binding(1) var<storage, read_write> grads: array<f32, 2>;

const POINTS = 16;

@compute @workgroup_size(1)
fn gradient() {
    var slope = 0.0;
    var offset = 0.0;
    for (var i = 0; i < POINTS; i++) {
        let x = f32(i) / 8.0 - 1.0;
        let error = params[0] * x + params[1] - (3.0 * x - 2.0);
        slope += 2.0 * error * x / f32(POINTS);
        offset += 2.0 * error / f32(POINTS);
    }
    grads[0] = slope;
    grads[1] = offset;
}
