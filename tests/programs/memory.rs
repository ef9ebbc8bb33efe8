//! The bytes of the buffers, as the simulation knows them.

use half::{bf16, f16};
use wgpu_optim::Format;

use super::number::Num;

/// Where a run of numbers lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Spot {
    pub(crate) buffer: usize,
    pub(crate) format: Format,
    /// In elements from the start of the buffer.
    pub(crate) at: u64,
    pub(crate) len: u64,
}

impl Spot {
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let size = size(self.format);
        (size * self.at, size * (self.at + self.len))
    }

    /// The words it lies in.
    pub(crate) fn words(&self) -> std::ops::Range<usize> {
        let (start, end) = self.bytes();
        (start / 4) as usize..end.div_ceil(4) as usize
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        let ((start, end), (from, to)) = (self.bytes(), other.bytes());
        self.buffer == other.buffer && start < to && from < end
    }
}

/// Bytes of a number.
pub(crate) fn size(format: Format) -> u64 {
    if format == Format::F32 { 4 } else { 2 }
}

/// A word that lies between views, or in a new buffer: moderate numbers in every format, which differ.
pub(crate) fn canary(buffer: usize, word: usize) -> u32 {
    let hash = (buffer as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ word as u64;
    let hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 40;
    0x3e80_3e80 | hash as u32 & 0x807f_807f
}

/// One buffer.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) words: Vec<u32>,
    /// The halves of words that hold what a step computed.
    pub(crate) computed: Vec<bool>,
}

impl Memory {
    pub(crate) fn new(buffer: usize, words: usize) -> Self {
        let computed = vec![false; 2 * words];
        Self { words: (0..words).map(|word| canary(buffer, word)).collect(), computed }
    }

    pub(crate) fn mark(&mut self, spot: &Spot) {
        let (start, end) = spot.bytes();
        self.computed[start as usize / 2..end as usize / 2].fill(true);
    }
}

/// The numbers at a spot of a buffer with these words.
pub(crate) fn load(words: &[u32], spot: &Spot) -> Vec<f32> {
    (spot.at..spot.at + spot.len).map(|i| decode(words, spot.format, i)).collect()
}

fn decode(words: &[u32], format: Format, i: u64) -> f32 {
    let half = |i: u64| (words[i as usize / 2] >> (16 * (i % 2))) as u16;
    match format {
        Format::F16 => f16::from_bits(half(i)).to_f32(),
        Format::Bf16 => bf16::from_bits(half(i)).to_f32(),
        _ => f32::from_bits(words[i as usize]),
    }
}

/// Stores numbers at a spot.
pub(crate) fn store(words: &mut [u32], spot: &Spot, numbers: impl Iterator<Item = f32>) {
    for (i, number) in (spot.at..spot.at + spot.len).zip(numbers) {
        match encode(spot.format, number) {
            Ok(word) => words[i as usize] = word,
            Err(half) => {
                let (word, shift) = (&mut words[i as usize / 2], 16 * (i % 2));
                *word = *word & !(0xffff << shift) | u32::from(half) << shift;
            }
        }
    }
}

/// A number's word, or half a word.
fn encode(format: Format, number: f32) -> Result<u32, u16> {
    match format {
        Format::F16 => Err(f16::from_f32(number).to_bits()),
        Format::Bf16 => Err(bf16::from_f32(number).to_bits()),
        _ => Ok(number.to_bits()),
    }
}

/// A number as a format stores it.
pub(crate) fn rounded(format: Format, number: f32) -> f32 {
    match format {
        Format::F16 => f16::from_f32(number).to_f32(),
        Format::Bf16 => bf16::from_f32(number).to_f32(),
        _ => number,
    }
}

/// A number after rounding to 16 bits, with its bound.
pub(crate) fn stored(format: Format, number: Num) -> Num {
    number.stored(if format == Format::F16 { 1.0 / 2048.0 } else { 1.0 / 256.0 })
}
