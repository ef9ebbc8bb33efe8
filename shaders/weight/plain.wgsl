// Parameters are as they are stored.
fn load_weight(at: Place) -> real {
    return load_param(at.param);
}

// Stores the parameter, and returns it as loading will give it.
fn store_weight(at: Place, x: real, key: vec2<f32>) -> real {
    store_param(at.param, x);
    return rounded_param(x);
}
