//! Recorded gradients: a safetensors file that is read a step at a time, however large it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use wgpu_optim::Format;

use crate::Failure;

/// The length of the header's length.
const HEADER_LENGTH: u64 = 8;

/// The longest header that safetensors writes.
const MAX_HEADER: u64 = 100_000_000;

/// Bytes read at once.
const READ: usize = 16 << 20;

/// A checked trace, open for reading.
pub(crate) struct Trace {
    file: File,
    /// In order of their names.
    pub(crate) tensors: Vec<Tensor>,
    /// The first dimension of every gradient.
    pub(crate) steps: u64,
}

/// A parameter's initial values and all its gradients, somewhere in the file.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Elements of the parameter.
    pub(crate) len: u64,
    /// How its values are stored, and its gradients.
    pub(crate) formats: [Format; 2],
    param_at: u64,
    grad_at: u64,
}

impl Trace {
    /// Opens a trace and checks all of it but the numbers.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let mut file = File::open(path).map_err(|e| named(&e))?;
        let (metadata, data_at) = read_header(&mut file).map_err(|e| named(&e))?;
        Self::new(file, &metadata, data_at).map_err(|e| named(&e).into())
    }

    fn new(file: File, metadata: &Metadata, data_at: u64) -> Result<Self, String> {
        let mut tensors = Vec::new();
        let mut steps: Option<(u64, String)> = None;
        let all: BTreeMap<String, &TensorInfo> = metadata.tensors().into_iter().collect();
        for (key, info) in &all {
            let Some(name) = key.strip_prefix("param.") else { continue };
            if name.is_empty() {
                return Err("`param.` names no parameter; name it `param.<name>`".into());
            }
            let Some(grad) = all.get(&format!("grad.{name}")) else {
                return Err(format!("`{key}` has no `grad.{name}`; record one gradient a step"));
            };
            let formats = [format_of(key, info)?, format_of(&format!("grad.{name}"), grad)?];
            let own_steps = match grad.shape.split_first() {
                Some((&steps, shape)) if shape == info.shape => steps as u64,
                _ => {
                    return Err(format!(
                        "`grad.{name}` has shape {:?}, `{key}` has {:?}; a gradient's shape must be [steps] followed by its parameter's",
                        grad.shape, info.shape
                    ));
                }
            };
            match &steps {
                None => steps = Some((own_steps, name.to_owned())),
                Some((steps, other)) if *steps != own_steps => {
                    return Err(format!(
                        "`grad.{name}` records {own_steps} steps, `grad.{other}` {steps}; all must record as many"
                    ));
                }
                Some(_) => {}
            }
            let len = info.shape.iter().map(|&n| n as u64).product();
            if len == 0 {
                return Err(format!("`{key}` has shape {:?} and so no elements", info.shape));
            }
            tensors.push(Tensor {
                name: name.to_owned(),
                shape: info.shape.clone(),
                len,
                formats,
                param_at: data_at + info.data_offsets.0 as u64,
                grad_at: data_at + grad.data_offsets.0 as u64,
            });
        }
        check_names(&all)?;
        let Some((steps, _)) = steps else {
            return Err(
                "it holds no parameter; name tensors `param.<name>` and `grad.<name>`".into()
            );
        };
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { file, tensors, steps })
    }

    /// The initial values of a parameter, in order, a part at a time.
    pub(crate) fn read_param(
        &mut self,
        tensor: usize,
        each: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let Tensor { param_at, len, formats: [format, _], .. } = self.tensors[tensor];
        self.read(param_at, len * format.bytes(), each)
    }

    /// The gradients of a parameter at a step counted from 0, in order, a part at a time.
    pub(crate) fn read_grad(
        &mut self,
        tensor: usize,
        step: u64,
        each: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let Tensor { grad_at, len, formats: [_, format], .. } = self.tensors[tensor];
        let bytes = len * format.bytes();
        self.read(grad_at + step * bytes, bytes, each)
    }

    fn read(&mut self, at: u64, len: u64, mut each: impl FnMut(&[u8])) -> Result<(), Failure> {
        self.file.seek(SeekFrom::Start(at))?;
        let mut buffer = vec![0; READ.min(len as usize)];
        let mut left = len;
        while left > 0 {
            let part = &mut buffer[..READ.min(left as usize)];
            self.file.read_exact(part)?;
            each(part);
            left -= part.len() as u64;
        }
        Ok(())
    }
}

/// The header, and where the data after it begins. Checked against the length of the file.
fn read_header(file: &mut File) -> Result<(Metadata, u64), String> {
    let size = file.metadata().map_err(|e| e.to_string())?.len();
    let mut length = [0; HEADER_LENGTH as usize];
    file.read_exact(&mut length)
        .map_err(|_| format!("it has {size} bytes, a safetensors file at least {HEADER_LENGTH}"))?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length > size - HEADER_LENGTH {
        return Err(format!(
            "its header claims {length} bytes of the file's {size}; it is truncated or no safetensors file"
        ));
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(|e| e.to_string())?;
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|e| format!("its header is not that of a safetensors file: {e}"))?;
    // Through `new`, because reading alone does not check offsets against shapes.
    let tensors = header.offset_keys().into_iter().filter_map(|key| {
        let info: TensorInfo = header.info(&key)?.clone();
        Some((key, info))
    });
    let header = Metadata::new(header.metadata().clone(), tensors.collect())
        .map_err(|e| format!("its header is inconsistent: {e}"))?;
    let (needs, has) = (header.data_len() as u64, size - HEADER_LENGTH - length);
    if needs != has {
        return Err(format!(
            "its tensors take {needs} bytes, but {has} follow the header; it is truncated or damaged"
        ));
    }
    Ok((header, HEADER_LENGTH + length))
}

fn format_of(key: &str, info: &TensorInfo) -> Result<Format, String> {
    match info.dtype {
        Dtype::F32 => Ok(Format::F32),
        Dtype::F16 => Ok(Format::F16),
        Dtype::BF16 => Ok(Format::Bf16),
        other => Err(format!("`{key}` is {other:?}; it must be F32, F16 or BF16")),
    }
}

/// Every tensor must be a parameter or the gradient of one.
fn check_names(all: &BTreeMap<String, &TensorInfo>) -> Result<(), String> {
    for key in all.keys() {
        match key.split_once('.') {
            Some(("param", _)) => {}
            Some(("grad", name)) if all.contains_key(&format!("param.{name}")) => {}
            Some(("grad", name)) => {
                return Err(format!("`{key}` has no `param.{name}`; record its initial values"));
            }
            _ => return Err(format!("`{key}` is neither `param.<name>` nor `grad.<name>`")),
        }
    }
    Ok(())
}
