use half::{bf16, f16};

use super::Format;

/// Both formats of 16 bits, and `half`'s word on them.
type Oracle = (Format, fn(u16) -> f32, fn(f32) -> u16);
const ORACLES: [Oracle; 2] = [
    (Format::F16, |bits| f16::from_bits(bits).to_f32(), |x| f16::from_f32(x).to_bits()),
    (Format::Bf16, |bits| bf16::from_bits(bits).to_f32(), |x| bf16::from_f32(x).to_bits()),
];

/// `half` makes a signalling NaN quiet when it decodes f16, here it stays as it is; both encode it alike.
fn same(ours: f32, theirs: f32) -> bool {
    ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan())
}

#[test]
fn every_code_decodes_as_half_says() {
    for (format, decode, _) in ORACLES {
        for bits in 0..=u16::MAX {
            let (ours, theirs) = (format.decode(u32::from(bits)), decode(bits));
            assert!(same(ours, theirs), "{format:?} {bits:#06x}: {ours:e}, {theirs:e}");
        }
    }
}

#[test]
fn every_upper_half_of_an_f32_encodes_as_half_says() {
    for (format, _, encode) in ORACLES {
        for upper in 0..=u16::MAX {
            for lower in
                [0, 1, 0xfff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff]
            {
                let x = f32::from_bits(u32::from(upper) << 16 | lower);
                assert_eq!(
                    format.encode(x),
                    u32::from(encode(x)),
                    "{format:?} {:#010x}",
                    x.to_bits()
                );
            }
        }
    }
}

#[test]
fn f32_is_left_alone() {
    for x in [0.0, -0.0, 1e-45, f32::MAX, f32::INFINITY] {
        assert_eq!(Format::F32.encode(x), x.to_bits());
        assert_eq!(Format::F32.decode(x.to_bits()).to_bits(), x.to_bits());
    }
}

#[test]
fn half_a_step_is_the_most_that_rounding_changes() {
    for format in [Format::F16, Format::Bf16] {
        let (mut worst, mut x) = (0.0_f64, 1e-40_f32);
        while f64::from(x) < format.overflow() && x.is_finite() {
            let off = (f64::from(format.decode(format.encode(x))) - f64::from(x)).abs();
            let half = format.half_step(f64::from(x));
            assert!(off <= half, "{format:?} {x:e}: {off:e} of {half:e}");
            worst = worst.max(off / half);
            x *= 1.000_37;
        }
        assert!(worst > 0.99, "{format:?}: {worst}");
    }
}

#[test]
fn where_infinity_begins() {
    for (format, first) in [(Format::F16, 65_520.0), (Format::Bf16, 3.396_18e38)] {
        let overflow = format.overflow();
        assert!((overflow / first - 1.0).abs() < 1e-4, "{overflow}");
        assert!(format.decode(format.encode(overflow as f32)).is_infinite());
        assert!(format.decode(format.encode((overflow as f32).next_down())).is_finite());
    }
    assert_eq!(Format::F32.overflow(), f64::from(f32::MAX) + 2f64.powi(103));
}
