// Parameters are what is stored, rounded up or down at random: as often up as they are near to it.
fn load_weight(at: Place) -> real {
    return load_param(at.param);
}

fn store_weight(at: Place, x: real, key: vec2<f32>) {
    store_param(at.param, dither_codec(x, noise(elements(at.param) + launch.first, key)));
}
