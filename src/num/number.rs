//! The arithmetic that a rule's formula is written in: one text for every use of the formula.
//!
//! A formula is generic over [`Number`]. In `f64` the formula is the reference, in `f32` it is the CPU
//! engine, and in [`Bounded`](super::Bounded) it also carries how far a correct kernel may be from it.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Sub};

use super::roots::{arc_tangent, cube_root};

/// Only this module's arithmetics are numbers, so that [`Number`] can gain operations.
pub trait Sealed {}

impl Sealed for f64 {}
impl Sealed for f32 {}

/// The operations that a formula may use. Sealed: the crate implements it for `f64`, `f32` and
/// [`Bounded`](super::Bounded).
pub trait Number:
    Sealed
    + Copy
    + Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + 'static
{
    /// A scalar that the host computes in f64 and rounds once to f32 for the kernel.
    fn scalar(x: f64) -> Self;

    /// The rest of this number plus a new part, `keep · self + new`: `decayed` of
    /// `shaders/step.wgsl`, which gets `keep` in two f32 halves.
    #[must_use]
    fn decayed(self, keep: f64, new: Self) -> Self;

    /// Square root.
    #[must_use]
    fn sqrt(self) -> Self;

    /// Cube root of a number of 0 and more: `cube_root` of `shaders/rule/madgrad.wgsl`.
    #[must_use]
    fn cbrt(self) -> Self;

    /// The angle of the point (`x`, `self`), for an `x` of 0 and more: `arc_tangent` of
    /// `shaders/rule/adam_atan2.wgsl`.
    #[must_use]
    fn atan2(self, x: Self) -> Self;

    /// Magnitude.
    #[must_use]
    fn abs(self) -> Self;

    /// The larger of two numbers of 0 and more, or a NaN if one of them is: `larger` of `shaders/math.wgsl`.
    #[must_use]
    fn larger(self, other: Self) -> Self;

    /// −1, 0 or 1, as the number is below, at or above 0; a NaN stays a NaN: `sign_of` of
    /// `shaders/math.wgsl`.
    #[must_use]
    fn sign(self) -> Self;

    /// −1, 0 or 1 as [`Number::sign`], and 0 for a NaN: `sign_or_zero` of `shaders/math.wgsl`.
    #[must_use]
    fn sign_or_zero(self) -> Self;

    /// The number limited to `low` and `high`; a NaN stays a NaN: `limited` of `shaders/math.wgsl`.
    #[must_use]
    fn clamp(self, low: Self, high: Self) -> Self;

    /// `then` if the number is at least `bound`, and else `otherwise`: `select(otherwise, then, x >= bound)`
    /// in WGSL, which promises neither where one of them is a NaN.
    #[must_use]
    fn select_ge(self, bound: Self, then: Self, otherwise: Self) -> Self;
}

/// The operations that floats of both widths have in common, in one text.
///
/// Every function is part of the CPU engine's loop, which is vectorized only as one piece.
macro_rules! in_common {
    () => {
        #[inline(always)]
        fn sqrt(self) -> Self {
            self.sqrt()
        }

        #[inline(always)]
        fn abs(self) -> Self {
            self.abs()
        }

        #[inline(always)]
        fn larger(self, other: Self) -> Self {
            // A comparison with a NaN is false.
            if self >= other || self.is_nan() { self } else { other }
        }

        #[inline(always)]
        fn sign(self) -> Self {
            if self > 0.0 {
                1.0
            } else if self < 0.0 {
                -1.0
            } else {
                self
            }
        }

        #[inline(always)]
        fn sign_or_zero(self) -> Self {
            if self > 0.0 {
                1.0
            } else if self < 0.0 {
                -1.0
            } else {
                0.0
            }
        }

        #[inline(always)]
        fn clamp(self, low: Self, high: Self) -> Self {
            let raised = if self < low { low } else { self };
            if raised > high { high } else { raised }
        }

        #[inline(always)]
        fn select_ge(self, bound: Self, then: Self, otherwise: Self) -> Self {
            if self >= bound { then } else { otherwise }
        }
    };
}

impl Number for f64 {
    fn scalar(x: f64) -> Self {
        x
    }

    fn decayed(self, keep: f64, new: Self) -> Self {
        keep * self + new
    }

    fn cbrt(self) -> Self {
        self.cbrt()
    }

    fn atan2(self, x: Self) -> Self {
        // The sign of a zero is no matter.
        self.atan2(x.abs())
    }

    in_common!();
}

impl Number for f32 {
    #[inline(always)]
    fn scalar(x: f64) -> Self {
        x as f32
    }

    #[inline(always)]
    fn decayed(self, keep: f64, new: Self) -> Self {
        let [high, low] = halves(keep).map(|x| x as f32);
        high * self + (low * self + new)
    }

    #[inline(always)]
    fn cbrt(self) -> Self {
        cube_root(self)
    }

    #[inline(always)]
    fn atan2(self, x: Self) -> Self {
        arc_tangent(self, x)
    }

    in_common!();
}

/// Both halves of a factor that the kernel takes as `x` and `x_low`. The first lies below `x`, so that
/// the second is above 0 and an infinite average stays infinite: inf − inf and 0 · inf would be NaN.
#[inline]
pub(crate) fn halves(x: f64) -> [f64; 2] {
    let nearest = x as f32;
    let high = match f64::from(nearest) < x || x == 0.0 {
        true => f64::from(nearest),
        false => f64::from(nearest.next_down()),
    };
    [high, x - high]
}
