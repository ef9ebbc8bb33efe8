//! This module has the formats in which slots of state are stored.

use super::blocks::{BLOCKS, BlockCode, Blocks};
use super::format::Format;

/// The format in which a slot of state is stored.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum StateFormat {
    /// 32 bits, as computed.
    #[default]
    F32,
    /// IEEE 754's 16 bits: [`Format::F16`].
    F16,
    /// The upper half of an f32: [`Format::Bf16`].
    Bf16,
    /// 8 bits in blocks of 256 elements, each with an f32 scale: 1.016 bytes an element. The codes are those of
    /// bitsandbytes ([Dettmers et al. 2022](https://arxiv.org/abs/2110.02861)). Unsigned numbers
    /// below 1.625e-7 of the scale and signed ones below 2.75e-7 become 0. If that is a second moment and the next
    /// gradient is 0 as well, that step divides by ε alone, which can make a training fail where magnitudes in a block
    /// differ much; there, keep that slot in another format.
    Block8,
    /// 4 bits in blocks of 128 elements, each with an f32 scale: 0.531 bytes an element. The codes are those of
    /// torchao.
    Block4,
}

/// The way in which a format stores numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    /// Each by itself.
    Plain(Format),
    /// In blocks.
    Blocks(&'static Blocks),
}

impl StateFormat {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::F32, Self::F16, Self::Bf16, Self::Block8, Self::Block4];

    pub(crate) fn stored(self) -> Stored {
        match self {
            Self::F32 => Stored::Plain(Format::F32),
            Self::F16 => Stored::Plain(Format::F16),
            Self::Bf16 => Stored::Plain(Format::Bf16),
            Self::Block8 => Stored::Blocks(&BLOCKS[0]),
            Self::Block4 => Stored::Blocks(&BLOCKS[1]),
        }
    }

    /// `"f32"`, `"f16"`, `"bf16"`, `"block8"` or `"block4"`.
    pub fn name(self) -> &'static str {
        match self.stored() {
            Stored::Plain(format) => format.name(),
            Stored::Blocks(blocks) => blocks.name,
        }
    }

    /// The format of each number by itself; none for blocks.
    pub fn plain(self) -> Option<Format> {
        match self.stored() {
            Stored::Plain(format) => Some(format),
            Stored::Blocks(_) => None,
        }
    }

    /// The format of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The code of signed or of unsigned numbers; none if numbers are stored each by itself.
    pub fn code(self, signed: bool) -> Option<BlockCode> {
        match self.stored() {
            Stored::Plain(_) => None,
            Stored::Blocks(blocks) => Some(blocks.code(signed)),
        }
    }
}

impl std::fmt::Display for StateFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl From<Format> for StateFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::F32 => Self::F32,
            Format::F16 => Self::F16,
            Format::Bf16 => Self::Bf16,
        }
    }
}

/// The formats of a group's slots. A format, or a list of slots with their formats, turns into it.
///
/// ```
/// use wgpu_optim::{Group, StateFormat};
///
/// let all = Group::adam(1e-3).state_format(StateFormat::Block8);
/// let each = [("exp_avg", StateFormat::Block4), ("exp_avg_sq", StateFormat::Block8)];
/// let other = Group::adam(1e-3).state_format(each);
/// # assert!(all.check().is_ok() && other.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StateFormats {
    /// One format for all slots. A slot that the rule does not let be in blocks is in f32 instead.
    All(StateFormat),
    /// A format for each slot that is named; f32 for all others.
    Each(Vec<(String, StateFormat)>),
}

impl StateFormats {
    /// The format of a slot, before the rule's word on blocks.
    pub fn of(&self, slot: &str) -> StateFormat {
        match self {
            Self::All(format) => *format,
            Self::Each(named) => {
                let found = named.iter().rev().find(|(name, _)| name == slot);
                found.map_or(StateFormat::F32, |(_, format)| *format)
            }
        }
    }
}

impl Default for StateFormats {
    fn default() -> Self {
        Self::All(StateFormat::F32)
    }
}

impl From<StateFormat> for StateFormats {
    fn from(format: StateFormat) -> Self {
        Self::All(format)
    }
}

impl From<Format> for StateFormats {
    fn from(format: Format) -> Self {
        Self::All(format.into())
    }
}

impl<S: Into<String>, const N: usize> From<[(S, StateFormat); N]> for StateFormats {
    fn from(named: [(S, StateFormat); N]) -> Self {
        Self::Each(named.into_iter().map(|(name, format)| (name.into(), format)).collect())
    }
}

impl From<Vec<(String, StateFormat)>> for StateFormats {
    fn from(named: Vec<(String, StateFormat)>) -> Self {
        Self::Each(named)
    }
}

impl std::fmt::Display for StateFormats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(format) => format.fmt(f),
            Self::Each(named) => {
                let named: Vec<_> =
                    named.iter().map(|(slot, format)| format!("{slot}: {format}")).collect();
                f.pad(&named.join(", "))
            }
        }
    }
}
