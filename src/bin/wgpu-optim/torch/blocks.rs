//! State in blocks of codes: a byte or half a byte for a number, and a scale for each block of them.

use std::rc::Rc;

use safetensors::Dtype;
use wgpu_optim::{BlockCode, Sign, StateFormat};

use super::tensor::{Each, Source, Tensor};
use crate::Failure;

/// A slot of a parameter, whose blocks run over the parameter's elements in the order of rows.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// A code a byte, in the parameter's shape.
    pub(crate) codes: Tensor,
    /// One for each block, in f32; the last block may be shorter.
    pub(crate) scales: Tensor,
    pub(crate) code: BlockCode,
}

impl Blocks {
    /// Codes with their scales. An error says what does not fit.
    pub(crate) fn new(codes: Tensor, scales: Tensor, code: BlockCode) -> Result<Self, String> {
        if codes.dtype != Dtype::U8 || scales.dtype != Dtype::F32 {
            return Err(format!("its codes are {codes:?}, its scales {scales:?}, not U8 and F32"));
        }
        let count = codes.len().ok_or("it is too large")?;
        let blocks = count.div_ceil(code.block() as usize);
        if scales.shape != [blocks] {
            return Err(format!(
                "it has {count} codes and scales of shape {:?}, not {blocks}, one for each block of {}; only such \
                 blocks are read",
                scales.shape,
                code.block()
            ));
        }
        Ok(Self { codes, scales, code })
    }

    /// The numbers, in f32.
    pub(crate) fn decoded(&self) -> Tensor {
        let shape = self.codes.shape.clone();
        Tensor { dtype: Dtype::F32, shape, data: Rc::new(Decoded(self.clone())) }
    }

    /// The format as groups have it.
    pub(crate) fn format(&self) -> StateFormat {
        if self.code.bits() == 4 { StateFormat::Block4 } else { StateFormat::Block8 }
    }

    /// The numbers that the codes can stand for.
    pub(super) fn sign(&self) -> Sign {
        if self.code.is_signed() { Sign::Signed } else { Sign::Unsigned }
    }

    /// Whether all blocks have all their elements.
    pub(super) fn is_whole(&self) -> bool {
        self.codes.len().is_some_and(|count| count.is_multiple_of(self.code.block() as usize))
    }
}

/// The farthest that a value of another's table may be from ours: tables of other machines are rounded otherwise.
const ULPS: u32 = 2;

/// Whether another's table is ours.
pub(super) fn check_table(given: &Tensor, code: BlockCode) -> Result<(), String> {
    let table = code.numbers();
    let wrong = || {
        let sign = if code.is_signed() { "signed" } else { "unsigned" };
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
    if given.zip(table).all(is_near) { Ok(()) } else { Err(wrong()) }
}

/// The code of a format in blocks.
pub(super) fn code(format: StateFormat, signed: bool) -> Result<BlockCode, String> {
    format.code(signed).ok_or_else(|| format!("`{format}` has no codes"))
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
struct Decoded(Blocks);

impl Source for Decoded {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let Blocks { codes, scales, code } = &self.0;
        let (table, block) = (code.numbers(), code.block() as usize);
        let scales = scales.bytes()?;
        let scales: Vec<f32> =
            scales.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
        let mut at = 0;
        codes.read(&mut |part| {
            let mut numbers = Vec::with_capacity(part.len() * size_of::<f32>());
            for code in part {
                let value = table
                    .get(usize::from(*code))
                    .ok_or_else(|| format!("the code {code} is none of {}", table.len()))?;
                let scale = scales.get(at / block).ok_or("a block has no scale")?;
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
