// Parameters are what is stored.
fn load_weight(at: Place) -> real {
    return load_param(at.param);
}

fn store_weight(at: Place, x: real, key: vec2<f32>) {
    store_param(at.param, x);
}
