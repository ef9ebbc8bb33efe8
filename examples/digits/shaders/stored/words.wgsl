
// Parameters and gradients are stored as computed.
alias Pair = vec2<f32>;
alias Quad = vec4<f32>;

fn load_pair(stored: Pair) -> vec2<f32> {
    return stored;
}

fn load_quad(stored: Quad) -> vec4<f32> {
    return stored;
}

fn store_pair(x: vec2<f32>) -> Pair {
    return x;
}

fn store_quad(x: vec4<f32>) -> Quad {
    return x;
}
