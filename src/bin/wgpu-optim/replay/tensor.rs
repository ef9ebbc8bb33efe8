//! The tensors of the result.

use std::borrow::Cow;
use std::cell::RefCell;

use safetensors::Dtype;
use wgpu_optim::headless::Gpu;
use wgpu_optim::{BlockCode, Error, Format, Master, View};

/// A tensor of the result.
pub(super) struct Tensor<'a> {
    pub(super) shape: Vec<usize>,
    pub(super) len: u64,
    pub(super) data: Data<'a>,
}

pub(super) enum Data<'a> {
    /// Little-endian numbers of a type.
    Ready(Dtype, Vec<u8>),
    /// As it is stored there, or as the F32 it makes with the rest of it; read back only when it is written
    /// out.
    OnGpu {
        gpu: &'a Gpu,
        view: View,
        rest: Option<(Master, View)>,
        failed: &'a RefCell<Option<Error>>,
    },
    /// A part of the blocks there.
    InBlocks {
        gpu: &'a Gpu,
        view: View,
        code: BlockCode,
        part: Part,
        failed: &'a RefCell<Option<Error>>,
    },
}

/// A part of a slot in blocks.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The numbers that the codes stand for, in F32.
    Numbers,
    /// The codes, one a byte.
    Codes,
    /// The scales, one a block, in F32.
    Scales,
}

impl Part {
    /// Every part, with the word that the names of its tensors begin with.
    pub(super) const ALL: [(&str, Self); 3] =
        [("state", Self::Numbers), ("code", Self::Codes), ("scale", Self::Scales)];
}

impl<'a> Tensor<'a> {
    /// A tensor of the scales of as many blocks, or else of a parameter's shape.
    pub(super) fn of_part(shape: &[usize], code: BlockCode, part: Part, data: Data<'a>) -> Self {
        let len: u64 = shape.iter().map(|n| *n as u64).product();
        match part {
            Part::Numbers | Part::Codes => Self { shape: shape.to_vec(), len, data },
            Part::Scales => {
                let blocks = len.div_ceil(code.block());
                Self { shape: vec![blocks as usize], len: blocks, data }
            }
        }
    }
}

impl safetensors::View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match &self.data {
            Data::Ready(dtype, _) => *dtype,
            Data::InBlocks { part: Part::Codes, .. } => Dtype::U8,
            Data::InBlocks { .. } => Dtype::F32,
            Data::OnGpu { rest: Some(_), .. } => Dtype::F32,
            Data::OnGpu { view, .. } => match view.format {
                Format::F32 => Dtype::F32,
                Format::F16 => Dtype::F16,
                Format::Bf16 => Dtype::BF16,
                // Bytes by themselves: safetensors refuses them, as they have another length.
                _ => Dtype::U8,
            },
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.data {
            Data::Ready(_, bytes) => bytes.into(),
            Data::OnGpu { gpu, view, rest, failed } => {
                or_none(download(gpu, view, rest.as_ref()), failed)
            }
            Data::InBlocks { gpu, view, code, part, failed } => {
                // Scales are as many as blocks, and all of these are read.
                let elements = match part {
                    Part::Scales => self.len * code.block(),
                    Part::Numbers | Part::Codes => self.len,
                };
                or_none(unpacked(gpu, view, (*code, elements), *part), failed)
            }
        }
    }

    fn data_len(&self) -> usize {
        let element = match &self.data {
            Data::Ready(_, bytes) => return bytes.len(),
            Data::InBlocks { part: Part::Codes, .. } => 1,
            Data::InBlocks { .. } => 4,
            Data::OnGpu { rest: Some(_), .. } => 4,
            Data::OnGpu { view, .. } => view.format.bytes() as usize,
        };
        self.len as usize * element
    }
}

/// The bytes, or none and a note of the error, for which the file is thrown away.
fn or_none<'a>(bytes: Result<Vec<u8>, Error>, failed: &RefCell<Option<Error>>) -> Cow<'a, [u8]> {
    bytes.map(Cow::from).unwrap_or_else(|error| {
        failed.borrow_mut().get_or_insert(error);
        Cow::default()
    })
}

/// A part of the blocks of so many elements.
fn unpacked(
    gpu: &Gpu,
    view: &View,
    (code, elements): (BlockCode, u64),
    part: Part,
) -> Result<Vec<u8>, Error> {
    let words = Format::F32.encode_all(&gpu.download(view)?);
    let (codes, scales) = code.unpack(&words, elements as usize);
    Ok(match part {
        Part::Numbers => Format::F32.encode_all(&code.decode_all(&codes, &scales)),
        Part::Codes => codes,
        Part::Scales => Format::F32.encode_all(&scales),
    })
}

/// A view's bytes, or those of the f32 numbers that it makes with their rest.
fn download(gpu: &Gpu, view: &View, rest: Option<&(Master, View)>) -> Result<Vec<u8>, Error> {
    let numbers = gpu.download(view)?;
    let Some((master, rest)) = rest else { return Ok(view.format.encode_all(&numbers)) };
    let pairs = numbers.into_iter().zip(gpu.download(rest)?);
    Ok(pairs.flat_map(|(stored, left)| master.whole(stored, left).to_le_bytes()).collect())
}
