// An average of the parameter's values, the later the heavier. With the gain of its first steps, which the
// host knows, it is one of those there were, without a bias towards where it started.

fn load_average(at: Place) -> real {
    return load_ema(at.state + launch.average);
}

fn store_average(at: Place, old: real, weight: real, gain: f32) {
    store_ema(at.state + launch.average, old + gain * (weight - old));
}
