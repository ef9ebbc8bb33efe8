//! The header of a safetensors file, checked, and files that are none.

use std::fs::File;
use std::io::Read;

use std::collections::BTreeMap;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use wgpu_optim::checkpoint;

/// The length of the header's length.
const HEADER_LENGTH: u64 = 8;

/// The first bytes of files that PyTorch and NumPy write, and their names.
const OTHERS: [(&[u8], &str); 7] = [
    (b"PK\x03\x04", "a zip archive, as torch.save and numpy.savez write"),
    (b"\x80\x02", PICKLE),
    (b"\x80\x03", PICKLE),
    (b"\x80\x04", PICKLE),
    (b"\x80\x05", PICKLE),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
];

const PICKLE: &str = "a pickle, as torch.save once wrote";

/// How to make a safetensors file of another.
const REMEDY: &str = "replay reads safetensors. In Python:

    import torch; from safetensors.torch import save_file
    tensors = torch.load(\"trace.pt\", weights_only=True)  # {\"param.w\": …, \"grad.w\": …}
    save_file({name: t.contiguous() for name, t in tensors.items()}, \"trace.safetensors\")";

/// The kind of a file that is no safetensors file, as far as its first bytes say it. There should be nine.
pub(crate) fn other(first: &[u8]) -> Option<&'static str> {
    // A header begins with a brace.
    let brace = first.get(HEADER_LENGTH as usize) == Some(&b'{');
    OTHERS.iter().find(|(magic, _)| !brace && first.starts_with(magic)).map(|(_, what)| *what)
}

/// The places and lengths in bytes of the codes and the scales of a slot, after the header. The numbers that they stand
/// for must be there, too.
pub(super) fn codes(
    (key, info): (&str, &TensorInfo),
    shape: &[usize],
    all: &BTreeMap<String, &TensorInfo>,
) -> Result<[(u64, u64); 2], String> {
    let of = key.strip_prefix("code.").unwrap_or(key);
    let [state, scale] = ["state", "scale"].map(|what| format!("{what}.{of}"));
    if let Some(missing) = [&state, &scale].into_iter().find(|key| !all.contains_key(*key)) {
        return Err(format!("`{key}` has no `{missing}`; add it or leave this out"));
    }
    if info.dtype != Dtype::U8 || info.shape != shape {
        return Err(format!(
            "`{key}` is {:?} of shape {:?}; it must be U8 of its parameter's shape {shape:?}",
            info.dtype, info.shape
        ));
    }
    let scales = all[&scale];
    if scales.dtype != Dtype::F32 || scales.shape.len() != 1 {
        return Err(format!(
            "`{scale}` is {:?} of shape {:?}; it must be F32 with one number a block",
            scales.dtype, scales.shape
        ));
    }
    let place = |info: &TensorInfo| {
        let (from, to) = info.data_offsets;
        (from as u64, (to - from) as u64)
    };
    Ok([place(info), place(scales)])
}

/// The header, and where the data after it begins. Checked against the length of the file.
pub(crate) fn read(file: &mut File) -> Result<(Metadata, u64), String> {
    let mut first = Vec::new();
    file.take(HEADER_LENGTH + 1).read_to_end(&mut first).map_err(|e| e.to_string())?;
    if let Some(what) = other(&first) {
        return Err(format!("it is {what}; {REMEDY}"));
    }
    let (header, data_at, _) = checkpoint::read_header(file)?;
    Ok((header, data_at))
}
