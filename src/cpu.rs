//! This module computes steps on the CPU: in f64 as the reference of a group and of `Control`, and in f32 as an engine
//! on all cores.

mod controller;
#[cfg(feature = "cpu")]
mod engine;
mod reference;

pub use controller::Controller;
#[cfg(feature = "cpu")]
#[cfg_attr(docsrs, doc(cfg(feature = "cpu")))]
pub use engine::Cpu;
pub use reference::Reference;
