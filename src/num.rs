//! Numbers: the arithmetic of formulas and its error, how numbers are stored, and random bits.
//!
//! Nothing here knows a rule, a kernel or a device.

pub(crate) mod blocks;
mod bounded;
mod code;
mod format;
mod master;
pub(crate) mod noise;
mod number;
mod roots;
mod state_format;

pub use blocks::BlockCode;
pub use bounded::{Bounded, OneStep, Trajectory};
pub use code::MAX_SLOTS;
pub(crate) use code::{Code, SlotCodes};
pub use format::Format;
pub use master::Master;
pub use number::Number;
pub(crate) use number::halves;
pub(crate) use state_format::Stored;
pub use state_format::{StateFormat, StateFormats};

/// Bytes of a word: a kernel loads and stores no fewer.
pub(crate) const WORD: u64 = 4;
