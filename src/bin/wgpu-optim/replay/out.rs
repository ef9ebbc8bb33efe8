//! The file of the result.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::View;
use wgpu_optim::checkpoint::{Entry, Writer, sort_entries};

use super::memory;
use super::tensor::Tensor;
use crate::Failure;
use crate::trace::is_standard;

/// The result's file: written beside its place and moved there when it is whole.
pub(super) struct Output {
    /// `None`: standard output.
    path: Option<PathBuf>,
    parent: PathBuf,
}

impl Output {
    /// Finds out early whether it can be written.
    pub(super) fn new(path: &Path) -> Result<Self, Failure> {
        if is_standard(path) {
            return Ok(Self { path: None, parent: std::env::temp_dir() });
        }
        let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        // Through a link, so that what it points to is replaced and not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(named(&"is a directory; name a file").into());
        }
        if path.exists() && !path.is_file() {
            return Err(named(&"is there and no ordinary file; name another").into());
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let parent = parent.to_owned();
        let output = Self { path: Some(path), parent };
        output.directory()?;
        Ok(output)
    }

    /// A directory of our own beside the result's place.
    fn directory(&self) -> Result<tempfile::TempDir, Failure> {
        let made = tempfile::Builder::new().prefix(".wgpu-optim-").tempdir_in(&self.parent);
        Ok(made.map_err(|e| {
            format!("{}: cannot write there: {e}; name a file elsewhere", self.parent.display())
        })?)
    }

    /// Writes, asks whether all went well, and only then moves the file into its place, which it names.
    pub(super) fn write_checked(
        self,
        tensors: Vec<(String, Tensor<'_>)>,
        (steps, memory): ([u64; 3], Option<String>),
        went_well: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<String, Failure> {
        let directory = self.directory()?;
        let whole = directory.path().join("out.safetensors");
        let counts = ["steps", "steps_taken", "steps_skipped"].into_iter().zip(steps);
        let counts = counts.map(|(name, count)| (name.to_owned(), count.to_string()));
        let memory = memory.map(|text| (memory::KEY.to_owned(), text));
        let written = write(&whole, tensors, &counts.chain(memory).collect());
        // A tensor that could not be read is missing in the file.
        went_well()?;
        written?;
        let Some(path) = &self.path else {
            let mut file = std::fs::File::open(&whole)?;
            let mut out = std::io::stdout().lock();
            std::io::copy(&mut file, &mut out)?;
            out.flush()?;
            return Ok("standard output".to_owned());
        };
        // A temporary file is its owner's alone; a result is as any file this user makes.
        let ordinary = std::fs::File::create(directory.path().join("ordinary"))?;
        std::fs::set_permissions(&whole, ordinary.metadata()?.permissions())?;
        std::fs::rename(&whole, path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path.display().to_string())
    }
}

/// Writes the file: the same bytes for the same tensors and metadata.
fn write(
    path: &Path,
    tensors: Vec<(String, Tensor<'_>)>,
    metadata: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    let mut all = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let (dtype, shape) = (tensor.dtype(), tensor.shape.clone());
        all.push((Entry { name, dtype, shape }, tensor));
    }
    sort_entries(&mut all, |(entry, _)| entry);
    let entries: Vec<Entry> = all.iter().map(|(entry, _)| entry.clone()).collect();
    let mut writer = Writer::plain(std::fs::File::create(path)?, metadata, &entries)?;
    for (_, tensor) in all {
        writer.write(&tensor.data())?;
    }
    writer.finish().map(|_| ())
}
