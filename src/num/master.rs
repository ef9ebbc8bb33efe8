//! This module has the masters: the numbers that complete a 16-bit parameter to its f32.

use super::format::Format;
use crate::error::Error;

/// The numbers that a group's 16-bit parameters are rounded from. Parameters in f32 need nothing.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum Master {
    /// From what they were: a step below half their last digit is lost.
    #[default]
    None,
    /// bf16 only. From an f32 whose lower 16 bits are kept beside the state: 4 bytes a parameter in all,
    /// and the bits of training in f32. The parameter is that f32 rounded, ties away from zero.
    ///
    /// A number that is written to a parameter between steps counts as it is to its last digit, together
    /// with what the last step left below that.
    Remainder,
    /// From an f32 that is kept beside the state, as how far its bits are from the parameter's: 6 bytes a
    /// parameter in all, and the bits of training in f32. The parameter is that f32 rounded to nearest.
    ///
    /// A number that is written to a parameter between steps counts like with [`Master::Remainder`].
    F32,
}

impl Master {
    /// The part of this that the parameter `name` needs, stored so.
    pub(crate) fn of(self, name: &str, format: Format) -> Result<Self, Error> {
        match (self, format) {
            (Self::None, _) | (_, Format::F32) => Ok(Self::None),
            (Self::Remainder, Format::Bf16) | (Self::F32, _) => Ok(self),
            (Self::Remainder, Format::F16) => Err(Error::NoRemainder { name: name.to_owned() }),
        }
    }

    /// The f32 of a parameter that shows `stored`, of which [`Optimizer::master`] has `rest`; both as they
    /// are downloaded.
    ///
    /// [`Optimizer::master`]: crate::Optimizer::master
    pub fn whole(self, stored: f32, rest: f32) -> f32 {
        let (stored, rest) = (stored.to_bits(), rest.to_bits());
        f32::from_bits(match self {
            Self::None => stored,
            Self::Remainder => stored.wrapping_sub(rest >> 31 << 16) | rest >> 16,
            Self::F32 => stored.wrapping_add(rest),
        })
    }
}
