// Parameters are what is stored, and a copy of fewer bits is written for whoever computes with that.
fn load_weight(at: Place) -> real {
    return load_param(at.param);
}

fn store_weight(at: Place, x: real, key: vec2<f32>) -> real {
    store_param(at.param, x);
    store_copy(at.param + launch.copy, x);
    return x;
}
