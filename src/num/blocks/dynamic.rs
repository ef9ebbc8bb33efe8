//! This module computes the dynamic code of Dettmers et al. (2022, "8-bit Optimizers via Block-wise Quantization"): in
//! each decade below 1, numbers are evenly spaced, twice as many in each decade as in the one below.

use super::Line;

/// The numbers of the code with `exponents` decades, in ascending order. Without a sign, each decade has twice as many
/// numbers above 0. Rounding is that of the origins, bitsandbytes and torchao, where everything is in f32.
pub(super) fn numbers(signed: bool, exponents: i32, bits: u32) -> Vec<f32> {
    let mut all = vec![0.0, 1.0];
    for decade in 0..exponents {
        let power = bits as i32 - 1 - exponents + decade + i32::from(!signed);
        let edges = edges(1 << power);
        let unit = 10.0_f64.powi(decade + 1 - exponents) as f32;
        for pair in edges.windows(2) {
            let number = unit * ((pair[0] + pair[1]) / 2.0);
            all.push(number);
            all.extend(signed.then_some(-number));
        }
    }
    all.sort_by(f32::total_cmp);
    all
}

/// The lines of the decades. A decade of n parts has those parts from n on, so that each decade goes on where the one
/// below ends.
pub(super) fn lines(signed: bool, exponents: i32, bits: u32) -> Vec<Line> {
    let line = |decade| {
        let parts = f64::from(1 << (bits as i32 - 1 - exponents + decade + i32::from(!signed)));
        let slope = parts / 0.9 * 10.0_f64.powi(exponents - 1 - decade);
        let first = if signed { 0.0 } else { 1.0 };
        [slope as f32, (parts * (1.0 - 1.0 / 9.0) - first) as f32]
    };
    (0..exponents).map(line).collect()
}

/// The edges of `parts` equal parts of the range from 0.1 to 1, each rounded to f32. The step is rounded, too, and
/// counts from the nearer end, as in PyTorch's `linspace`.
fn edges(parts: u32) -> Vec<f32> {
    let [low, high] = [0.1_f32, 1.0].map(f64::from);
    let step = f64::from(((high - low) / f64::from(parts)) as f32);
    let edge = |i: u32| match i < parts.div_ceil(2) {
        true => low + step * f64::from(i),
        false => high - step * f64::from(parts - i),
    };
    (0..=parts).map(|i| edge(i) as f32).collect()
}
