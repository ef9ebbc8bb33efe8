//! Every code of 16 bits, decoded and encoded on the GPU, against the `half` crate.

use wgpu_optim::Format;
use wgpu_optim::kernel::Width;

use super::copy::Copy;
use super::{ORACLES, Oracle, WIDTHS, elements, packed, unpacked};

/// How many of all codes the GPU decodes to something else than `half`.
fn wrongly_decoded((format, decode, _): Oracle, width: Width, written: bool) -> usize {
    let codes: Vec<u16> = (0..=u16::MAX).collect();
    let (from, to, places) = (format, Format::F32, [0, 0]);
    let (length, back, mutation) = (codes.len() as u32 / elements(width), false, None);
    let copy = Copy { width, written, back, from, to, places, length, mutation };
    let decoded = copy.run(&packed(&codes), &vec![0; codes.len()]);
    let wrong = codes.iter().zip(decoded).filter(|(code, ours)| {
        let theirs = decode(**code).to_bits();
        // `half` makes a signalling NaN quiet when it decodes it, here the next operation does.
        let quiet = if f32::from_bits(theirs).is_nan() { 0x40_0000 } else { 0 };
        *ours | quiet != theirs
    });
    wrong.count()
}

#[test]
fn every_code_is_decoded_as_half_does() {
    for oracle in ORACLES {
        for width in WIDTHS {
            for written in [false, true] {
                let wrong = wrongly_decoded(oracle, width, written);
                assert_eq!(wrong, 0, "{:?} {width:?} {written}", oracle.0);
            }
        }
    }
}

/// Every upper half of an f32, thus every sign, exponent and NaN, each with lower halves at, beside and
/// between the ties of both formats; and a million numbers at random.
fn sample() -> Vec<u32> {
    const LOWER: [u32; 16] = [
        0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x2fff, 0x3000, 0x3001, 0x7fff, 0x8000,
        0x8001, 0xefff, 0xf000, 0xffff,
    ];
    let edges = (0..=0xffff_u32).flat_map(|upper| LOWER.map(|lower| upper << 16 | lower));
    let random = (0..1_u32 << 20).map(|i| i.wrapping_mul(0x9e37_79b9) ^ i.wrapping_mul(i) << 7);
    edges.chain(random).collect()
}

/// How many of the sample the GPU encodes to something else than `half`, into parameters or, `back`, gradients.
fn wrongly_encoded(
    (to, _, encode): Oracle,
    (width, back): (Width, bool),
    mutation: Option<(&str, &str)>,
) -> usize {
    let bits = sample();
    let (from, places, length) = (Format::F32, [0, 0], bits.len() as u32 / elements(width));
    let copy = Copy { width, written: back, back, from, to, places, length, mutation };
    let encoded = unpacked(&copy.run(&bits, &vec![0x5555_aaaa; bits.len() / 2]));
    let expected = bits.iter().map(|bits| encode(f32::from_bits(*bits)));
    expected.zip(encoded).filter(|(theirs, ours)| theirs != ours).count()
}

#[test]
fn numbers_are_encoded_as_half_does() {
    for oracle in ORACLES {
        for width in WIDTHS {
            for back in [false, true] {
                let wrong = wrongly_encoded(oracle, (width, back), None);
                assert_eq!(wrong, 0, "{:?} {width:?} {back}", oracle.0);
            }
        }
    }
}

#[test]
fn wrong_encoders_are_caught() {
    let [f16, bf16] = ORACLES;
    for (oracle, right, wrong) in [
        // Truncation; ties away from zero; infinity in place of NaN; no overflow; no subnormals.
        (bf16, "(bits + 0x7fffu + (upper & real_bits(1u)))", "bits"),
        (bf16, "0x7fffu + (upper & real_bits(1u))", "0x8000u"),
        (bf16, "upper | real_bits(0x40u)", "rounded"),
        (f16, "+ 0xfffu + odd", ""),
        (f16, "0xfffu + odd", "0x1000u"),
        (f16, "min(rounded, real_bits(0x7c00u))", "rounded"),
        (
            f16,
            "real_bits(0x7c00u), nan, magnitude",
            "real_bits(0x7c00u), real_bits(0x7c00u), magnitude",
        ),
        (f16, "select(normal, subnormal, magnitude", "select(normal, real_bits(), magnitude"),
        (f16, "((significand >> shift) & real_bits(1u))", "real_bits(1u)"),
    ] {
        for width in [Width::Vec4, Width::Scalar] {
            let count = wrongly_encoded(oracle, (width, false), Some((right, wrong)));
            println!("{right} → {wrong}: {count} wrong");
            assert!(count > 0, "`{right}` → `{wrong}` in {width:?} went unnoticed");
        }
    }
}
