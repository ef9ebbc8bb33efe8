// Parameters are as they are stored.
fn load_weight(at: Place) -> real {
    return load_param(at.param);
}

// Returns the parameter as loading will give it.
fn store_weight(at: Place, x: real, key: vec2<f32>) -> real {
    store_param(at.param, x);
    return rounded_param(x);
}
