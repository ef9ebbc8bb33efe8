//! Functions of the CPU engine that a loop can have and be vectorized, in the arithmetic of the kernels.

/// The smallest normal number's bits.
const NORMAL: u32 = 0x0080_0000;

/// The bits of infinity.
const INFINITE: u32 = 0x7f80_0000;

/// The cube root of a number of 0 and more: `cube_root` of `shaders/rule/madgrad.wgsl`.
#[inline(always)]
pub(super) fn cube_root(x: f32) -> f32 {
    const THIRD: f32 = 1.0 / 3.0;
    let bits = x.to_bits();
    // A third of the bits is a third of the exponent: 3.2 % off. Each of Newton's steps squares that.
    let mut y = f32::from_bits(bits / 3 + 0x2a51_0800);
    y += THIRD * (x / (y * y) - y);
    y += THIRD * (x / (y * y) - y);
    y += THIRD * (x / (y * y) - y);
    let finite = if bits >= NORMAL { y } else { 0.0 };
    if bits >= INFINITE { x } else { finite }
}

/// The angle of the point (x, y), for an x of 0 and more: `arc_tangent` of `shaders/rule/adam_atan2.wgsl`.
#[inline(always)]
pub(super) fn arc_tangent(y: f32, x: f32) -> f32 {
    let [rise, run] = [y, x].map(magnitude);
    let high = rise.max(run);
    let ratio = f32::from_bits(rise.min(run)) / f32::from_bits(high);
    let q = if high >= NORMAL { ratio } else { 0.0 };
    // The minimax polynomial of (atan(q) / q − 1) / q² over q², 1.7e-8 off in the angle.
    let s = q * q;
    let r = 0.043_211_84 + s * (-0.016_367_916 + s * 0.002_920_689_5);
    let r = 0.106_660_04 + s * (-0.075_522_125 + s * r);
    let r = 0.199_937_73 + s * (-0.142_110_56 + s * r);
    let angle = q + q * (s * (-0.333_331_53 + s * r));
    let turned = if rise > run { std::f32::consts::FRAC_PI_2 - angle } else { angle };
    f32::from_bits(turned.to_bits() | (y.to_bits() & 0x8000_0000))
}

/// The bits of a magnitude, at most 2¹²⁶; a NaN stays.
#[inline(always)]
fn magnitude(x: f32) -> u32 {
    let bits = x.to_bits() & 0x7fff_ffff;
    if bits > INFINITE { bits } else { bits.min(0x7e80_0000) }
}

#[cfg(test)]
mod tests {
    use super::{arc_tangent, cube_root};

    /// The distance from an exact value in units of its last place.
    fn off(found: f32, exact: f64) -> f64 {
        (f64::from(found) - exact).abs() / (f64::from(f32::EPSILON) * exact.abs())
    }

    /// Numbers of every normal exponent with many mantissas.
    fn normal() -> impl Iterator<Item = f32> {
        (f32::MIN_POSITIVE.to_bits()..=f32::MAX.to_bits()).step_by(977).map(f32::from_bits)
    }

    #[test]
    fn cube_roots_are_within_their_bound() {
        let worst = normal().map(|x| off(cube_root(x), f64::from(x).cbrt())).fold(0.0, f64::max);
        println!("{worst} ulp off");
        assert!(worst <= 1.5, "{worst}");
        assert_eq!([0.0, 1.0, 8.0, f32::INFINITY].map(cube_root), [0.0, 1.0, 2.0, f32::INFINITY]);
        assert_eq!(cube_root(f32::MIN_POSITIVE / 2.0), 0.0);
        assert!(cube_root(f32::NAN).is_nan());
    }

    #[test]
    fn angles_are_within_their_bound() {
        use std::f32::consts::{FRAC_PI_2, FRAC_PI_4};

        let mut worst = 0.0_f64;
        for ratio in normal().filter(|ratio| (1e-30..=1e30).contains(ratio)) {
            for [y, x] in [[ratio, 1.0], [-1.0, ratio], [-ratio * 1e-5, 1e-5], [3e7 * ratio, 3e7]] {
                worst = worst.max(off(arc_tangent(y, x), f64::from(y).atan2(f64::from(x))));
            }
        }
        println!("{worst} ulp off");
        assert!(worst <= 4.0, "{worst}");
        assert_eq!(arc_tangent(0.0, 0.0), 0.0);
        assert_eq!([arc_tangent(1.0, 0.0), arc_tangent(-1.0, 0.0)], [FRAC_PI_2, -FRAC_PI_2]);
        assert_eq!(arc_tangent(f32::INFINITY, 1.0), FRAC_PI_2);
        assert_eq!(arc_tangent(f32::NEG_INFINITY, f32::INFINITY), -FRAC_PI_4);
        assert!(arc_tangent(1.0, f32::INFINITY) < 1e-37);
        assert!(arc_tangent(f32::NAN, 1.0).is_nan() && arc_tangent(1.0, f32::NAN).is_nan());
    }
}
