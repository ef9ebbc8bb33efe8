//! This module computes steps on the CPU: in f64 as the reference of a group and of `Control`, and in f32 as an engine
//! on all cores.

mod controller;
#[cfg(feature = "cpu")]
mod engine;
#[cfg(feature = "cpu")]
mod minimize;
mod quantized;
mod reference;

pub use controller::Controller;
#[cfg(feature = "cpu")]
#[cfg_attr(docsrs, doc(cfg(feature = "cpu")))]
pub use engine::Cpu;
#[cfg(feature = "cpu")]
#[cfg_attr(docsrs, doc(cfg(feature = "cpu")))]
pub use minimize::minimize;
pub use reference::Reference;
