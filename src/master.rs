//! Where a step finds more of a parameter than its 16 bits.

use crate::error::Error;
use crate::format::Format;
use crate::view::View;

/// What a group's 16-bit parameters are rounded from. Parameters in f32 need nothing.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Master {
    /// From what they were: a step below half their last digit is lost.
    #[default]
    None,
    /// bf16 only. From an f32 whose lower 16 bits are kept beside the state: 4 bytes a parameter in all,
    /// and the bits of training in f32. The parameter is that f32 rounded, ties away from zero.
    ///
    /// What is written to a parameter between steps counts as it is to its last digit, together with
    /// what the last step left below that.
    Remainder,
}

impl Master {
    /// What `param`, as `name`, needs of it.
    pub(crate) fn of(self, name: &str, param: &View) -> Result<Self, Error> {
        match (self, param.format) {
            (Self::None, _) | (_, Format::F32) => Ok(Self::None),
            (Self::Remainder, Format::Bf16) => Ok(self),
            (Self::Remainder, Format::F16) => Err(Error::NoRemainder { name: name.to_owned() }),
        }
    }
}
