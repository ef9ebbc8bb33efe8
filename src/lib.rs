//! The fused optimizer step for wgpu.
//!
//! RMSProp, ADAM, SGD and their family as WGSL compute shaders over parameters that stay in your wgpu buffers.
//!
//! - An [`Optimizer`] keeps the state, counts steps, and records its step into your encoder. It submits nothing and
//!   waits for nothing. [`ParamId`] and [`GroupId`] are its handles.
//! - A [`Group`] is a rule ([`Sgd`], [`Adagrad`], [`Lion`], [`RmsProp`], [`Adam`], or a [`Rule`] of your own) with a
//!   learning rate and weight decay. [`Master`] and [`Format`] say how 16-bit parameters and state are stored.
//! - A [`View`] is a run of numbers in a buffer that stays yours.
//! - A [`Schedule`] gives a number for each step; [`ReduceOnPlateau`] gives a learning rate for each metric.
//! - A [`Control`] clips, scales and skips ([`LossScale`], [`Norm`], [`Accumulation`]); [`Stats`] tells what it did.
//! - [`Reference`] computes the same in f64 on the CPU, and [`Controller`] what a control decides.
//! - Every call that can fail returns an [`Error`].
//!
//! Features: `headless` (default: a device without a window), `verify` (compares an adapter with the reference), `cpu`
//! (the same in f32 on all cores, and `minimize`, which trains in one call), `serde` (options and schedules),
//! `checkpoint` (saving and loading of everything that the next step depends on), `cli`
//! (the command and all that it needs).
//!
//! # Example
//! Two groups, a learning rate that falls, clipping, and an average of the weights:
//!
//! ```
//! use wgpu_optim::{Control, Group, Optimizer, View};
//! # #[cfg(feature = "headless")]
//! # fn main() -> Result<(), wgpu_optim::Error> {
//! # let gpu = wgpu_optim::headless::Gpu::headless()?;
//! # let (device, queue) = (&gpu.device, &gpu.queue);
//! # let upload = |numbers: &[f32]| gpu.upload("numbers", numbers);
//! # let [weight, bias] = [upload(&[1.0, -2.0, 3.0, 4.0])?, upload(&[0.5, -0.5])?];
//! # let [weight_grad, bias_grad] = [upload(&[3.0, 0.0, -4.0, 0.0])?, upload(&[0.0, 12.0])?];
//! let mut optimizer = Optimizer::new(device);
//! let decayed = optimizer.add_group(Group::adamw(1e-3).weight_decay(0.1).ema(0.999))?;
//! let plain = optimizer.add_group(Group::adam(1e-3).ema(0.999))?;
//! let weight_id = optimizer.add_param(decayed, "weight", View::f32(&weight), View::f32(&weight_grad))?;
//! optimizer.add_param(plain, "bias", View::f32(&bias), View::f32(&bias_grad))?;
//! optimizer.set_control(Control { clip_norm: Some(1.0), ..Control::default() })?;
//! for t in 0..10 {
//!     optimizer.set_lr(1e-3 * (1.0 - t as f64 / 10.0))?;
//!     let mut encoder = device.create_command_encoder(&Default::default());
//!     optimizer.step(&mut encoder); // behind your backward pass
//!     queue.submit([encoder.finish()]);
//! }
//! let averages = optimizer.ema(weight_id)?; // a view, to evaluate with
//! # assert!(averages.is_some_and(|view| view.len == 4));
//! # assert!(gpu.download(&View::f32(&weight))?[0] < 1.0);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "headless"))]
//! # fn main() {}
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod block_error;
mod buckets;
#[cfg(feature = "checkpoint")]
#[cfg_attr(docsrs, doc(cfg(feature = "checkpoint")))]
pub mod checkpoint;
#[cfg(feature = "checkpoint")]
#[cfg_attr(docsrs, doc(cfg(feature = "checkpoint")))]
pub mod config;
mod control;
mod cpu;
mod error;
mod group;
#[cfg(feature = "headless")]
#[cfg_attr(docsrs, doc(cfg(feature = "headless")))]
pub mod headless;
#[doc(hidden)]
pub mod kernel;
mod model;
mod num;
mod optimizer;
mod plan;
mod program;
#[doc(hidden)]
pub mod reflect;
pub mod rule;
mod schedule;
#[cfg(feature = "verify")]
#[doc(hidden)]
pub mod timing;
#[cfg(feature = "verify")]
#[cfg_attr(docsrs, doc(cfg(feature = "verify")))]
pub mod verify;
mod view;

pub use block_error::BlockError;
pub use control::{Accumulation, Control, LossScale, Norm, Stats};
pub use cpu::{Controller, Reference};
#[cfg(feature = "cpu")]
#[cfg_attr(docsrs, doc(cfg(feature = "cpu")))]
pub use cpu::{Cpu, minimize};
pub use error::Error;
pub use group::Group;
pub use num::{
    BlockCode, Bounded, Format, Master, Number, OneStep, StateFormat, StateFormats, Trajectory,
};
pub use optimizer::{GroupId, Optimizer, ParamId};
pub use rule::rules::*;
pub use rule::{
    At, Average, Formula, IntoRule, Oracle, Past, Rates, Rule, Scalar, Sign, Slot, Start, Varies,
};
pub use schedule::{PlateauMode, ReduceOnPlateau, Schedule, SchedulePart, Target, ThresholdMode};
pub use view::View;
pub use wgpu;

/// The README's code, compiled and run with the tests.
#[cfg(all(doctest, feature = "headless"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The document's code, compiled with the tests.
#[cfg(all(doctest, feature = "checkpoint"))]
#[doc = include_str!("../docs/CHECKPOINT.md")]
struct CheckpointDocument;
