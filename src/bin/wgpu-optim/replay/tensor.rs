//! The tensors of the result.

use std::borrow::Cow;
use std::cell::RefCell;

use safetensors::Dtype;
use wgpu_optim::headless::Gpu;
use wgpu_optim::{Error, Format, Master, View};

/// A tensor of the result.
pub(super) struct Tensor<'a> {
    pub(super) shape: Vec<usize>,
    pub(super) len: u64,
    pub(super) data: Data<'a>,
}

pub(super) enum Data<'a> {
    /// F64.
    Ready(Vec<u8>),
    /// As it is stored there, or as the F32 it makes with the rest of it; read back only when it is written
    /// out.
    OnGpu {
        gpu: &'a Gpu,
        view: View,
        rest: Option<(Master, View)>,
        failed: &'a RefCell<Option<Error>>,
    },
}

impl safetensors::View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match &self.data {
            Data::Ready(_) => Dtype::F64,
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
            Data::Ready(bytes) => bytes.into(),
            Data::OnGpu { gpu, view, rest, failed } => match download(gpu, view, rest.as_ref()) {
                Ok(bytes) => bytes.into(),
                Err(error) => {
                    // The file is thrown away for it.
                    failed.borrow_mut().get_or_insert(error);
                    Cow::default()
                }
            },
        }
    }

    fn data_len(&self) -> usize {
        let element = match &self.data {
            Data::Ready(_) => 8,
            Data::OnGpu { rest: Some(_), .. } => 4,
            Data::OnGpu { view, .. } => view.format.bytes() as usize,
        };
        self.len as usize * element
    }
}

/// A view's bytes, or those of the f32 numbers that it makes with their rest.
fn download(gpu: &Gpu, view: &View, rest: Option<&(Master, View)>) -> Result<Vec<u8>, Error> {
    let numbers = gpu.download(view)?;
    let Some((master, rest)) = rest else { return Ok(view.format.encode_all(&numbers)) };
    let pairs = numbers.into_iter().zip(gpu.download(rest)?);
    Ok(pairs.flat_map(|(stored, left)| master.whole(stored, left).to_le_bytes()).collect())
}
