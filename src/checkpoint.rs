//! Checkpoints: everything that the next step depends on, in one safetensors file with a checksum.
//!
//! [`Optimizer::save`](crate::Optimizer::save) and [`Optimizer::load`](crate::Optimizer::load) are the short way.
//! [`Optimizer::snapshot`](crate::Optimizer::snapshot) records copies into the caller's encoder, so that training goes
//! on while the [`Snapshot`] is written. `docs/CHECKPOINT.md` has the format.

mod atomic;
mod container;
mod error;
mod options;
mod saved;
mod snapshot;
mod source;

pub use atomic::write_file;
pub use container::{Container, Entry, Writer, read_header, sort_entries};
pub use error::Error;
pub use options::{LoadOptions, SaveOptions, StateDict};
pub use saved::{KEY, Saved, SavedController, SavedGroup, SavedParam, VERSION};
pub use snapshot::Snapshot;
pub(crate) use snapshot::{CohortWords, Words};
pub(crate) use source::{Form, Source, dtype};
