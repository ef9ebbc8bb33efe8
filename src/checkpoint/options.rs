//! The choices of a caller who saves or loads.

use std::collections::BTreeMap;

use crate::config::matches;
use crate::view::View;

/// The choices for saving.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SaveOptions {
    /// Whether the parameters themselves are saved; `true`.
    pub params: bool,
    /// The most memory on the host while a checkpoint is written, in bytes; 256 MiB. At least 256 KiB are used.
    pub memory: u64,
    /// The shapes of parameters, by name. A parameter that is not named is saved with the shape `[len]`.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Notes of the caller's, such as the place in the data: [`StateDict`] and [`Saved`](super::Saved) show them.
    pub notes: BTreeMap<String, String>,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { params: true, memory: 256 << 20, shapes: BTreeMap::new(), notes: BTreeMap::new() }
    }
}

impl SaveOptions {
    /// The same with, or without, the parameters themselves.
    #[must_use]
    pub fn params(self, params: bool) -> Self {
        Self { params, ..self }
    }

    /// The same with this much memory on the host, in bytes.
    #[must_use]
    pub fn memory(self, memory: u64) -> Self {
        Self { memory, ..self }
    }

    /// The same with the shape of a parameter.
    #[must_use]
    pub fn shape(mut self, name: &str, shape: &[usize]) -> Self {
        self.shapes.insert(name.to_owned(), shape.to_vec());
        self
    }

    /// The same with a note.
    #[must_use]
    pub fn note(mut self, key: &str, text: &str) -> Self {
        self.notes.insert(key.to_owned(), text.to_owned());
        self
    }
}

/// The choices for loading. By default, the file has to have exactly the optimizer's parameters, and its options of
/// groups take the place of the optimizer's.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The patterns over the optimizer's names of the parameters to load: `*` is any characters, `?` is one. None:
    /// all parameters.
    pub only: Vec<String>,
    /// The optimizer's name for names in the file.
    pub rename: BTreeMap<String, String>,
    /// Whether parameters that the file does not have keep their state; `false`: they are an error.
    pub allow_missing: bool,
    /// Whether parameters that the optimizer does not have are left out; `false`: they are an error.
    pub allow_extra: bool,
    /// Whether groups keep their own options, and the optimizer its own [`Control`](crate::Control); `false`: the
    /// file's are taken.
    pub keep_options: bool,
}

impl LoadOptions {
    /// The same for parameters of these names only.
    #[must_use]
    pub fn only(mut self, pattern: &str) -> Self {
        self.only.push(pattern.to_owned());
        self
    }

    /// The same with another name for a parameter of the file.
    #[must_use]
    pub fn rename(mut self, in_file: &str, name: &str) -> Self {
        self.rename.insert(in_file.to_owned(), name.to_owned());
        self
    }

    /// The same where parameters may be missing in the file.
    #[must_use]
    pub fn allow_missing(self, allow_missing: bool) -> Self {
        Self { allow_missing, ..self }
    }

    /// The same where the file may have more parameters.
    #[must_use]
    pub fn allow_extra(self, allow_extra: bool) -> Self {
        Self { allow_extra, ..self }
    }

    /// The same where groups and gradients are treated as the optimizer has it, not as the file.
    #[must_use]
    pub fn keep_options(self, keep_options: bool) -> Self {
        Self { keep_options, ..self }
    }

    /// The optimizer's name for a name in the file.
    pub(crate) fn name<'a>(&'a self, in_file: &'a str) -> &'a str {
        self.rename.get(in_file).map_or(in_file, String::as_str)
    }

    /// Whether a parameter is to be loaded.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| matches(pattern, name))
    }
}

/// Everything that a checkpoint would hold, for those who write their own format.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StateDict {
    /// The views on the device by the names that a file has: `param.<name>`, `state.<name>.<slot>`, `ema.<name>`,
    /// `sum.<name>`; and, where a file has the whole number, `low_bits.<name>` for the low-order part of a master, and
    /// `blocks.<name>.<slot>` for the words of a slot in blocks.
    pub views: BTreeMap<String, View>,
    /// The numbers on the host: `recorded`, `groups.<index>.recorded`, `groups.<index>.lr`, `steps.<name>`, `added`.
    /// Steps are those recorded; [`Optimizer::stats`](crate::Optimizer::stats) has those that the GPU skipped.
    pub scalars: BTreeMap<String, f64>,
}
