//! Everything that can go wrong with a checkpoint.

/// A checkpoint that could not be written or loaded. The file and the optimizer are as they were before, but where an
/// error says otherwise.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refuses.
    #[error("{place}: {does} failed: {message}; {remedy}")]
    File {
        /// The file or directory.
        place: String,
        /// The operation.
        does: &'static str,
        /// The system's words.
        message: String,
        /// The state that is left, and the remedy.
        remedy: &'static str,
    },

    /// The file is no checkpoint, or is damaged.
    #[error("{place}: {message}")]
    Damaged {
        /// The file.
        place: String,
        /// The damage.
        message: String,
    },

    /// The file and the optimizer do not belong together, or the file contradicts itself.
    #[error("{place}: it differs in {} from what is to be loaded; nothing was loaded:\n{}", places(differences.len()), list(differences))]
    Differs {
        /// The file.
        place: String,
        /// Every difference.
        differences: Vec<String>,
    },

    /// A shape of another size than its parameter.
    #[error(
        "the shape {shape:?} of `{name}` is not one of {len} elements; give the parameter's own"
    )]
    Shape {
        /// The parameter.
        name: String,
        /// The shape.
        shape: Vec<usize>,
        /// The length of the parameter, in elements.
        len: u64,
    },

    /// The options of a group that cannot be written.
    #[error("the options of a group are no JSON: {0}; a rule's options must be plain numbers")]
    Options(String),

    /// A mistake in what the caller gave, or a device that fails.
    #[error(transparent)]
    Optimizer(#[from] crate::Error),
}

impl Error {
    /// The error for a write that fails, while the file that was there is unharmed.
    pub fn writing(path: &std::path::Path, e: &std::io::Error) -> Self {
        Self::File {
            place: path.display().to_string(),
            does: "writing",
            message: e.to_string(),
            remedy: "a file that was there is unharmed; make room or name another place",
        }
    }
}

fn places(count: usize) -> String {
    if count == 1 { "1 place".to_owned() } else { format!("{count} places") }
}

fn list(all: &[String]) -> String {
    all.iter().map(|one| format!("  - {one}")).collect::<Vec<_>>().join("\n")
}
