//! The factors that correct averages which started at 0.

/// 1 / (1 − βᵗ).
#[inline]
pub(super) fn correction(beta: f64, t: u64) -> f64 {
    1.0 / (1.0 - beta.powf(t as f64))
}

/// The factors of an average and of the gradient in m̂, with Nesterov's momentum as Optax has it or without.
#[inline]
pub(super) fn momentum_scales(nesterov: bool, beta: f64, t: u64) -> [f64; 2] {
    if nesterov {
        [beta * correction(beta, t + 1), (1.0 - beta) * correction(beta, t)]
    } else {
        [correction(beta, t), 0.0]
    }
}
