//! This module has the ways in which operands are stored.

use std::ops::Range;

use super::{BlockCode, Format, WORD};

/// The most slots of state that a rule can keep.
pub const MAX_SLOTS: usize = 4;

/// The way in which a number is stored.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Code {
    /// As a number in a format.
    Plain(Format),
    /// As 16 or 32 bits that are no number by themselves.
    Bits(u32),
    /// In blocks, each with a scale.
    Blocks(BlockCode),
}

impl Code {
    /// The name of the format.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Plain(format) => format.name().to_owned(),
            Self::Bits(bits) => format!("{bits}_bits"),
            Self::Blocks(code) => code.name(),
        }
    }

    /// The bits of an element, without its part of a scale.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Plain(format) => 8 * format.bytes() as u32,
            Self::Bits(bits) => bits,
            Self::Blocks(code) => code.bits(),
        }
    }

    /// The bytes of `elements` elements, from the start of a buffer on. Blocks are whole.
    pub(crate) fn bytes(self, elements: u64) -> u64 {
        match self {
            Self::Blocks(code) => code.blocks.bytes(elements),
            code => elements * u64::from(code.bits()) / 8,
        }
    }

    /// The element that begins at a byte, where one does.
    pub(crate) fn element_at(self, byte: u64) -> u64 {
        match self {
            Self::Blocks(code) => byte / code.blocks.bytes(1) * code.block(),
            code => byte * 8 / u64::from(code.bits()),
        }
    }

    /// The format that a view of such numbers has.
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Plain(format) => format,
            Self::Bits(16) => Format::Bf16,
            // Blocks are seen as words.
            Self::Bits(_) | Self::Blocks(_) => Format::F32,
        }
    }

    /// The elements of a view of `elements` elements.
    pub(crate) fn viewed(self, elements: Range<u64>) -> Range<u64> {
        match self {
            Self::Blocks(code) => {
                let word = |element| code.blocks.bytes(element) / WORD;
                word(elements.start)..word(elements.end)
            }
            _ => elements,
        }
    }
}

/// The way in which each slot of a rule is stored. Places without a slot are in f32.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct SlotCodes([Code; MAX_SLOTS]);

impl SlotCodes {
    /// All slots in one format.
    pub(crate) fn all(format: Format) -> Self {
        Self([Code::Plain(format); MAX_SLOTS])
    }

    /// The codes of some slots.
    pub(crate) fn of(slots: impl Iterator<Item = Code>) -> Self {
        let mut codes = [Code::Plain(Format::F32); MAX_SLOTS];
        codes.iter_mut().zip(slots).for_each(|(code, slot)| *code = slot);
        Self(codes)
    }

    /// The code of a slot.
    pub(crate) fn get(&self, slot: usize) -> Code {
        self.0.get(slot).copied().unwrap_or(Code::Plain(Format::F32))
    }

    /// The format of all slots, if they have one and none is in blocks.
    pub(crate) fn plain(&self) -> Option<Format> {
        match self.0[0] {
            Code::Plain(format) if self.0 == [self.0[0]; MAX_SLOTS] => Some(format),
            _ => None,
        }
    }

    /// The same with f32 in place of blocks.
    pub(crate) fn without_blocks(self) -> Self {
        Self(self.0.map(|code| match code {
            Code::Blocks(_) => Code::Plain(Format::F32),
            code => code,
        }))
    }

    /// The codes of the slots in blocks, each once, in order.
    pub(crate) fn blocks(&self) -> Vec<BlockCode> {
        let mut all = Vec::new();
        for code in self.0 {
            if let Code::Blocks(code) = code
                && !all.contains(&code)
            {
                all.push(code);
            }
        }
        all
    }
}
