//! State in blocks of codes: a byte or half a byte for a number, and a scale for each block of them.

use std::rc::Rc;

use safetensors::Dtype;

use super::value::{Each, Source, Tensor};
use crate::Failure;

/// The size of a code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bits {
    Four,
    Eight,
}

impl Bits {
    /// The elements of a block.
    pub(crate) fn block(self) -> usize {
        match self {
            Self::Four => 128,
            Self::Eight => 256,
        }
    }

    /// The numbers that the codes stand for, in the order of the codes, relative to the scale.
    pub(crate) fn table(self, signed: bool) -> Vec<f32> {
        match (self, signed) {
            (Self::Four, false) => (1..=16_u8).map(|i| f32::from(i) / 16.0).collect(),
            (Self::Four, true) => dynamic(&[1e-2, 1e-1, 1.0], signed),
            (Self::Eight, _) => dynamic(&[1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0], signed),
        }
    }
}

/// The middles of ever more parts of 0.1 to 1, for each decade, with 0 and 1 in ascending order.
///
/// Each operation is rounded to f32 as PyTorch on a CPU with fused multiply-add rounds it, so that the table is theirs
/// to the bit.
fn dynamic(decades: &[f32], signed: bool) -> Vec<f32> {
    let (first, last) = (0.1_f32, 1.0_f32);
    let mut all = vec![0.0, 1.0];
    let mut parts = if signed { 1_u16 } else { 2 };
    for decade in decades {
        let width = (last - first) / f32::from(parts);
        let edge = |i: u16| {
            // PyTorch counts from the nearer end.
            if i < parts.div_ceil(2) {
                width.mul_add(f32::from(i), first)
            } else {
                (-width).mul_add(f32::from(parts - i), last)
            }
        };
        for i in 0..parts {
            let value = decade * ((edge(i) + edge(i + 1)) / 2.0);
            all.push(value);
            all.extend(signed.then_some(-value));
        }
        parts *= 2;
    }
    all.sort_by(f32::total_cmp);
    all
}

/// A slot of a parameter, whose blocks run over the parameter's elements in the order of rows.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// A code a byte, in the parameter's shape.
    pub(crate) codes: Tensor,
    /// One for each block, in f32; the last block may be shorter.
    pub(crate) scales: Tensor,
    pub(crate) bits: Bits,
    pub(crate) signed: bool,
}

impl Blocks {
    /// Codes with their scales. An error says what does not fit.
    pub(crate) fn new(
        codes: Tensor,
        scales: Tensor,
        bits: Bits,
        signed: bool,
    ) -> Result<Self, String> {
        if codes.dtype != Dtype::U8 || scales.dtype != Dtype::F32 {
            return Err(format!("its codes are {codes:?}, its scales {scales:?}, not U8 and F32"));
        }
        let count = codes.len().ok_or("it is too large")?;
        let blocks = count.div_ceil(bits.block());
        if scales.shape != [blocks] {
            return Err(format!(
                "it has {count} codes and scales of shape {:?}, not {blocks}, one for each block of {}; only such \
                 blocks are read",
                scales.shape,
                bits.block()
            ));
        }
        Ok(Self { codes, scales, bits, signed })
    }

    /// The numbers, in f32.
    pub(crate) fn decoded(&self) -> Tensor {
        let Self { codes, scales, bits, signed } = self.clone();
        let shape = codes.shape.clone();
        let table = bits.table(signed);
        let data = Rc::new(Decoded { codes, scales, table, block: bits.block() });
        Tensor { dtype: Dtype::F32, shape, data }
    }

    /// Whether all blocks have all their elements.
    pub(super) fn is_whole(&self) -> bool {
        self.codes.len().is_some_and(|count| count.is_multiple_of(self.bits.block()))
    }
}

/// The slots of squares, which are never below 0.
const SQUARES: [&str; 4] = ["exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum"];

/// Whether a slot's codes have signs.
pub(super) fn is_signed(slot: &str) -> bool {
    !SQUARES.contains(&slot)
}

/// The farthest that a value of another's table may be from ours: tables of other machines are rounded otherwise.
const ULPS: u32 = 2;

/// Whether another's table is ours.
pub(super) fn check_table(given: &Tensor, bits: Bits, signed: bool) -> Result<(), String> {
    let table = bits.table(signed);
    let wrong = || {
        let sign = if signed { "signed" } else { "unsigned" };
        format!("its table is not the {sign} one of {} codes that is known here", table.len())
    };
    if given.dtype != Dtype::F32 || given.shape != [table.len()] {
        return Err(wrong());
    }
    let bytes = given.bytes().map_err(|e| e.to_string())?;
    let given = bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x));
    let is_near = |(a, b): (f32, &f32)| {
        a == *b || a.signum() == b.signum() && a.to_bits().abs_diff(b.to_bits()) <= ULPS
    };
    if given.zip(&table).all(is_near) { Ok(()) } else { Err(wrong()) }
}

/// Codes of half a byte, a byte each.
pub(super) fn unpacked(packed: &Tensor, shape: Vec<usize>) -> Tensor {
    Tensor { dtype: Dtype::U8, shape, data: Rc::new(Unpacked(packed.clone())) }
}

/// Codes of a byte each, two in a byte; there must be an even number of them.
pub(super) fn packed(codes: &Tensor) -> Result<Tensor, String> {
    let count = codes.len().ok_or("it is too large")?;
    if !count.is_multiple_of(2) {
        return Err(format!("{count} codes do not fill bytes of two"));
    }
    let data = Rc::new(Packed(codes.clone()));
    Ok(Tensor { dtype: Dtype::U8, shape: vec![count / 2], data })
}

/// The numbers of codes.
struct Decoded {
    codes: Tensor,
    scales: Tensor,
    table: Vec<f32>,
    block: usize,
}

impl Source for Decoded {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let scales = self.scales.bytes()?;
        let scales: Vec<f32> =
            scales.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
        let mut at = 0;
        self.codes.read(&mut |part| {
            let mut numbers = Vec::with_capacity(part.len() * size_of::<f32>());
            for code in part {
                let value = self
                    .table
                    .get(usize::from(*code))
                    .ok_or_else(|| format!("the code {code} is none of {}", self.table.len()))?;
                let scale = scales.get(at / self.block).ok_or("a block has no scale")?;
                numbers.extend((value * scale).to_le_bytes());
                at += 1;
            }
            each(&numbers)
        })
    }
}

/// Bytes of two codes, the first in the upper half, as torchao packs them.
struct Unpacked(Tensor);

impl Source for Unpacked {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        self.0.read(&mut |part| {
            let codes: Vec<u8> = part.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).collect();
            each(&codes)
        })
    }
}

/// Codes that become bytes of two.
struct Packed(Tensor);

impl Source for Packed {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let mut first = None;
        self.0.read(&mut |part| {
            let mut bytes = Vec::with_capacity(part.len() / 2 + 1);
            for code in part {
                if *code > 0xf {
                    return Err(format!("the code {code} does not fit into 4 bits").into());
                }
                match first.take() {
                    None => first = Some(*code),
                    Some(upper) => bytes.push(upper << 4 | code),
                }
            }
            each(&bytes)
        })
    }
}
