//! Kernels: which WGSL files make one, and the pipelines made of them.
//!
//! A kernel is its files joined; `shaders/README.md` says what each file declares and needs. Variation is by
//! *which* files and by `override`.

mod access;
mod assemble;
mod hook;
mod layout;
mod listed;
mod pipelines;
mod spec;

#[cfg(feature = "verify")]
pub(crate) use listed::all_formats;
pub use listed::{
    Facts, Kernel, OperandFact, control_kernels, every_kernel_of, kernels, kernels_of,
};
pub(crate) use pipelines::{Kernels, Pipeline};
pub use spec::Address;
pub(crate) use spec::KernelSpec;

pub use crate::model::Body;
pub use crate::plan::Width;

use crate::group::DriverScalars;
use crate::rule::MAX_SCALARS;

/// Bytes from one cohort's scalars to the next's: a uniform's dynamic offset is a multiple of this on every
/// device, and `Block` in `shaders/scalars/block.wgsl` is as large.
pub(crate) const BLOCK: u64 = 256;

/// Words of a block.
pub(crate) const BLOCK_WORDS: usize = BLOCK as usize / size_of::<u32>();

/// Cohorts whose scalars a launch by table sees.
pub(crate) const WINDOW: u32 = 32;

/// The members of `Launch` in `shaders/prelude.wgsl` before its distances.
pub(crate) const LAUNCH: [&str; 8] =
    ["param", "grad", "state", "length", "row", "shift", "first", "unused"];

/// Words of `Launch`.
pub(crate) const LAUNCH_WORDS: usize = LAUNCH.len() + crate::plan::MOST;

/// `real`s that an invocation of a norm sums up, one after the other.
pub(crate) const EACH: u64 = 16;

const _: () = assert!((DriverScalars::NAMES.len() + MAX_SCALARS) * 4 <= BLOCK as usize);
