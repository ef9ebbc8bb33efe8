// Parameters are as they are stored. A step rounds them up or down at random: up as often as they are near to the
// upper neighbour.
fn load_weight(at: Place) -> real {
    return load_param(at.param);
}

fn store_weight(at: Place, x: real, key: vec2<f32>) -> real {
    let dithered = dither_codec(x, noise(elements(at.param) + launch.first, key));
    store_param(at.param, dithered);
    return rounded_param(dithered);
}
