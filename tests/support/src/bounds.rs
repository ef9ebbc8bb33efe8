//! How far a result may be off.

use wgpu_optim::Trajectory;

/// How far a norm or a coefficient may be off, relative: `docs/NUMERICS.md` derives it.
pub const COEFFICIENT: f64 = 64.0 / (1u64 << 24) as f64;

/// A gradient as a rule sees it on a GPU, after scaling and clipping that came to `value` in f64.
pub fn scaled(value: &f64) -> Trajectory {
    let error = value.abs() * COEFFICIENT + f64::from(f32::MIN_POSITIVE);
    Trajectory { value: *value, error }
}

/// Fails unless `is` is as near to `expected`, relative.
#[track_caller]
pub fn close(what: &str, is: f64, expected: f64, relative: f64) {
    let off = (is - expected).abs();
    assert!(off <= relative * expected.abs(), "{what}: {is} in place of {expected}");
}
