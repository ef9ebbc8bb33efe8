// An average of the parameter's values, the later the heavier. With the gain of its first steps, which the
// host knows, it is an average of those there were, without a bias towards where it started.
var<private> old_ema: real;

fn load_ema_beside(at: Place) {
    old_ema = load_ema(ema_at(at));
}

fn store_ema_beside(at: Place, weight: real, step: Scalars) {
    store_ema(ema_at(at), old_ema + step.ema * (weight - old_ema));
}
