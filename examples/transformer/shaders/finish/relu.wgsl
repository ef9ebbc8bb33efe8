// The hidden units of the perceptron are squared where they are read.
fn finish(at: u32, sum: vec4<f32>) {
    outputs[at] = max(vec4(0.0), sum);
}
