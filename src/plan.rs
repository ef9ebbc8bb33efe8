//! Which launches a step takes: pure arithmetic on offsets, no GPU in it.
//!
//! Views that adjoin become one [`Piece`], which falls into whole 16-byte quadruples and up to three
//! loose elements at either end. Pieces of the same buffers are gathered into [`Launch`]es whose
//! bindings respect the device's limits.

use std::ops::Range;

use crate::num::WORD;

/// Elements of a `vec4<f32>`.
const QUAD: u64 = 4;

/// What the device allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// Bytes of one storage binding.
    pub(crate) binding: u64,
    /// What a storage binding's offset is a multiple of, in bytes.
    pub(crate) alignment: u64,
    /// Workgroups in one dimension of a dispatch.
    pub(crate) workgroups: u64,
    /// Invocations of a workgroup.
    pub(crate) invocations: u64,
    /// `real`s that an invocation works on.
    pub(crate) each: u64,
}

/// How many elements an invocation takes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, PartialOrd, Ord)]
pub(crate) enum Width {
    Vec4,
    Scalar,
}

impl Width {
    pub(crate) fn elements(self) -> u64 {
        match self {
            Self::Vec4 => QUAD,
            Self::Scalar => 1,
        }
    }
}

/// Something for each element of a parameter, in a buffer: what plans tell apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Param,
    Grad,
    State,
    /// What 16 bits leave of the parameter's f32, where its state is.
    Lower,
    /// An average of the parameter, where its state is.
    Average,
    /// A copy of the parameter, in fewer bits.
    Copy,
}

pub(crate) const ROLES: usize = 6;

/// Those that a launch finds as far from the place of another as in all the launch.
const BESIDE: [(Role, Role); 3] =
    [(Role::Lower, Role::State), (Role::Average, Role::State), (Role::Copy, Role::Param)];

/// Something for each role. What a parameter does not have is as what it would be beside.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Roles<T>(pub(crate) [T; ROLES]);

impl<T: Copy> Copy for Roles<T> {}

impl<T: Copy> Roles<T> {
    /// `param`, `grad` and `state`, and nothing else.
    pub(crate) fn of(param: T, grad: T, state: T) -> Self {
        Self([param, grad, state, state, state, param])
    }

    /// The same, but for one role.
    pub(crate) fn with(mut self, role: Role, value: T) -> Self {
        self.0[role as usize] = value;
        self
    }
}

impl<T> std::ops::Index<Role> for Roles<T> {
    type Output = T;
    fn index(&self, role: Role) -> &T {
        &self.0[role as usize]
    }
}

/// Bytes of an element of each.
pub(crate) type Sizes = Roles<u64>;

/// Neighbouring elements of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    /// First element in the buffer of each.
    pub(crate) at: Roles<u64>,
    /// Elements.
    pub(crate) len: u64,
    /// Which block of scalars.
    pub(crate) block: u32,
}

impl Piece {
    fn part(self, from: u64, len: u64) -> Self {
        Self { at: Roles(self.at.0.map(|at| at + from)), len, ..self }
    }

    /// Whether `next` goes on where this ends: one launch cannot tell the two from one piece.
    fn adjoins(self, next: Self) -> bool {
        self.block == next.block && self.at.0.map(|at| at + self.len) == next.at.0
    }

    /// What can be done in quadruples, and what cannot.
    fn split(self) -> impl Iterator<Item = (Width, Self)> {
        let phase = self.at[Role::Param] % QUAD;
        let in_phase = self.at.0.iter().all(|at| at % QUAD == phase);
        let head = if in_phase { ((QUAD - phase) % QUAD).min(self.len) } else { self.len };
        let body = (self.len - head) / QUAD * QUAD;
        let tail = self.len - head - body;
        [
            (Width::Scalar, self.part(0, head)),
            (Width::Vec4, self.part(head, body)),
            (Width::Scalar, self.part(head + body, tail)),
        ]
        .into_iter()
        .filter(|(_, piece)| piece.len > 0)
    }
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Launch {
    pub(crate) width: Width,
    /// The bytes to bind of each.
    pub(crate) bindings: Roles<Range<u64>>,
    /// Of what is beside something, how far from the place in that one's binding its own is, modulo 2³²:
    /// [`BESIDE`].
    pub(crate) beside: [u32; BESIDE.len()],
    /// Which element of its buffer the parameters' binding starts with.
    pub(crate) first: u32,
    pub(crate) work: Work,
    /// Workgroups in each dimension of the grid.
    pub(crate) grid: [u32; 2],
}

/// How a launch's workgroups find their elements; counted in `real`s from the start of the bindings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Work {
    /// `shaders/address/direct.wgsl`
    Direct { chunk: Chunk },
    /// `shaders/address/table.wgsl`; each chunk is for `1 << shift` workgroups.
    Table { chunks: Vec<Chunk>, shift: u32 },
}

