//! Numbers in f64 that know how far a computation in f32 may be from them.

use std::ops::{Add, Div, Mul, Sub};

/// One unit in the last place of an f32 in [1, 2).
pub(crate) const ULP: f64 = 1.0 / (1u64 << 23) as f64;

/// Numbers below this lose digits in f32, or a driver makes them 0.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// A number, and the largest error that an f32 computation of it may have. Each operation adds what
/// WGSL allows it (`docs/NUMERICS.md`, "The bound").
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Num {
    pub(crate) x: f64,
    pub(crate) e: f64,
}

impl Num {
    pub(crate) const ZERO: Self = Self { x: 0.0, e: 0.0 };

    /// A number that memory holds.
    pub(crate) fn exact(x: f32) -> Self {
        Self { x: f64::from(x), e: 0.0 }
    }

    /// A number that the host computes in f64 and rounds once.
    pub(crate) fn scalar(x: f64) -> Self {
        let e = if f64::from(x as f32) == x { 0.0 } else { ULP * x.abs() };
        Self { x, e }
    }

    fn new(x: f64, carried: f64, ulps: f64) -> Self {
        Self { x, e: carried + ulps * ULP * x.abs() + TINY }
    }

    fn is(self, x: f64) -> bool {
        self.e == 0.0 && self.x == x
    }

    /// `keep · self + new`, with a factor whose rounding does not count: kernels have it in two halves.
    pub(crate) fn decayed(self, keep: f64, new: Self) -> Self {
        let kept = keep * self.x;
        Self::new(kept + new.x, keep.abs() * self.e + new.e + ULP * kept.abs(), 1.0)
    }

    pub(crate) fn sqrt(self) -> Self {
        let (low, high) = ((self.x - self.e).max(0.0).sqrt(), (self.x + self.e).sqrt());
        let x = self.x.sqrt();
        Self::new(x, (high - x).max(x - low), 4.5)
    }

    pub(crate) fn max(self, other: Self) -> Self {
        if self.x.is_nan() || other.x.is_nan() {
            return Self { x: f64::NAN, e: 0.0 };
        }
        Self { x: self.x.max(other.x), e: self.e.max(other.e) }
    }

    pub(crate) fn abs(self) -> Self {
        Self { x: self.x.abs(), e: self.e }
    }

    /// The same, rounded to a format whose half step is this part of a number.
    pub(crate) fn stored(self, half_step: f64) -> Self {
        Self { x: self.x, e: self.e + half_step * (self.x.abs() + self.e) + 6e-8 }
    }

    /// Whether a kernel may have computed `found`. Once something is Inf or NaN, any such will do.
    pub(crate) fn allows(self, found: f32) -> bool {
        if !self.x.is_finite() {
            return !found.is_finite();
        }
        let off = (f64::from(found) - self.x).abs();
        !self.e.is_finite() || off <= self.e
    }

    /// Whether the bound is too wide to say much.
    pub(crate) fn is_vague(self) -> bool {
        !self.x.is_finite() || !self.e.is_finite() || self.e > 1e-4 * (1.0 + self.x.abs())
    }
}

impl Add for Num {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        match (self.is(0.0), other.is(0.0)) {
            (true, _) => other,
            (_, true) => self,
            _ => Self::new(self.x + other.x, self.e + other.e, 1.0),
        }
    }
}

impl Sub for Num {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self + Self { x: -other.x, e: other.e }
    }
}

impl Mul for Num {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        let x = self.x * other.x;
        for (one, other) in [(self, other), (other, self)] {
            if one.is(0.0) || one.is(1.0) || one.is(-1.0) {
                return Self { x, e: if one.x == 0.0 { 0.0 } else { other.e } };
            }
        }
        let carried = self.x.abs() * other.e + other.x.abs() * self.e + self.e * other.e;
        Self::new(x, carried, 1.0)
    }
}

impl Div for Num {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let x = self.x / other.x;
        if self.is(0.0) && x == 0.0 {
            return Self::ZERO;
        }
        let least = other.x.abs() - other.e;
        let carried = (self.e + x.abs() * other.e) / least;
        Self::new(x, if least > 0.0 { carried } else { f64::INFINITY }, 2.5)
    }
}
