//! Traces, configs and results in a directory of their own.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use safetensors::tensor::{TensorView, serialize};
use safetensors::{Dtype, SafeTensors};

/// A tensor by value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tensor {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// An F32 tensor.
pub(crate) fn tensor(shape: &[usize], numbers: &[f32]) -> Tensor {
    let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    Tensor { dtype: Dtype::F32, shape: shape.to_vec(), bytes }
}

pub(crate) fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
}

impl Tensor {
    /// The numbers, whichever of the two types they have.
    pub(crate) fn f64s(&self) -> Vec<f64> {
        match self.dtype {
            Dtype::F64 => self.bytes.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect(),
            _ => f32s(&self.bytes).into_iter().map(f64::from).collect(),
        }
    }
}

/// The file that replay has written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Out {
    pub(crate) tensors: BTreeMap<String, Tensor>,
    pub(crate) metadata: HashMap<String, String>,
}

/// A directory with `trace.safetensors` and `config.json`.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new(trace: &BTreeMap<String, Tensor>, config: &str) -> Self {
        Self::with(trace, None, config)
    }

    /// The same with metadata in the trace.
    pub(crate) fn with(
        trace: &BTreeMap<String, Tensor>,
        metadata: Option<HashMap<String, String>>,
        config: &str,
    ) -> Self {
        let files = Self(tempfile::tempdir().unwrap_or_else(|e| panic!("{e}")));
        let views = trace.iter().map(|(name, t)| {
            let view = TensorView::new(t.dtype, t.shape.clone(), &t.bytes);
            (name, view.unwrap_or_else(|e| panic!("{name}: {e}")))
        });
        let bytes = serialize(views, metadata).unwrap_or_else(|e| panic!("{e}"));
        files.write("trace.safetensors", &bytes);
        files.write("config.json", config.as_bytes());
        files
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    }

    /// Everything in the directory, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap_or_else(|e| panic!("{e}"));
        let mut names: Vec<String> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
            .collect();
        names.sort();
        names
    }

    /// Replays with further arguments. An error is what it says; it never panics, and exits with 2.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let done = Command::new(env!("CARGO_BIN_EXE_wgpu-optim"))
            .args(["replay", &self.path("trace.safetensors")])
            .args(["--optimizer", &self.path("config.json")])
            .args(arguments)
            .output()
            .unwrap_or_else(|e| panic!("{e}"));
        let said = String::from_utf8_lossy(&done.stderr);
        match done.status.code() {
            Some(0) => Ok(()),
            Some(2) => {
                // Drivers may have something to say as well.
                let own = said.lines().rfind(|line| line.starts_with("wgpu-optim: "));
                let own = own.unwrap_or_else(|| panic!("no message: {said}"));
                Err(own.trim_start_matches("wgpu-optim: ").to_owned())
            }
            code => panic!("exit code {code:?}: {said}"),
        }
    }

    /// Replays and reads the result.
    pub(crate) fn replay(&self, cpu: bool) -> Result<Out, String> {
        let out = self.path("out.safetensors");
        let cpu: &[&str] = if cpu { &["--cpu"] } else { &[] };
        self.run(&[&["--out", &out][..], cpu].concat())?;
        Ok(Out::of(&self.bytes("out.safetensors")))
    }
}

impl Out {
    /// Reads a result.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap_or_else(|e| panic!("{e}"));
        let tensors = SafeTensors::deserialize(bytes).unwrap_or_else(|e| panic!("{e}"));
        let own = |(name, view): (&str, TensorView<'_>)| {
            let (dtype, shape) = (view.dtype(), view.shape().to_vec());
            (name.to_owned(), Tensor { dtype, shape, bytes: view.data().to_vec() })
        };
        let metadata = metadata.metadata().clone().unwrap_or_default();
        Self { tensors: tensors.iter().map(own).collect(), metadata }
    }
}
