//! This module makes numbers that are hard on a kernel, the same in every run.

use super::Case;
use crate::num::{Format, StateFormat, StateFormats};

/// A stream of such numbers (splitmix64).
pub(super) struct Numbers {
    seed: u64,
    /// The binary exponent that no gradient reaches.
    ceiling: f64,
}

impl Numbers {
    /// The numbers for gradients and state in the formats of a case.
    pub(super) fn new(case: &Case) -> Self {
        let is_f16 = case.group.state_format == StateFormats::All(StateFormat::F16);
        let ceiling = match [case.param, case.grad] {
            // Sums of squares over all steps stay in the range of the format.
            _ if is_f16 => 4.0,
            // So do parameters that a rule moves by multiples of gradients.
            [Format::F16, _] | [_, Format::F16] => 15.0,
            _ => 36.0,
        };
        Self { seed: 0x5eed, ceiling }
    }

    fn bits(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but not including 1.
    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number of either sign, with a binary exponent between the two given.
    fn between(&mut self, low: f64, high: f64) -> f32 {
        let exponent = low + (high - low) * self.uniform();
        let sign = if self.bits() & 1 == 0 { 1.0 } else { -1.0 };
        (sign * exponent.exp2()) as f32
    }

    /// A parameter, which is zero or lies within seven decades.
    pub(super) fn param(&mut self) -> f32 {
        match self.bits() % 16 {
            0 => 0.0,
            _ => self.between(-13.0, 10.0),
        }
    }

    /// A gradient for element `i` at step `t`. A third of the elements keep to a magnitude of their
    /// own, a third roam over twenty decades, the rest see subnormals, long pauses or nothing at all.
    pub(super) fn grad(&mut self, i: usize, t: u64) -> f32 {
        let any = self.between(-30.0, self.ceiling);
        match i % 9 {
            0..=2 => {
                let exponent = ((i / 9 % 40) as f32 - 26.0).min(self.ceiling as f32 - 1.0);
                any.signum() * exponent.exp2() * (1.0 + any.abs().fract())
            }
            3..=5 => any,
            6 if !t.is_multiple_of(4) => 0.0,
            6 => any,
            7 if t.is_multiple_of(3) => self.between(-149.0, -126.0),
            7 => self.between(-60.0, -20.0),
            _ if i.is_multiple_of(2) && t > 3 => 0.0,
            _ if i % 4 == 1 => 0.0,
            _ => self.between(-3.0, 3.0),
        }
    }
}
