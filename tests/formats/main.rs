//! Numbers of 16 bits: every bit of them, on the GPU, against the `half` crate; and what shares a word.
//!
//! The kernels here are the library's up to their entry point: the same codec, accesses and addressing,
//! with a body that copies a gradient into its parameter, or back, so that nothing rounds but the codec.

mod codes;
mod copy;
mod views;
mod words;

use half::{bf16, f16};
use support::halves;
use wgpu_optim::Format;
use wgpu_optim::kernel::Width;

/// Both formats of 16 bits, and `half`'s word on them.
pub(crate) type Oracle = (Format, fn(u16) -> f32, fn(f32) -> u16);
pub(crate) const ORACLES: [Oracle; 2] = [
    (Format::F16, |bits| f16::from_bits(bits).to_f32(), |x| f16::from_f32(x).to_bits()),
    (Format::Bf16, |bits| bf16::from_bits(bits).to_f32(), |x| bf16::from_f32(x).to_bits()),
];

#[test]
fn every_format_of_16_bits_has_its_oracle() {
    assert!(halves().eq(ORACLES.map(|(format, ..)| format)));
}

/// Every width.
pub(crate) const WIDTHS: [Width; 3] = [Width::Vec4, Width::Loose, Width::Scalar];

/// Elements to an invocation.
pub(crate) fn elements(width: Width) -> u32 {
    if width == Width::Scalar { 1 } else { 4 }
}

/// Codes, two to a word.
pub(crate) fn packed(codes: &[u16]) -> Vec<u32> {
    codes.chunks(2).map(|pair| u32::from(pair[0]) | u32::from(pair[1]) << 16).collect()
}

pub(crate) fn unpacked(words: &[u32]) -> Vec<u16> {
    words.iter().flat_map(|word| [*word as u16, (word >> 16) as u16]).collect()
}
