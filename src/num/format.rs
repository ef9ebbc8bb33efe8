//! This module has the formats in which numbers are stored: f32, f16 and bf16.
//!
//! A 16-bit format is a row in [`Format::row`] and a file in `shaders/format/`. The file gives the bits of the row's
//! arithmetic by integer operations only, so that drivers agree.

use super::noise;

/// The format in which a parameter, a gradient or a slot of state is stored. Arithmetic is in f32 throughout.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum Format {
    /// 32 bits, as computed.
    #[default]
    F32,
    /// IEEE 754's 16 bits: 11 significant ones, up to 65 504.
    F16,
    /// The upper half of an f32: 8 significant bits, the whole range.
    Bf16,
}

/// The numbers that distinguish a format.
struct Row {
    name: &'static str,
    exponent_bits: u32,
    fraction_bits: u32,
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    const fn row(self) -> Row {
        match self {
            Self::F32 => Row { name: "f32", exponent_bits: 8, fraction_bits: 23 },
            Self::F16 => Row { name: "f16", exponent_bits: 5, fraction_bits: 10 },
            Self::Bf16 => Row { name: "bf16", exponent_bits: 8, fraction_bits: 7 },
        }
    }

    /// `"f32"`, `"f16"` or `"bf16"`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Bytes of one number.
    pub fn bytes(self) -> u64 {
        u64::from(1 + self.row().exponent_bits + self.row().fraction_bits) / 8
    }

    /// The number of these bits; of 16-bit formats the lower half counts.
    pub fn decode(self, bits: u32) -> f32 {
        let Row { exponent_bits, fraction_bits, .. } = self.row();
        if self == Self::F32 {
            return f32::from_bits(bits);
        }
        let sign = bits >> (exponent_bits + fraction_bits) & 1;
        let exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
        let fraction = bits & ((1 << fraction_bits) - 1);
        let magnitude = if exponent == (1 << exponent_bits) - 1 {
            f32::from_bits(0x7f80_0000 | fraction << (23 - fraction_bits))
        } else {
            let implicit = u32::from(exponent > 0) << fraction_bits;
            // Exact: f64 has room for every number of these formats.
            let unit = f64::from(self.least_exponent() + exponent.max(1) as i32 - 1).exp2();
            (f64::from(implicit | fraction) * unit) as f32
        };
        f32::from_bits(magnitude.to_bits() | sign << 31)
    }

    /// The bits of the number nearest to `x`, of two as near the even one; infinity past the largest.
    /// A NaN becomes a quiet one with the upper bits of its payload.
    pub fn encode(self, x: f32) -> u32 {
        let Row { exponent_bits, fraction_bits, .. } = self.row();
        if self == Self::F32 {
            return x.to_bits();
        }
        let (sign, magnitude) = (x.to_bits() >> 31, x.to_bits() & 0x7fff_ffff);
        let sign = sign << (exponent_bits + fraction_bits);
        let infinity = ((1 << exponent_bits) - 1) << fraction_bits;
        let cut = 23 - fraction_bits;
        if x.is_nan() {
            let payload = magnitude >> cut & ((1 << fraction_bits) - 1);
            return sign | infinity | 1 << (fraction_bits - 1) | payload;
        }
        // As significand · 2ᵉ, and how many bits of it are below this format's last.
        let exponent = (magnitude >> 23).max(1);
        let implicit = u32::from(magnitude >> 23 > 0) << 23;
        let significand = implicit | magnitude & 0x7f_ffff;
        let least = (self.least_exponent() + 150 - cut as i32) as u32; // f32's 1 is 2⁻¹⁴⁹
        let below = (cut + least.saturating_sub(exponent)).min(25);
        let odd = significand >> below & 1;
        let rounded = (significand + (1 << (below - 1)) - 1 + odd) >> below;
        // A carry out of the fraction makes the next exponent.
        sign | ((exponent.saturating_sub(least) << fraction_bits) + rounded).min(infinity)
    }

    /// `x` rounded up or down to a number of this format, up as often as it is near to that: the same
    /// bits as [`Group::stochastic_rounding`](crate::Group::stochastic_rounding) on every adapter. `step`
    /// counts the parameter's recorded steps from 1, `element` from the start of its buffer.
    pub fn dither(self, x: f32, seed: u64, step: u64, element: u32) -> f32 {
        let noise = noise::noise(element, noise::key(seed, step));
        let magnitude = x.to_bits() & 0x7fff_ffff;
        if self == Self::F32 || !x.is_finite() {
            return x;
        }
        let below = 23 - self.row().fraction_bits;
        let rounded = match self {
            // A bf16 has all of f32's exponents.
            Self::F32 | Self::Bf16 => (magnitude + (noise >> (32 - below))) & !((1 << below) - 1),
            Self::F16 => {
                let least = 2.0_f64.powi(self.least_exponent());
                let exponent = magnitude >> 23;
                if exponent < 103 {
                    // 32 bits see nothing of 2⁻⁵⁵ and less.
                    let share = (f64::from(x.abs()) / least * 2.0_f64.powi(32)).floor();
                    let up = exponent > 71 && f64::from(noise) < share;
                    if up { (least as f32).to_bits() } else { 0 }
                } else {
                    let mask = (1 << (below + 113_u32.saturating_sub(exponent))) - 1;
                    (magnitude + (noise & mask)) & !mask
                }
            }
        };
        self.decode(self.encode(f32::from_bits(x.to_bits() & 0x8000_0000 | rounded)))
    }

    /// The binary exponent of the smallest number above 0.
    fn least_exponent(self) -> i32 {
        let Row { exponent_bits, fraction_bits, .. } = self.row();
        2 - (1 << (exponent_bits - 1)) - fraction_bits as i32
    }

    /// Half the distance between numbers around `x`: how far rounding can be off there.
    pub(crate) fn half_step(self, x: f64) -> f64 {
        let exponent = x.abs().max(f64::MIN_POSITIVE).log2().floor() as i32;
        let step = (exponent - self.row().fraction_bits as i32).max(self.least_exponent());
        f64::from(step - 1).exp2()
    }

    /// From here on numbers round to infinity.
    pub(crate) fn overflow(self) -> f64 {
        let Row { exponent_bits, fraction_bits, .. } = self.row();
        let largest = f64::from(1 << (exponent_bits - 1)).exp2();
        largest * (1.0 - f64::from(-(fraction_bits as i32) - 2).exp2())
    }

    /// The numbers stored in `bytes`, little-endian.
    pub fn decode_all(self, bytes: &[u8]) -> Vec<f32> {
        let words = || bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word));
        let halves = || bytes.as_chunks().0.iter().map(|half| u16::from_le_bytes(*half).into());
        if self == Self::F32 {
            words().collect()
        } else {
            halves().map(|x| self.decode(x)).collect()
        }
    }

    /// The bytes that `numbers` are stored as, little-endian.
    pub fn encode_all(self, numbers: &[f32]) -> Vec<u8> {
        let bytes = self.bytes() as usize;
        numbers.iter().flat_map(|x| self.encode(*x).to_le_bytes().into_iter().take(bytes)).collect()
    }
}

#[cfg(test)]
mod tests;
