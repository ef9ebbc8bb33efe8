//! Golden files: the numbers that other libraries computed.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::ok;

/// Tensors in f64, by name.
pub type Tensors = BTreeMap<String, Vec<f64>>;

/// The tensors of a file, which holds f32 and f64.
#[track_caller]
pub fn tensors(path: &Path) -> Tensors {
    let file = path.display();
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let tensors = ok(SafeTensors::deserialize(&bytes));
    let decode = |(name, tensor): (&str, TensorView<'_>)| {
        let data = tensor.data();
        let numbers = match tensor.dtype() {
            Dtype::F32 => {
                data.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x).into()).collect()
            }
            Dtype::F64 => data.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect(),
            other => panic!("{file}: `{name}` is {other:?}"),
        };
        (name.to_owned(), numbers)
    };
    tensors.iter().map(decode).collect()
}

/// The metadata of a file.
#[track_caller]
pub fn metadata(path: &Path) -> BTreeMap<String, String> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (_, about) = ok(SafeTensors::read_metadata(&bytes));
    about.metadata().clone().unwrap_or_default().into_iter().collect()
}
