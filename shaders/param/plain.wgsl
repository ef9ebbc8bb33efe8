// Parameters are what is stored.
fn load_weight(at: Place) -> real {
    return load_param(at.param);
}

// Gives what loading will.
fn store_weight(at: Place, x: real, key: vec2<f32>) -> real {
    store_param(at.param, x);
    return rounded_param(x);
}
