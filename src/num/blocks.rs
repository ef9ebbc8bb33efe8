//! This module has the block formats, in which state takes 8 or 4 bits an element.
//!
//! A block is some neighbouring elements of one parameter. It has one scale, the block's largest magnitude, and a code
//! for each element. A code is an index in an ascending table of numbers from −1 to 1, and stands for that number times
//! the scale. `docs/NUMERICS.md` has the formats in full, and `shaders/block/` the same functions in WGSL.
//!
//! A block format is a file in `src/num/blocks/` and a row of [`BLOCKS`].

mod block4;
mod block8;
mod dynamic;

use std::hash::{Hash, Hasher};
use std::sync::OnceLock;

use super::WORD;
use super::noise;

/// A block format.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// The name in a config.
    pub(crate) name: &'static str,
    /// The bits of a code.
    pub(crate) bits: u32,
    /// The elements of a block.
    pub(crate) len: u64,
    /// The numbers that codes stand for, in ascending order, for signed or unsigned numbers.
    numbers: Signed<f32>,
    /// The lines whose lowest, at a magnitude relative to the scale, counts the codes from that of 0 on, almost.
    lines: Signed<Line>,
    tables: [OnceLock<Table>; 2],
}

/// A list for signed numbers, or for unsigned ones.
type Signed<T> = fn(bool) -> Vec<T>;

/// A line, by its slope and by its value at 0.
pub(crate) type Line = [f32; 2];

/// Every block format.
pub(crate) static BLOCKS: [Blocks; 2] = [
    Blocks::new("block8", 8, 256, (block8::numbers, block8::lines)),
    Blocks::new("block4", 4, 128, (block4::numbers, block4::lines)),
];

/// A multiple of the length of every block, in elements.
pub(crate) const LONGEST: u64 = 256;

/// The elements between places at which a binding of blocks can start on every device: there, records of every format
/// end on a multiple of 256 bytes, the largest alignment that WebGPU allows.
pub(crate) const GRAIN: u64 = 64 * LONGEST;

impl Blocks {
    const fn new(
        name: &'static str,
        bits: u32,
        len: u64,
        (numbers, lines): (Signed<f32>, Signed<Line>),
    ) -> Self {
        assert!(LONGEST.is_multiple_of(len), "blocks begin where the longest block does");
        Self { name, bits, len, numbers, lines, tables: [const { OnceLock::new() }; 2] }
    }

    /// The words of a block on the device: the codes, then the scale.
    pub(crate) fn record(&self) -> u64 {
        self.len * u64::from(self.bits) / 32 + 1
    }

    /// The bytes of the blocks of `elements` elements on the device.
    pub(crate) fn bytes(&self, elements: u64) -> u64 {
        elements.div_ceil(self.len) * self.record() * WORD
    }
}

impl PartialEq for Blocks {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Blocks {}

impl Hash for Blocks {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

/// The numbers of a code.
#[derive(Debug)]
struct Table {
    numbers: Vec<f32>,
    /// The middles between neighbouring numbers, in f32.
    middles: Vec<f32>,
    /// The code of 0, or the first code if there is none of 0.
    zero: u8,
}

/// The bits of the smallest normal f32.
const NORMAL: u32 = 0x0080_0000;

/// 2⁻⁶⁴. Smaller scales are multiplied by 2⁶⁴ before products are compared, because some devices take subnormal
/// products for 0.
const SMALL: f32 = f32::from_bits((127 - 64) << 23);
const LARGE: f32 = f32::from_bits((127 + 64) << 23);

/// The code of the numbers in one slot of state: a block format, and whether numbers have a sign.
///
/// ```
/// use wgpu_optim::StateFormat;
///
/// let code = StateFormat::Block8.code(false).unwrap();
/// let (codes, scales) = code.encode_all(&[0.0, 0.25, 1.5]);
/// assert_eq!(scales, [1.5]);
/// assert_eq!((codes[0], codes[2]), (0, 255)); // exact 0 and 1
/// assert!((code.decode_all(&codes, &scales)[1] - 0.25).abs() < 0.004 * 1.5);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct BlockCode {
    pub(crate) blocks: &'static Blocks,
    pub(crate) signed: bool,
}

impl BlockCode {
    fn table(self) -> &'static Table {
        self.blocks.tables[usize::from(self.signed)].get_or_init(|| {
            let numbers = (self.blocks.numbers)(self.signed);
            // Half of a rounded sum is the rounded middle, because halving is exact.
            let middles = numbers.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
            let zero = numbers.iter().position(|number| *number == 0.0).unwrap_or(0) as u8;
            Table { numbers, middles, zero }
        })
    }

