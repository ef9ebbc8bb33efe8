//! This module gathers pieces into windows. A window is as many pieces as fit the bindings, the table and the grid of
//! one launch.

use std::ops::Range;

use super::{
    Bounds, Chunk, Each, GRAD, Launch, MOST, PARAM, Piece, QUAD, STATE, Shape, WORD, Width,
};
use crate::num::blocks::{GRAIN, LONGEST};

/// Makes the launches that cover `pieces`. All pieces lie in the same buffers and have the same distances.
pub(crate) fn launches(mut pieces: Vec<Piece>, shape: &Shape, bounds: Bounds) -> Vec<Launch> {
    pieces.sort_by_key(|piece| piece.at);
    pieces.dedup_by(|next, piece| {
        let one = piece.adjoins(*next);
        if one {
            piece.len += next.len;
        }
        one
    });
    let windows = |width| {
        let parts = pieces.iter().flat_map(|piece| piece.split(shape));
        let parts = parts.filter(move |(of, _)| *of == width).map(|(_, part)| part);
        Windows { width, shape, bounds }.cover(parts)
    };
    [Width::Vec4, Width::Loose, Width::Scalar].into_iter().flat_map(windows).collect()
}

/// The conditions under which pieces of one width are gathered.
#[derive(Clone, Copy)]
struct Windows<'a> {
    width: Width,
    shape: &'a Shape,
    bounds: Bounds,
}

/// The largest shift of a table: 16 workgroups share a chunk.
const MAX_SHIFT: u32 = 4;

impl Windows<'_> {
    fn cover(self, pieces: impl Iterator<Item = Piece>) -> Vec<Launch> {
        let mut launches = Vec::new();
        let mut window: Vec<Piece> = Vec::new();
        let mut span = Span::EMPTY;
        let mut chunks = 0;
        for piece in pieces.flat_map(|piece| self.cut(piece)) {
            let wider = span.with(piece);
            let more = chunks + self.chunks(piece, 0);
            let fits = wider.fits(self) && more <= self.max_chunks();
            if !fits && !window.is_empty() {
                launches.push(self.launch(&window, span));
                window.clear();
                (span, chunks) = (Span::EMPTY.with(piece), self.chunks(piece, 0));
            } else {
                (span, chunks) = (wider, more);
            }
            window.push(piece);
        }
        if !window.is_empty() {
            launches.push(self.launch(&window, span));
        }
        launches
    }

    /// Cuts a piece into parts, each of which one launch can bind and dispatch.
    fn cut(self, piece: Piece) -> impl Iterator<Item = Piece> {
        let bounds = self.bounds;
        let each = |operand| (bounds.binding - self.early(operand)) / self.shape.sizes[operand];
        let unit = self.shape.unit.unwrap_or(if self.shape.in_blocks { LONGEST } else { QUAD });
        // A binding starts up to one alignment before its piece. A joined binding also spans the elements between
        // parameter and gradient; the caller joins them only if one binding holds both.
        let bound = match self.shape.joined {
            true => u64::MAX,
            false => (0..MOST).map(each).min().unwrap_or(0) / QUAD * QUAD,
        };
        let workgroups = if self.shape.tables { self.max_chunks() } else { self.max_grid() };
        let most = bound.min(workgroups.saturating_mul(self.chunk(0)));
        let most = if most >= unit { most / unit * unit } else { most };
        (0..piece.len.div_ceil(most)).map(move |i| {
            let from = i * most;
            piece.part(from, most.min(piece.len - from))
        })
    }

    /// The bytes by which the binding of an operand may have to start early.
    fn early(self, operand: usize) -> u64 {
        let Self { shape, bounds, .. } = self;
        match shape.in_blocks && shape.follows[operand] == STATE {
            // All slots start at one element, at which blocks of every format are aligned.
            true => GRAIN * shape.sizes[operand],
            false => bounds.alignment,
        }
    }

    /// The most chunks of a table.
    fn max_chunks(self) -> u64 {
        (self.bounds.table / size_of::<[u32; 4]>() as u64).min(self.max_grid())
    }

    /// The most workgroups of a dispatch.
    fn max_grid(self) -> u64 {
        self.bounds.workgroups.saturating_mul(self.bounds.workgroups)
    }

    /// The number of elements in a chunk.
    fn chunk(self, shift: u32) -> u64 {
        (self.width.elements() * self.bounds.invocations * self.bounds.each) << shift
    }

    fn chunks(self, piece: Piece, shift: u32) -> u64 {
        piece.len.div_ceil(self.chunk(shift))
    }

    /// Chooses the length of chunks. Longer chunks make a smaller table, but more workgroups at the ends of pieces
    /// find nothing to do. A quarter more workgroups costs little, because an idle workgroup ends at once.
    fn shift(self, pieces: &[Piece]) -> u32 {
        let workgroups =
            |shift| pieces.iter().map(|piece| self.chunks(*piece, shift)).sum::<u64>() << shift;
        let needed = workgroups(0);
        let most = (needed + needed / 4).min(self.max_grid());
        // A table has 16 bits for a chunk's length.
        let short = |shift| self.chunk(shift) / self.width.elements() <= u64::from(u16::MAX);
        (1..=MAX_SHIFT).rev().find(|&s| workgroups(s) <= most && short(s)).unwrap_or(0)
    }

    fn launch(self, pieces: &[Piece], span: Span) -> Launch {
        let Self { width, shape, bounds } = self;
        let bindings = span.bindings(self);
        let starts: Each<u64> =
            std::array::from_fn(|operand| bindings[operand].start / shape.sizes[operand]);
        let place = |piece: Piece| -> Each<u32> {
            // A binding has fewer than 2³¹ bytes, so every count inside it fits u32.
            std::array::from_fn(|operand| {
                let elements = piece.at[operand] - starts[operand];
                let each = if operand == GRAD { width.grad_elements() } else { width.elements() };
                (elements / each) as u32
            })
        };
        // The distances are the same in every piece of a launch.
        let any = place(pieces[0]);
        let distances =
            std::array::from_fn(|operand| any[operand].wrapping_sub(any[shape.follows[operand]]));
        let chunk = |part: Piece| Chunk {
            at: place(part),
            length: (part.len / width.elements()) as u32,
            block: part.block,
            owner: part.owner,
            from: part.from,
        };
        let (chunks, shift, workgroups) = if let &[piece] = pieces
            && !shape.tables
        {
            (vec![chunk(piece)], None, self.chunks(piece, 0))
        } else {
            let shift = self.shift(pieces);
            let length = self.chunk(shift);
            let chunks: Vec<_> = (pieces.iter())
                .flat_map(|&piece| {
                    let part = move |i| piece.part(i * length, length.min(piece.len - i * length));
                    (0..self.chunks(piece, shift)).map(part)
                })
                .map(chunk)
                .collect();
            let workgroups = (chunks.len() as u64) << shift;
            (chunks, Some(shift), workgroups)
        };
        let grid = grid(workgroups, bounds);
        let state = starts[STATE]..span.0[STATE].1;
        Launch { width, bindings, state, distances, first: starts[PARAM], chunks, shift, grid }
    }
}

