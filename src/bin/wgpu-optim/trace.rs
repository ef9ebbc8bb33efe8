//! Recorded gradients: a safetensors file that is read a step at a time, however large it is.

mod header;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use wgpu_optim::Format;

use crate::Failure;
pub(crate) use header::{other as other_kind, read as read_header};

/// Bytes read at once.
const READ: usize = 16 << 20;

/// The most steps that may lie behind a trace.
pub(crate) const MOST_STEPS: u64 = u32::MAX as u64;

/// A checked trace, open for reading.
pub(crate) struct Trace {
    file: File,
    /// In order of their names.
    pub(crate) tensors: Vec<Tensor>,
    /// The first dimension of every gradient.
    pub(crate) steps: u64,
    /// The steps that lie behind the trace, if it says so.
    pub(crate) behind: Option<Behind>,
    /// The memory of the learning rates before the first step, as the metadata have it.
    pub(crate) memory: Option<String>,
}

/// The steps before the first of a trace.
#[derive(Clone, Copy)]
pub(crate) struct Behind {
    /// All of them.
    pub(crate) steps: u64,
    /// The steps that were not skipped.
    pub(crate) taken: u64,
}

/// A parameter's initial values and all its gradients, somewhere in the file.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Elements of the parameter.
    pub(crate) len: u64,
    pub(crate) param: Place,
    pub(crate) grad: Place,
    /// The numbers that were kept beside the parameter, under their whole names.
    pub(crate) kept: BTreeMap<String, Place>,
    /// The codes and scales of state in blocks, by slot: where they are, and their bytes.
    codes: BTreeMap<String, [(u64, u64); 2]>,
}

impl Tensor {
    /// How a GPU stores its values, and its gradients.
    pub(crate) fn formats(&self) -> [Format; 2] {
        [&self.param, &self.grad].map(|place| place.stored.format())
    }
}

/// Numbers somewhere in the file.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    at: u64,
    pub(crate) stored: Stored,
}

/// The codes of a slot in blocks, one for each element, and its scales.
pub(crate) type Coded = (Vec<u8>, Vec<f32>);

/// How numbers are stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stored {
    As(Format),
    F64,
}

impl Stored {
    /// The way in which a file stores numbers of a type; `None` if they are none of a parameter's or state's.
    pub(crate) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::As(Format::F32)),
            Dtype::F16 => Some(Self::As(Format::F16)),
            Dtype::BF16 => Some(Self::As(Format::Bf16)),
            Dtype::F64 => Some(Self::F64),
            _ => None,
        }
    }

    /// The format on a GPU, which gets no F64.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::As(format) => format,
            Self::F64 => Format::F32,
        }
    }

    /// Bytes of a number.
    fn bytes(self) -> u64 {
        match self {
            Self::As(format) => format.bytes(),
            Self::F64 => 8,
        }
    }

    /// The numbers in little-endian bytes.
    pub(crate) fn numbers(self, bytes: &[u8]) -> Vec<f64> {
        match self {
            Self::As(format) => format.decode_all(bytes).into_iter().map(f64::from).collect(),
            Self::F64 => bytes.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect(),
        }
    }
}

impl Trace {
    /// Opens a trace, `-` for standard input, and checks all of it but the numbers. F64 is for the CPU.
    pub(crate) fn open(path: &Path, cpu: bool) -> Result<Self, Failure> {
        let name = if is_standard(path) { "standard input".into() } else { path.to_string_lossy() };
        let named = |e: &dyn std::fmt::Display| format!("{name}: {e}");
        let mut file =
            if is_standard(path) { spooled() } else { File::open(path) }.map_err(|e| named(&e))?;
        let (metadata, data_at) = header::read(&mut file).map_err(|e| named(&e))?;
        Self::new(file, &metadata, data_at, cpu).map_err(|e| named(&e).into())
    }

