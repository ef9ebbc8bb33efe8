//! The code that tests and benches share: devices, numbers in buffers, what a result may be off, and the
//! table of cases that properties walk.

pub mod arena;
pub mod bench;
mod bounds;
mod buffers;
mod cases;
mod device;
mod golden;
mod names;
pub mod noop;
pub mod tools;
mod training;

use std::fmt::Display;

pub use bounds::{COEFFICIENT, close, scaled};
pub use buffers::{bits, encoded, numbers, read, record, set, upload};
pub use cases::{Case, cases, halves, masters, most_slots, one_of_each, one_of_each_text, slots};
pub use device::{default_limits, gpu, pipeline, stats};
pub use golden::{Tensors, metadata, tensors};
pub use names::ByName;
pub use training::{Action, Bits, Training};

/// The value; an error ends the test or the bench with its own words.
#[track_caller]
pub fn ok<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}
