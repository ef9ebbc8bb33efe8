//! This module bounds the error of the arithmetic in [`Number`]: the distance of a correct f32 kernel from the exact
//! value.

use std::ops::{Add, Div, Mul, Sub};

use super::format::Format;
use super::number::{Number, Sealed};

/// One unit in the last place of an f32, relative: twice what rounding to nearest needs, so that it
/// covers rounding in either direction, and a product fused with its sum or not.
const ULP: f64 = 1.0 / (1u32 << 23) as f64;

/// The smallest normal f32. A device may take any smaller number for zero.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// 2¹²⁶: WGSL promises nothing of a division by more than this, or by less than [`TINY`].
const HUGE: f64 = 1.0 / TINY;

/// An exact value, and a bound on how far from it an f32 kernel may be that is correct by WGSL's
/// accuracy table: running error analysis, each operation adding its own allowance to what its
/// operands brought along. Allowances are relative to *operands*: the result of a cancellation is
/// as uncertain as the numbers that cancelled. `docs/NUMERICS.md` gives the closed forms.
///
/// With `ONE_STEP`, scalars are the f32 numbers the kernel gets, for comparing one step from the
/// kernel's own state. Without, they are the f64 numbers the paper means and their rounding counts
/// as error, for comparing whole trajectories with another implementation's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded<const ONE_STEP: bool> {
    /// The exact value.
    pub value: f64,
    /// The largest distance from it that a correct kernel can reach; infinite where WGSL promises nothing.
    pub error: f64,
}

/// One step from numbers the kernel itself has written.
pub type OneStep = Bounded<true>;

/// Many steps from a common start.
pub type Trajectory = Bounded<false>;

impl<const ONE_STEP: bool> Bounded<ONE_STEP> {
    /// A number as a kernel loads it from memory.
    pub fn loaded(x: f32) -> Self {
        let value = f64::from(x);
        let subnormal = value != 0.0 && value.abs() < TINY;
        Self { value, error: if subnormal { TINY } else { 0.0 } }
    }

    /// The number as a kernel has it after storing it in `format`, rounded to nearest.
    #[must_use]
    pub fn stored(self, format: Format) -> Self {
        let largest = self.value.abs() + self.error;
        if format == Format::F32 || largest == 0.0 || !largest.is_finite() {
            return self;
        }
        if self.value.abs() - self.error >= format.overflow() {
            return Self { value: f64::INFINITY.copysign(self.value), error: 0.0 };
        }
        if largest >= format.overflow() {
            return Self { error: f64::INFINITY, ..self };
        }
        Self { error: self.error + format.half_step(largest), ..self }
    }

    /// The distance of `x` from the value in units of the bound: above 1, the kernel is wrong.
    pub fn ratio(self, x: f32) -> f64 {
        if f64::from(x) == self.value {
            return 0.0; // infinities too
        }
        let off = (f64::from(x) - self.value).abs();
        if off.is_nan() { f64::INFINITY } else { off / self.error }
    }

    /// Whether the bound says anything.
    pub fn is_bounded(self) -> bool {
        self.error.is_finite()
    }

    fn is_exactly(self, x: f64) -> bool {
        self.value == x && self.error == 0.0
    }

    /// The smallest and the largest number that the kernel may compare. A device may take anything below
    /// the smallest normal number for zero.
    fn reach(self) -> [f64; 2] {
        let [low, high] = [self.value - self.error, self.value + self.error];
        if low < TINY && high > -TINY { [low.min(0.0), high.max(0.0)] } else { [low, high] }
    }

    /// The same without a bound if one of the operands is a NaN or has none: WGSL does not say how they
    /// compare.
    fn or_unknown(self, operands: &[Self]) -> Self {
        let known = operands.iter().all(|x| x.is_bounded() && !x.value.is_nan());
        if known { self } else { Self { error: f64::INFINITY, ..self } }
    }

    /// The same without a bound if one of the operands may be larger than WGSL divides by.
    fn within_huge(self, operands: &[Self]) -> Self {
        let known = operands.iter().all(|x| x.value.abs() + x.error <= HUGE);
        if known { self } else { Self { error: f64::INFINITY, ..self } }
    }

    /// The result of an operation that may itself be off by `ulps`, besides what its operands brought.
    fn rounded(value: f64, brought: f64, ulps: f64) -> Self {
        let largest = value.abs() + brought;
        if largest == 0.0 {
            return Self { value, error: 0.0 };
        }
        if !largest.is_finite() || largest > f64::from(f32::MAX) {
            return Self { value, error: f64::INFINITY };
        }
        let flushed = if value.abs() - brought < TINY { TINY } else { 0.0 };
        Self { value, error: brought + ulps * ULP * largest + flushed }
    }
}

impl<const ONE_STEP: bool> Add for Bounded<ONE_STEP> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        if self.is_exactly(0.0) {
            return other;
        }
        if other.is_exactly(0.0) {
            return self;
        }
        Self::rounded(self.value + other.value, self.error + other.error, 1.0)
    }
}

impl<const ONE_STEP: bool> Sub for Bounded<ONE_STEP> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + Self { value: -other.value, ..other }
    }
}

