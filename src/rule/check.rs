//! Checks of options that several rules have.

use crate::error::Error;

/// The range of a factor that says how much remains.
pub(super) const FRACTION: &str = "at least 0 and below 1 (also when rounded to f32)";

/// The range of a magnitude.
pub(super) const NON_NEGATIVE: &str = "a finite f32 number, 0 or more";

/// `Ok` if `value` is a number from `0` up to but not including `1`.
pub(crate) fn check_fraction(
    rule: &'static str,
    option: &'static str,
    value: f64,
) -> Result<(), Error> {
    // As f32, because a β that rounds to 1 never forgets, and its bias correction divides by zero.
    if (0.0..1.0).contains(&value) && (value as f32) < 1.0 {
        return Ok(());
    }
    Err(Error::Hyper { rule, option, value, must: FRACTION })
}

/// The range of a share that divides.
pub(super) const SHARE: &str = "above 0 and below 1 (also when rounded to f32)";

/// `Ok` if `value` is a number above 0 and below 1.
pub(crate) fn check_share(
    rule: &'static str,
    option: &'static str,
    value: f64,
) -> Result<(), Error> {
    if value as f32 > 0.0 && (value as f32) < 1.0 {
        return Ok(());
    }
    Err(Error::Hyper { rule, option, value, must: SHARE })
}

/// `Ok` if `value` is a finite f32, 0 or more.
pub(crate) fn check_non_negative(
    rule: &'static str,
    option: &'static str,
    value: f64,
) -> Result<(), Error> {
    if value >= 0.0 && value <= f64::from(f32::MAX) {
        return Ok(());
    }
    Err(Error::Hyper { rule, option, value, must: NON_NEGATIVE })
}

/// `Ok` if both are finite and one of them keeps the kernel from 0 / 0.
pub(crate) fn check_epsilon(rule: &'static str, eps: f64, eps_root: f64) -> Result<(), Error> {
    check_non_negative(rule, "eps", eps)?;
    check_non_negative(rule, "eps_root", eps_root)?;
    if (eps as f32) < f32::MIN_POSITIVE && (eps_root as f32) < f32::MIN_POSITIVE {
        return Err(Error::NoEpsilon { rule, eps, eps_root });
    }
    Ok(())
}
