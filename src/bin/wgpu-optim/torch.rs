//! PyTorch's checkpoints: files of `torch.save`, read and written without Python.

mod archive;
mod bitsandbytes;
pub(crate) mod blocks;
mod checkpoint;
mod classes;
mod derived;
mod global;
mod graph;
mod library;
mod load;
pub(crate) mod optimizer;
mod pickle;
mod save;
mod tensor;
#[cfg(test)]
mod tests;
mod torchao;
mod unpickle;
pub(crate) mod value;
mod write;

pub(crate) use archive::read;
pub(crate) use checkpoint::{Checkpoint, Hints, from_torch, to_torch};
pub(crate) use library::Library;
pub(crate) use write::write;
