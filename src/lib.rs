//! The fused optimizer step for wgpu.
//!
//! RMSProp, ADAM, SGD and their family as WGSL compute shaders over parameters that stay in your wgpu
//! buffers. An [`Optimizer`] keeps the state, counts steps, and records its step into your encoder;
//! it submits nothing and waits for nothing. A [`Group`] is a rule with its learning rate and weight
//! decay, a [`View`] a run of numbers in a buffer that stays yours. [`Reference`] computes the same
//! in f64 on the CPU.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod buckets;
#[cfg(feature = "cli")]
#[cfg_attr(docsrs, doc(cfg(feature = "cli")))]
pub mod config;
mod control;
mod cpu;
mod error;
mod group;
#[cfg(feature = "headless")]
#[cfg_attr(docsrs, doc(cfg(feature = "headless")))]
pub mod headless;
pub mod kernel;
mod model;
mod num;
mod optimizer;
mod plan;
mod program;
#[doc(hidden)]
pub mod reflect;
pub mod rule;
#[cfg(feature = "verify")]
#[cfg_attr(docsrs, doc(cfg(feature = "verify")))]
pub mod timing;
#[cfg(feature = "verify")]
#[cfg_attr(docsrs, doc(cfg(feature = "verify")))]
pub mod verify;
mod view;

pub use control::{Accumulation, Control, LossScale, Norm, Stats};
#[cfg(feature = "cpu")]
#[cfg_attr(docsrs, doc(cfg(feature = "cpu")))]
pub use cpu::Cpu;
pub use cpu::{Controller, Reference};
pub use error::Error;
pub use group::Group;
pub use num::{Bounded, Format, Master, Number, OneStep, Trajectory};
pub use optimizer::{GroupId, Optimizer, ParamId};
pub use rule::rules::*;
pub use rule::{At, Formula, IntoRule, Oracle, Rates, Rule, Scalar, Slot, Start, Varies};
pub use view::View;
pub use wgpu;

/// The README's code, compiled and run with the tests.
#[cfg(all(doctest, feature = "headless"))]
#[doc = include_str!("../README.md")]
struct Readme;
