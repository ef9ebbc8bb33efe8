// A branch of a layer ends: its output is added to the stream.
fn finish(at: u32, sum: vec4<f32>) {
    outputs[at] += sum;
}