    /// The name of the format, and whether numbers have a sign, as in `block8_signed`.
    pub fn name(self) -> String {
        let sign = if self.signed { "signed" } else { "unsigned" };
        format!("{}_{sign}", self.blocks.name)
    }

    /// Whether numbers may be below 0.
    pub fn is_signed(self) -> bool {
        self.signed
    }

    /// The bits of a code: 8 or 4.
    pub fn bits(self) -> u32 {
        self.blocks.bits
    }

    /// The elements of a block: 256 or 128. The last block of a parameter may have fewer.
    pub fn block(self) -> u64 {
        self.blocks.len
    }

    /// The numbers that codes stand for, in ascending order.
    pub fn numbers(self) -> &'static [f32] {
        &self.table().numbers
    }

    /// The middles between neighbouring numbers, each rounded to f32.
    pub fn middles(self) -> &'static [f32] {
        &self.table().middles
    }

    /// The code of 0, or code 0 if no code stands for 0. A block of zeros has this code throughout.
    pub fn zero(self) -> u8 {
        self.table().zero
    }

    /// The scale of a block: its largest magnitude; 0 if that is subnormal, and NaN if there is a NaN.
    pub fn scale(self, numbers: &[f32]) -> f32 {
        let bits = numbers.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or(0);
        f32::from_bits(if bits < NORMAL { 0 } else { bits })
    }

    /// A number and its scale as they are compared; none if the block has the code of zero throughout.
    fn compared(x: f32, scale: f32) -> Option<(f32, f32)> {
        if scale == 0.0 || scale.is_nan() {
            return None;
        }
        let x = if x.to_bits() & 0x7fff_ffff < NORMAL { 0.0 } else { x };
        let up = if scale < SMALL { LARGE } else { 1.0 };
        Some((x * up, scale * up))
    }

    /// The code nearest to a number, in a block of this scale; of two as near the upper one. The products of middles
    /// and the scale, in f32, are compared with the number.
    pub fn encode(self, x: f32, scale: f32) -> u8 {
        let Some((x, scale)) = Self::compared(x, scale) else { return self.zero() };
        self.table().middles.partition_point(|middle| middle * scale <= x) as u8
    }

    /// One of the two codes around a number, the upper one as often as the number is near to it: the code that
    /// [`Group::stochastic_state`](crate::Group::stochastic_state) gives slot number `slot` at the parameter's
    /// recorded step `step`, which counts from 1, on every adapter. `element` counts from the start of the parameter's
    /// buffer.
    pub fn encode_at_random(
        self,
        (x, scale): (f32, f32),
        seed: u64,
        step: u64,
        (slot, element): (u32, u32),
    ) -> u8 {
        let random = noise::noise(element, [noise::state_key(seed, step), slot]);
        let Some((x, scale)) = Self::compared(x, scale) else { return self.zero() };
        let numbers = self.numbers();
        let code = numbers[1..].partition_point(|number| number * scale <= x);
        let next = (code + 1).min(numbers.len() - 1);
        // A width of 11 bits times a share of 13 bits is exact, so that it does not matter whether a device fuses the
        // product and the sum.
        let width = f32::from_bits((numbers[next] - numbers[code]).to_bits() & 0xffff_e000);
        let share = (2 * (random >> 20) + 1) as f32 / 8192.0;
        let limit = numbers[code] + width * share;
        if limit * scale <= x { next as u8 } else { code as u8 }
    }

    /// The number that a code stands for: the table's number times the scale, in f32.
    pub fn decode(self, code: u8, scale: f32) -> f32 {
        let numbers = self.numbers();
        numbers[usize::from(code).min(numbers.len() - 1)] * scale
    }

    /// The codes and the scales of a parameter's numbers, block by block.
    pub fn encode_all(self, numbers: &[f32]) -> (Vec<u8>, Vec<f32>) {
        let mut codes = Vec::with_capacity(numbers.len());
        let mut scales = Vec::new();
        for block in numbers.chunks(self.blocks.len as usize) {
            let scale = self.scale(block);
            scales.push(scale);
            codes.extend(block.iter().map(|x| self.encode(*x, scale)));
        }
        (codes, scales)
    }

    /// The numbers of a parameter's codes and scales. Codes without a scale stand for NaN.
    pub fn decode_all(self, codes: &[u8], scales: &[f32]) -> Vec<f32> {
        let blocks = codes.chunks(self.blocks.len as usize).enumerate();
        let of = |(i, block): (usize, &[u8])| {
            let scale = scales.get(i).copied().unwrap_or(f32::NAN);
            block.iter().map(|code| self.decode(*code, scale)).collect::<Vec<f32>>()
        };
        blocks.flat_map(of).collect()
    }

    /// The word of a record that has the code of each element 0: a device keeps the differences to it, so that a
    /// buffer of zeros is a state of zeros.
    pub(crate) fn zeros(self) -> u32 {
        let each = |i: u32| u32::from(self.zero()) << (i * self.blocks.bits);
        (0..32 / self.blocks.bits).map(each).sum()
    }

    /// The codes and the scales of `len` elements, whose blocks are these bytes of the device.
    pub fn unpack(self, bytes: &[u8], len: usize) -> (Vec<u8>, Vec<f32>) {
        let words: Vec<u32> = bytes.as_chunks().0.iter().map(|w| u32::from_le_bytes(*w)).collect();
        let (mut codes, mut scales) = (Vec::with_capacity(len), Vec::new());
        let each = 32 / self.blocks.bits;
        for record in words.chunks_exact(self.blocks.record() as usize) {
            let (packed, scale) = record.split_at(record.len() - 1);
            let left = len - codes.len();
            let all = packed.iter().flat_map(|word| {
                let word = word ^ self.zeros();
                let mask = (1 << self.blocks.bits) - 1;
                (0..each).map(move |i| (word >> (i * self.blocks.bits) & mask) as u8)
            });
            codes.extend(all.take(left));
            scales.extend(scale.iter().map(|bits| f32::from_bits(*bits)));
        }
        (codes, scales)
    }

    /// The bytes of the device for blocks of these codes and scales. What the last block lacks has the code of 0.
    pub fn pack(self, codes: &[u8], scales: &[f32]) -> Vec<u8> {
        let mut words = Vec::new();
        let each = 32 / self.blocks.bits;
        let blocks = codes.chunks(self.blocks.len as usize).zip(scales);
        for (block, scale) in blocks {
            let end = words.len() + self.blocks.record() as usize - 1;
            words.extend(block.chunks(each as usize).map(|codes| {
                let differences = codes
                    .iter()
                    .zip(0..)
                    .map(|(code, i)| u32::from(code ^ self.zero()) << (i * self.blocks.bits));
                differences.sum::<u32>()
            }));
            words.resize(end, 0);
            words.push(scale.to_bits());
        }
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// The lines for a first guess at a code. At the magnitude y of a number relative to the scale, the lowest line's
    /// value v is concave, because decades become steeper towards 0. Then the code is floor(v) beyond the code of 0, or
    /// before it for a number below 0, or it is next to that.
    pub(crate) fn lines(self) -> Vec<Line> {
        (self.blocks.lines)(self.signed)
    }

    /// A number of steps from the code of 0, in kernels, that leads to no code outside of the table. The last code is at
    /// most one step further.
    pub(crate) fn most_steps(self) -> f32 {
        let steps = if self.signed { self.zero() } else { (self.numbers().len() - 2) as u8 };
        f32::from(steps) + 0.9
    }

    /// The words of a kernel's tables, in fours: the numbers, then the limits between which numbers get a code, from
    /// that below the first code to that above the last. At random, limits are the numbers themselves.
    pub(crate) fn words(self, at_random: bool) -> Vec<f32> {
        let Table { numbers, middles, .. } = self.table();
        let limits = if at_random { &numbers[1..] } else { &middles[..] };
        let limits = std::iter::once(-f32::MAX).chain(limits.iter().copied()).chain([f32::MAX; 4]);
        numbers.iter().copied().chain(limits).collect()
    }

    /// The largest distance from a number around `x` to the code that rounding gives it, in a block of this scale:
    /// half a gap between codes, or a whole gap if codes are chosen at random.
    #[cfg(feature = "verify")]
    pub(crate) fn step_around(self, [low, high]: [f64; 2], scale: f32, at_random: bool) -> f64 {
        let (numbers, scale) = (self.numbers(), f64::from(scale));
        let share = if at_random { 1.0 } else { 0.5 };
        let ends = [numbers[0], numbers[numbers.len() - 1]].map(|end| f64::from(end) * scale);
        // Beyond the ends, everything goes to the end.
        let beyond = (ends[0] - low).max(high - ends[1]).max(0.0);
        let gaps = numbers.windows(2).map(|pair| [pair[0], pair[1]].map(|x| f64::from(x) * scale));
        let near = gaps.filter(|[a, b]| *b >= low && *a <= high).map(|[a, b]| share * (b - a));
        near.fold(beyond, f64::max)
    }
}

impl Blocks {
    /// The code of signed or of unsigned numbers.
    pub(crate) fn code(&'static self, signed: bool) -> BlockCode {
        BlockCode { blocks: self, signed }
    }
}

#[cfg(test)]
mod tests;