/// A part of a piece, for one or a few workgroups; counted in `real`s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) at: Roles<u32>,
    pub(crate) length: u32,
    pub(crate) block: u32,
}

/// The launches that cover `pieces`, all in the same buffers, and all with a copy as far from its
/// parameter, or none.
pub(crate) fn launches(mut pieces: Vec<Piece>, sizes: Sizes, bounds: Bounds) -> Vec<Launch> {
    pieces.sort_by_key(|piece| piece.at);
    pieces.dedup_by(|next, piece| {
        let one = piece.adjoins(*next);
        if one {
            piece.len += next.len;
        }
        one
    });
    let of = |width| {
        let parts = pieces.iter().flat_map(|piece| piece.split());
        parts.filter(move |(of, _)| *of == width).map(|(_, part)| part)
    };
    let mut launches = windows(of(Width::Vec4), Width::Vec4, sizes, bounds);
    launches.extend(windows(of(Width::Scalar), Width::Scalar, sizes, bounds));
    launches
}

/// The launches that cover `pieces`, in as few bindings as they fit.
fn windows(
    pieces: impl Iterator<Item = Piece>,
    width: Width,
    sizes: Sizes,
    bounds: Bounds,
) -> Vec<Launch> {
    let mut launches = Vec::new();
    let mut window: Vec<Piece> = Vec::new();
    let mut span = Span::EMPTY;
    let mut chunks = 0;
    for piece in pieces.flat_map(|piece| cut(piece, width, sizes, bounds)) {
        let wider = span.with(piece);
        let more = chunks + piece.chunks(width, bounds, 0);
        let fits = wider.fits(sizes, bounds) && more <= max_chunks(bounds);
        if !fits && !window.is_empty() {
            launches.push(launch(&window, span, width, sizes, bounds));
            window.clear();
            (span, chunks) = (Span::EMPTY.with(piece), piece.chunks(width, bounds, 0));
        } else {
            (span, chunks) = (wider, more);
        }
        window.push(piece);
    }
    if !window.is_empty() {
        launches.push(launch(&window, span, width, sizes, bounds));
    }
    launches
}

/// `piece` in parts each of which can be bound whole and dispatched at once.
fn cut(piece: Piece, width: Width, sizes: Sizes, bounds: Bounds) -> impl Iterator<Item = Piece> {
    let largest = sizes.0.into_iter().max().unwrap_or(WORD);
    // A binding starts up to one alignment before the piece does.
    let bound = (bounds.binding - bounds.alignment) / largest / QUAD * QUAD;
    let dispatched = max_grid(bounds).saturating_mul(chunk(width, bounds, 0));
    let most = bound.min(dispatched);
    (0..piece.len.div_ceil(most)).map(move |i| {
        let from = i * most;
        piece.part(from, most.min(piece.len - from))
    })
}

/// The most chunks a table can have: its own binding is limited too.
fn max_chunks(bounds: Bounds) -> u64 {
    (bounds.binding / size_of::<[u32; 4]>() as u64).min(max_grid(bounds))
}

/// The most workgroups a dispatch can have.
fn max_grid(bounds: Bounds) -> u64 {
    bounds.workgroups.saturating_mul(bounds.workgroups)
}

/// The most that `Table`'s shift can be: chunks of 16 workgroups.
const MAX_SHIFT: u32 = 4;

/// Elements of a chunk.
fn chunk(width: Width, bounds: Bounds, shift: u32) -> u64 {
    (width.elements() * bounds.invocations * bounds.each) << shift
}

