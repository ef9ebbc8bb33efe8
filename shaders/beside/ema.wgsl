// The step keeps an average of the parameter's values, in which later values weigh more. The host computes a larger
// gain for the first steps, so that the average has no bias towards its start.
var<private> old_ema: real;

fn load_ema_beside(at: Place) {
    old_ema = load_ema(ema_at(at));
}

fn store_ema_beside(at: Place, weight: real, step: Scalars) {
    store_ema(ema_at(at), old_ema + step.ema * (weight - old_ema));
}
