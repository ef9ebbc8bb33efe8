//! This module joins WGSL files to kernels, and makes pipelines of kernels.
//!
//! `shaders/README.md` says what each file declares and needs. Kernels differ in their files and in their `override`
//! switches.

mod access;
mod assemble;
mod blocks;
mod hook;
mod layout;
mod listed;
mod pipelines;
mod spec;

pub(crate) use blocks::block_memory;
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

/// The bytes of a block, which holds one cohort's scalars. Every device allows dynamic offsets of a uniform that are
/// multiples of this number. `Block` in `shaders/scalars/block.wgsl` has the same size.
pub(crate) const BLOCK: u64 = 256;

/// The words of a block.
pub(crate) const BLOCK_WORDS: usize = BLOCK as usize / size_of::<u32>();

/// The number of cohorts whose scalars a launch by table sees.
pub(crate) const WINDOW: u32 = 32;

/// The members of `Launch` in `shaders/prelude.wgsl` before its distances.
pub(crate) const LAUNCH: [&str; 8] =
    ["param", "grad", "state", "length", "row", "shift", "first", "unused"];

/// The words of `Launch`.
pub(crate) const LAUNCH_WORDS: usize = LAUNCH.len() + crate::plan::MOST;

/// The number of `real`s that an invocation of `norm` sums up, one after the other.
pub(crate) const EACH: u64 = 16;

const _: () = assert!((DriverScalars::NAMES.len() + MAX_SCALARS) * 4 <= BLOCK as usize);