impl Piece {
    fn chunks(self, width: Width, bounds: Bounds, shift: u32) -> u64 {
        self.len.div_ceil(chunk(width, bounds, shift))
    }
}

/// How long chunks may be: the longer, the smaller the table, and the more workgroups at the ends of
/// pieces find nothing to do. A quarter more of those costs little, each ends at once.
fn shift(pieces: &[Piece], width: Width, bounds: Bounds) -> u32 {
    let workgroups =
        |shift| pieces.iter().map(|piece| piece.chunks(width, bounds, shift)).sum::<u64>() << shift;
    let needed = workgroups(0);
    let most = (needed + needed / 4).min(max_grid(bounds));
    // A table has 16 bits for a chunk's length.
    let short = |shift| chunk(width, bounds, shift) / width.elements() <= u64::from(u16::MAX);
    (1..=MAX_SHIFT).rev().find(|&s| workgroups(s) <= most && short(s)).unwrap_or(0)
}

/// The elements from the first to the last that some pieces touch, in each buffer.
#[derive(Clone, Copy)]
struct Span([(u64, u64); ROLES]);

impl Span {
    const EMPTY: Self = Self([(u64::MAX, 0); ROLES]);

    fn with(mut self, piece: Piece) -> Self {
        for ((first, end), at) in self.0.iter_mut().zip(piece.at.0) {
            *first = at.min(*first);
            *end = (at + piece.len).max(*end);
        }
        self
    }

    /// What must be bound, in bytes: whole words.
    fn bindings(self, sizes: Sizes, bounds: Bounds) -> Roles<Range<u64>> {
        Roles(std::array::from_fn(|role| {
            let (first, end) = self.0[role];
            let first = first * sizes.0[role];
            first - first % bounds.alignment..(end * sizes.0[role]).next_multiple_of(WORD)
        }))
    }

    fn fits(self, sizes: Sizes, bounds: Bounds) -> bool {
        self.bindings(sizes, bounds).0.iter().all(|bytes| bytes.end - bytes.start <= bounds.binding)
    }
}

fn launch(pieces: &[Piece], span: Span, width: Width, sizes: Sizes, bounds: Bounds) -> Launch {
    let bindings = span.bindings(sizes, bounds);
    // A binding is at most 2³² − 4 bytes, so whatever is counted inside it fits u32.
    let reals = |elements: u64| (elements / width.elements()) as u32;
    let first = (bindings[Role::Param].start / sizes[Role::Param]) as u32;
    let place = |piece: Piece| {
        let first = |role: usize| piece.at.0[role] - bindings.0[role].start / sizes.0[role];
        Roles(std::array::from_fn(|role| reals(first(role))))
    };
    // As far apart in every piece of a launch.
    let any = place(pieces[0]);
    let beside = BESIDE.map(|(role, of)| any[role].wrapping_sub(any[of]));
    if let &[piece] = pieces {
        let chunk = Chunk { at: place(piece), length: reals(piece.len), block: piece.block };
        let grid = grid(piece.chunks(width, bounds, 0), bounds);
        return Launch { width, bindings, beside, first, work: Work::Direct { chunk }, grid };
    }
    let shift = shift(pieces, width, bounds);
    let chunk = chunk(width, bounds, shift);
    let mut chunks = Vec::new();
    for piece in pieces {
        for i in 0..piece.chunks(width, bounds, shift) {
            let part = piece.part(i * chunk, chunk.min(piece.len - i * chunk));
            chunks.push(Chunk { at: place(part), length: reals(part.len), block: part.block });
        }
    }
    let grid = grid((chunks.len() as u64) << shift, bounds);
    Launch { width, bindings, beside, first, work: Work::Table { chunks, shift }, grid }
}

/// A grid of at least `workgroups`, in as few rows as the device allows, and no longer than needed.
fn grid(workgroups: u64, bounds: Bounds) -> [u32; 2] {
    let rows = workgroups.div_ceil(bounds.workgroups);
    [workgroups.div_ceil(rows) as u32, rows as u32]
}

#[cfg(test)]
mod tests;
