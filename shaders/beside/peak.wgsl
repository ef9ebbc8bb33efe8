// The largest magnitude that the parameter has had after a step, of which a NaN is the largest.
var<private> old_peak: real;

fn load_peak_beside(at: Place) {
    old_peak = load_peak(peak_at(at));
}

fn store_peak_beside(at: Place, weight: real, step: Scalars) {
    let magnitude = bitcast<real_bits>(weight) & real_bits(0x7fffffffu);
    store_peak(peak_at(at), bitcast<real>(max(bitcast<real_bits>(old_peak), magnitude)));
}
