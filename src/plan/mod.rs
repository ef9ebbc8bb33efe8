//! This module plans the launches of a pass. It is arithmetic on offsets and touches no GPU.
//!
//! A [`Piece`] joins views that adjoin. The plan splits each piece into whole quads of four elements and up to
//! three elements at either end. It gathers pieces of the same buffers into [`Launch`]es. The bindings of a launch
//! respect the device's limits, and no two of them overlap.

mod window;

use std::ops::Range;

use crate::num::blocks::LONGEST;

pub(crate) use window::launches;

/// Elements of a `vec4<f32>`.
pub(crate) const QUAD: u64 = 4;

/// Bytes of a word: the unit that GPUs bind and copy.
const WORD: u64 = crate::num::WORD;

/// The limits of the device, as far as plans depend on them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// Bytes of one storage binding.
    pub(crate) binding: u64,
    /// Bytes of one launch's table.
    pub(crate) table: u64,
    /// A storage binding's offset is a multiple of this, in bytes.
    pub(crate) alignment: u64,
    /// Workgroups in one dimension of a dispatch.
    pub(crate) workgroups: u64,
    /// Invocations of a workgroup.
    pub(crate) invocations: u64,
    /// `real`s that an invocation works on.
    pub(crate) each: u64,
}

/// How many elements an invocation takes at once.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Width {
    /// Four elements, which stand in one quad in every buffer.
    Vec4,
    /// Four elements, which stand in one quad in every buffer except the gradients'.
    Loose,
    /// One element.
    Scalar,
}

impl Width {
    pub(crate) fn elements(self) -> u64 {
        match self {
            Self::Vec4 | Self::Loose => QUAD,
            Self::Scalar => 1,
        }
    }

    /// Elements from one index of a gradient to the next.
    fn grad_elements(self) -> u64 {
        if self == Self::Vec4 { QUAD } else { 1 }
    }
}

/// The most operands of a plan. A plan knows operands by number; the operand table has their names.
pub(crate) const MOST: usize = 8;

/// A value for each operand.
type Each<T> = [T; MOST];

/// The operands whose places a chunk lists. Every other operand stands at a constant distance from one of these.
pub(crate) const PARAM: usize = 0;
pub(crate) const GRAD: usize = 1;
pub(crate) const STATE: usize = 2;

/// The operands of a launch. An absent operand repeats the operand that it follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    /// Bytes of an element.
    pub(crate) sizes: Each<u64>,
    /// For each operand, the operand that it follows at a constant distance; itself if it has a column.
    pub(crate) follows: Each<usize>,
    /// Whether one binding spans parameters and gradients.
    pub(crate) joined: bool,
    /// The pairs of operands that share a buffer and must have bindings that do not overlap.
    pub(crate) apart: Vec<(usize, usize)>,
    /// `None`: the quads of a piece are those of the parameter's buffer. `Some(n)`: the quads begin with the piece's
    /// first element, and launches cut a piece at multiples of `n` elements.
    pub(crate) unit: Option<u64>,
    /// Whether a launch of one piece also has a table.
    pub(crate) tables: bool,
    /// Whether some operand is in blocks, which begin with the piece. Then a workgroup works on whole blocks.
    pub(crate) in_blocks: bool,
}

/// The owner of a piece that may be merged with others.
pub(crate) const ANYONE: u32 = u32::MAX;

/// Neighbouring elements of one parameter, or of several parameters that a launch need not tell apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    /// The first element in the buffer of each operand.
    pub(crate) at: Each<u64>,
    /// The number of elements.
    pub(crate) len: u64,
    /// The block of scalars.
    pub(crate) block: u32,
    /// The parameter's number if pieces are not merged, otherwise [`ANYONE`].
    pub(crate) owner: u32,
    /// The piece's first element, counted from the owner's first.
    pub(crate) from: u64,
}

impl Piece {
    fn part(self, from: u64, len: u64) -> Self {
        Self { at: self.at.map(|at| at + from), len, from: self.from + from, ..self }
    }

    /// Whether `next` begins where this piece ends, so that a launch can take both as one piece.
    fn adjoins(self, next: Self) -> bool {
        let merges = self.owner == ANYONE && next.owner == ANYONE && self.block == next.block;
        merges && self.at.map(|at| at + self.len) == next.at
    }

    /// Splits the piece into its whole quads and the elements before and behind them.
    fn split(self, shape: &Shape) -> impl Iterator<Item = (Width, Self)> {
        let phase = self.at[PARAM] % QUAD;
        let grad_in_phase = self.at[GRAD] % QUAD == phase;
        let in_phase = |operand: usize| operand == GRAD || self.at[operand] % QUAD == phase;
        let (head, body, width) = match shape.unit {
            None if shape.in_blocks => {
                let width = if grad_in_phase { Width::Vec4 } else { Width::Loose };
                let quads =
                    phase == 0 && (0..MOST).all(in_phase) && (grad_in_phase || !shape.joined);
                // Elements after the last whole quad are with their block.
                let whole = if self.len.is_multiple_of(QUAD) { 1 } else { LONGEST };
                (0, if quads { self.len / whole * whole } else { 0 }, width)
            }
            Some(_) => {
                let width = if phase == 0 { Width::Vec4 } else { Width::Loose };
                (0, self.len / QUAD * QUAD, width)
            }
            None => {
                let width = if grad_in_phase { Width::Vec4 } else { Width::Loose };
                let quads = (0..MOST).all(in_phase) && (grad_in_phase || !shape.joined);
                let head = if quads { ((QUAD - phase) % QUAD).min(self.len) } else { self.len };
                (head, (self.len - head) / QUAD * QUAD, width)
            }
        };
        [
            (Width::Scalar, self.part(0, head)),
            (width, self.part(head, body)),
            (Width::Scalar, self.part(head + body, self.len - head - body)),
        ]
        .into_iter()
        .filter(|(_, piece)| piece.len > 0)
    }
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Launch {
    pub(crate) width: Width,
    /// The bytes to bind of each operand.
    pub(crate) bindings: Each<Range<u64>>,
    /// The elements of the state's column that are bound, from which the bytes of blocks follow.
    pub(crate) state: Range<u64>,
    /// For each operand, its index minus the index of the operand that it follows, wrapping.
    pub(crate) distances: Each<u32>,
    /// The element of the parameters' buffer at which their binding starts.
    pub(crate) first: u64,
    /// The chunks of the table; one chunk without a table.
    pub(crate) chunks: Vec<Chunk>,
    /// `None`: the uniform of the launch has the chunk (`shaders/address/direct.wgsl`). `Some(shift)`: a table has the
    /// chunks (`shaders/address/table.wgsl`), and `1 << shift` workgroups share a chunk.
    pub(crate) shift: Option<u32>,
    /// The number of workgroups in each dimension of the grid.
    pub(crate) grid: [u32; 2],
}

/// A part of a piece for one or a few workgroups. Its places and its length count `real`s, from the start of each
/// binding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) at: Each<u32>,
    pub(crate) length: u32,
    pub(crate) block: u32,
    /// As in [`Piece`].
    pub(crate) owner: u32,
    /// The first element in the owner.
    pub(crate) from: u64,
}

/// Whether two ranges of one buffer can have bindings that do not overlap.
pub(crate) fn can_be_apart(one: Range<u64>, two: Range<u64>, alignment: u64) -> bool {
    let start = |bytes: &Range<u64>| bytes.start - bytes.start % alignment;
    let end = |bytes: &Range<u64>| bytes.end.next_multiple_of(WORD);
    end(&one) <= start(&two) || end(&two) <= start(&one)
}

#[cfg(test)]
mod tests;
