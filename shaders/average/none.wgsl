// No average of the parameter is kept.
fn load_average(at: Place) -> real {
    return real();
}

fn store_average(at: Place, old: real, weight: real, gain: f32) {}