impl<const ONE_STEP: bool> Mul for Bounded<ONE_STEP> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let value = self.value * other.value;
        let brought = self.value.abs() * other.error
            + other.value.abs() * self.error
            + self.error * other.error;
        let exact = |x: Self| x.is_exactly(0.0) || x.is_exactly(1.0) || x.is_exactly(-1.0);
        if exact(self) || exact(other) {
            return Self { value, error: brought };
        }
        Self::rounded(value, brought, 1.0)
    }
}

impl<const ONE_STEP: bool> Div for Bounded<ONE_STEP> {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        let smallest = other.value.abs() - other.error;
        if smallest < TINY || other.value.abs() + other.error > HUGE {
            return Self { value, error: f64::INFINITY };
        }
        let brought = (self.error + value.abs() * other.error) / smallest;
        Self::rounded(value, brought, 2.5)
    }
}

impl<const ONE_STEP: bool> Sealed for Bounded<ONE_STEP> {}

impl<const ONE_STEP: bool> Number for Bounded<ONE_STEP> {
    fn scalar(x: f64) -> Self {
        if ONE_STEP {
            return Self { value: f64::from(x as f32), error: 0.0 };
        }
        let error = (f64::from(x as f32) - x).abs();
        Self { value: x, error }
    }

    fn decayed(self, keep: f64, new: Self) -> Self {
        if keep == 0.0 {
            return new;
        }
        // Two halves hold 48 bits of `keep`, which is exact here. The kernel adds in any case, as even
        // `new` of 0 meets the lower half. That it also rounds `keep_low · old + new`, by half an ulp
        // of `new` at most, fits into the whole ulps counted for the product, `new` and the sum.
        let old = Self::rounded(keep * self.value, keep * self.error, 1.0);
        Self::rounded(old.value + new.value, old.error + new.error, 1.0)
    }

    fn sqrt(self) -> Self {
        let value = self.value.max(0.0).sqrt();
        let low = (self.value - self.error).max(0.0).sqrt();
        let high = (self.value + self.error).max(0.0).sqrt();
        // WGSL inherits it from 1 / inverseSqrt(x): 2 ulp and the division's 2.5.
        Self::rounded(value, (high - value).max(value - low), 4.5)
    }

    fn cbrt(self) -> Self {
        let value = self.value.max(0.0).cbrt();
        let [low, high] = self.reach().map(|x| x.max(0.0).cbrt());
        // The kernel's last step is y + (x / (y · y) − y) / 3 from a y that is 1.1e-6 off, whose square is nothing.
        // A third of the product's ulp and of the division's 2.5 remain, and the sum adds its own.
        Self::rounded(value, (high - value).max(value - low), 2.5).or_unknown(&[self])
    }

    fn atan2(self, x: Self) -> Self {
        let value = Number::atan2(self.value, x.value);
        let [y_reach, x_reach] = [self.reach(), x.reach().map(|x| x.max(0.0))];
        // The angle is monotonic in either coordinate.
        let corners = y_reach.map(|y| x_reach.map(|x| Number::atan2(y, x)));
        let off = corners.as_flattened().iter().map(|angle| (angle - value).abs());
        let brought = off.fold(0.0, f64::max);
        // The ratio is 2.5 ulp off, at most that in the angle. The polynomial adds 3.9, the last sum's ulp among them:
        // its terms are small beside q. From 45° on, both may be taken from π / 2, for another 1.4.
        Self::rounded(value, brought, 8.0).or_unknown(&[self, x]).within_huge(&[self, x])
    }

    fn abs(self) -> Self {
        Self { value: self.value.abs(), ..self }
    }

    fn larger(self, other: Self) -> Self {
        Self { value: self.value.larger(other.value), error: self.error.max(other.error) }
    }

    fn sign(self) -> Self {
        let value = Number::sign(self.value);
        // The distance to the other signs that the kernel may find.
        let [low, high] = self.reach().map(Number::sign);
        Self { value, error: (value - low).max(high - value) }.or_unknown(&[self])
    }

    fn sign_or_zero(self) -> Self {
        let value = self.value.sign_or_zero();
        let [low, high] = self.reach().map(Number::sign_or_zero);
        Self { value, error: (value - low).max(high - value) }.or_unknown(&[self])
    }

    fn clamp(self, low: Self, high: Self) -> Self {
        let value = Number::clamp(self.value, low.value, high.value);
        // The result rises with each of the operands. Beyond a limit, the result is as certain as the limit.
        let [lows, highs] = [low.reach(), high.reach()];
        let [least, most] = self.reach();
        let least = Number::clamp(least, lows[0], highs[0]);
        let most = Number::clamp(most, lows[1], highs[1]);
        let error = (value - least).max(most - value);
        let small = value.abs() - error < TINY && !Self { value, error }.is_exactly(0.0);
        let flushed = if small { TINY } else { 0.0 };
        Self { value, error: error + flushed }.or_unknown(&[self, low, high])
    }

    fn select_ge(self, bound: Self, then: Self, otherwise: Self) -> Self {
        let (taken, other) =
            if self.value >= bound.value { (then, otherwise) } else { (otherwise, then) };
        let [[low, high], [bound_low, bound_high]] = [self.reach(), bound.reach()];
        let certain = low >= bound_high || high < bound_low;
        let error = match certain {
            true => taken.error,
            // The kernel may take the other one, with its error.
            false => taken.error.max((taken.value - other.value).abs() + other.error),
        };
        Self { value: taken.value, error }.or_unknown(&[self, bound])
    }
}

#[cfg(test)]
mod tests;