/// Makes a grid of at least `workgroups`, in as few rows as the device allows. Rows are no longer than needed.
fn grid(workgroups: u64, bounds: Bounds) -> [u32; 2] {
    let rows = workgroups.div_ceil(bounds.workgroups);
    [workgroups.div_ceil(rows) as u32, rows as u32]
}

/// For each operand, the elements from the first to the last that some pieces touch.
#[derive(Clone, Copy)]
struct Span(Each<(u64, u64)>);

impl Span {
    const EMPTY: Self = Self([(u64::MAX, 0); super::MOST]);

    fn with(mut self, piece: Piece) -> Self {
        for ((first, end), at) in self.0.iter_mut().zip(piece.at) {
            *first = at.min(*first);
            *end = (at + piece.len).max(*end);
        }
        self
    }

    /// The ranges to bind, in bytes; they end at whole words.
    fn bindings(mut self, windows: Windows<'_>) -> Each<Range<u64>> {
        let shape = windows.shape;
        if shape.joined {
            let ([(a, b), (c, d)], rest) = ([self.0[PARAM], self.0[GRAD]], &mut self.0);
            let both = (a.min(c), b.max(d));
            (rest[PARAM], rest[GRAD]) = (both, both);
        }
        std::array::from_fn(|operand| {
            let (first, end) = self.0[operand];
            let first = first * shape.sizes[operand];
            first - first % windows.early(operand)
                ..(end * shape.sizes[operand]).next_multiple_of(WORD)
        })
    }

    fn fits(self, windows: Windows<'_>) -> bool {
        let bindings = self.bindings(windows);
        let disjoint = |&(a, b): &(usize, usize)| {
            bindings[a].end <= bindings[b].start || bindings[b].end <= bindings[a].start
        };
        bindings.iter().all(|bytes| bytes.end - bytes.start <= windows.bounds.binding)
            && windows.shape.apart.iter().all(disjoint)
    }
}