    fn new(file: File, metadata: &Metadata, data_at: u64, cpu: bool) -> Result<Self, String> {
        let mut tensors = Vec::new();
        let mut steps: Option<(u64, String)> = None;
        let all: BTreeMap<String, &TensorInfo> = metadata.tensors().into_iter().collect();
        let mut beside: BTreeMap<&str, Vec<(&String, &TensorInfo)>> = BTreeMap::new();
        for (key, info) in &all {
            if let Some(name) = parameter_of(key) {
                beside.entry(name).or_default().push((key, info));
            }
        }
        for (key, info) in &all {
            let Some(name) = key.strip_prefix("param.") else { continue };
            if name.is_empty() {
                return Err("`param.` names no parameter; name it `param.<name>`".into());
            }
            let Some(grad) = all.get(&format!("grad.{name}")) else {
                return Err(format!("`{key}` has no `grad.{name}`; record one gradient a step"));
            };
            let place = |key: &str, info: &TensorInfo| -> Result<Place, String> {
                let at = data_at + info.data_offsets.0 as u64;
                Ok(Place { at, stored: stored(key, info, cpu)? })
            };
            let (mut param, grad_at) = (place(key, info)?, place(&format!("grad.{name}"), grad)?);
            let (mut kept, mut codes) = (BTreeMap::new(), BTreeMap::new());
            for &(key, info_of_kept) in beside.get(name).into_iter().flatten() {
                if let Some(slot) = key.strip_prefix("code.") {
                    let slot = &slot[name.len() + 1..];
                    let places = header::codes((key, info_of_kept), &info.shape, &all)?;
                    codes.insert(slot.to_owned(), places.map(|(at, len)| (data_at + at, len)));
                    continue;
                }
                if let Some(of) = key.strip_prefix("scale.") {
                    if !all.contains_key(&format!("code.{of}")) {
                        return Err(format!(
                            "`{key}` has no `code.{of}`; add it or leave this out"
                        ));
                    }
                    continue;
                }
                if info_of_kept.shape != info.shape {
                    return Err(format!(
                        "`{key}` has shape {:?}, `param.{name}` has {:?}; they must be equal",
                        info_of_kept.shape, info.shape
                    ));
                }
                kept.insert(key.clone(), place(key, info_of_kept)?);
            }
            // A run goes on from where gradients are wanted.
            let train = format!("train.{name}");
            if let Some(&place) = kept.get(&train) {
                if place.stored != param.stored {
                    return Err(format!(
                        "`{train}` and `{key}` are stored in different formats; they must be in one"
                    ));
                }
                param = place;
            }
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
                param,
                grad: grad_at,
                kept,
                codes,
            });
        }
        check_names(&all)?;
        let Some((steps, _)) = steps else {
            return Err(
                "it holds no parameter; name tensors `param.<name>` and `grad.<name>`".into()
            );
        };
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let memory = metadata.metadata().as_ref().and_then(|all| all.get("memory").cloned());
        Ok(Self { file, tensors, steps, behind: behind(metadata)?, memory })
    }

    /// The initial values of a parameter, in order, a part at a time.
    pub(crate) fn read_param(
        &mut self,
        tensor: usize,
        each: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let place = self.tensors[tensor].param;
        self.read_kept(tensor, place, each)
    }

    /// Numbers that belong to a parameter, as many as it has, a part at a time.
    pub(crate) fn read_kept(
        &mut self,
        tensor: usize,
        place: Place,
        each: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        self.read(place.at, self.tensors[tensor].len * place.stored.bytes(), each)
    }

    /// The codes and scales of a slot, if the trace has them beside its numbers.
    pub(crate) fn codes(&mut self, tensor: usize, slot: &str) -> Result<Option<Coded>, Failure> {
        let Some(places) = self.tensors[tensor].codes.get(slot).copied() else { return Ok(None) };
        let mut parts: [Vec<u8>; 2] = Default::default();
        for ((at, len), part) in places.into_iter().zip(&mut parts) {
            self.read(at, len, |bytes| part.extend(bytes))?;
        }
        let [codes, scales] = parts;
        Ok(Some((codes, Format::F32.decode_all(&scales))))
    }

    /// The gradients of a parameter at a step counted from 0, in order, a part at a time.
    pub(crate) fn read_grad(
        &mut self,
        tensor: usize,
        step: u64,
        each: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let Tensor { grad, len, .. } = self.tensors[tensor];
        let bytes = len * grad.stored.bytes();
        self.read(grad.at + step * bytes, bytes, each)
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

/// Whether a path stands for standard input or output.
pub(crate) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Standard input in a file without a name, because gradients are not in the order of steps.
fn spooled() -> std::io::Result<File> {
    let mut file = tempfile::tempfile()?;
    std::io::copy(&mut std::io::stdin().lock(), &mut file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

fn stored(key: &str, info: &TensorInfo, cpu: bool) -> Result<Stored, String> {
    match Stored::of(info.dtype) {
        Some(stored) if cpu || stored != Stored::F64 => Ok(stored),
        _ => {
            let other = info.dtype;
            Err(format!("`{key}` is {other:?}; it must be F32, F16 or BF16, or F64 with --cpu"))
        }
    }
}

/// The parameter that a tensor was kept beside: `state.<name>.<slot>`, `code.<name>.<slot>`, `scale.<name>.<slot>`,
/// `ema.<name>`, `master.<name>` or `train.<name>`.
fn parameter_of(key: &str) -> Option<&str> {
    match key.split_once('.')? {
        ("state" | "code" | "scale", rest) => rest.rsplit_once('.').map(|(name, _)| name),
        ("ema" | "master" | "train", name) => Some(name),
        _ => None,
    }
}

/// The steps that the metadata have: `steps`, and `steps_taken` if some were skipped.
fn behind(metadata: &Metadata) -> Result<Option<Behind>, String> {
    let Some(all) = metadata.metadata() else { return Ok(None) };
    let count = |key: &str| -> Result<Option<u64>, String> {
        let Some(text) = all.get(key) else { return Ok(None) };
        let count = text.parse().ok().filter(|count| *count <= MOST_STEPS);
        let wrong = || {
            format!(
                "its metadata have `{key}` = \"{text}\"; it must be a whole number up to {MOST_STEPS}"
            )
        };
        count.map(Some).ok_or_else(wrong)
    };
    let (Some(steps), taken) = (count("steps")?, count("steps_taken")?) else { return Ok(None) };
    let taken = taken.unwrap_or(steps);
    if taken > steps {
        return Err(format!(
            "its metadata have {steps} `steps` and {taken} `steps_taken`; it must be at most as many"
        ));
    }
    Ok(Some(Behind { steps, taken }))
}

/// Every tensor must be a parameter, or the gradient of one, or what was kept beside it.
fn check_names(all: &BTreeMap<String, &TensorInfo>) -> Result<(), String> {
    for key in all.keys() {
        let is_there = |name: &str| all.contains_key(&format!("param.{name}"));
        match key.split_once('.') {
            Some(("param", _)) => {}
            Some(("grad", name)) if is_there(name) => {}
            Some(("grad", name)) => {
                return Err(format!("`{key}` has no `param.{name}`; record its initial values"));
            }
            _ => match parameter_of(key) {
                Some(name) if is_there(name) => {}
                Some(name) => {
                    return Err(format!("`{key}` has no `param.{name}`; add it or leave this out"));
                }
                None => {
                    return Err(format!(
                        "`{key}` is none of `param.<name>`, `grad.<name>`, `state.<name>.<slot>`, `code.<name>.<slot>`, `scale.<name>.<slot>`, `ema.<name>`, `master.<name>` and `train.<name>`; leave it out"
                    ));
                }
            },
        }
    }
    Ok(())
}
