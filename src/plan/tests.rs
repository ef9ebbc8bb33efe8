//! Launches, run as the shaders run them: what they touch, and what they bind.

mod cuts;
mod layouts;
mod sizes;

use super::*;

const DEFAULT: Bounds = Bounds {
    binding: 128 << 20,
    table: 128 << 20,
    alignment: 256,
    workgroups: 65535,
    invocations: 256,
    each: 1,
};
const TINY: Bounds =
    Bounds { binding: 1024, table: 512, alignment: 256, workgroups: 3, invocations: 8, each: 1 };

/// An element that a launch touches.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Touch {
    /// Its place in the buffer of each operand, in elements.
    at: Each<u64>,
    block: u32,
    owner: u32,
    /// Its place in its owner; 0 if it is anyone's.
    from: u64,
}

/// Pieces that a launch may have in common, and their shape.
#[derive(Clone, Debug)]
struct Layout {
    shape: Shape,
    pieces: Vec<Piece>,
}

/// The shape of operands of these sizes, of which none shares a buffer with another.
fn shape(sizes: Each<u64>) -> Shape {
    let follows = std::array::from_fn(|operand| operand);
    Shape {
        sizes,
        follows,
        joined: false,
        apart: Vec::new(),
        unit: None,
        tables: false,
        in_blocks: false,
    }
}

/// A piece that is anyone's.
fn piece(at: Each<u64>, len: u64, block: u32) -> Piece {
    Piece { at, len, block, owner: ANYONE, from: 0 }
}

/// How many workgroups a launch needs.
fn workgroups(launch: &Launch, bounds: Bounds) -> u64 {
    match launch.shift {
        None => u64::from(launch.chunks[0].length).div_ceil(bounds.invocations * bounds.each),
        Some(shift) => (launch.chunks.len() as u64) << shift,
    }
}

/// The chunks of a launch, each of which no more workgroups go through than it is meant for.
fn chunks(launch: &Launch, bounds: Bounds) -> &[Chunk] {
    let [x, y] = launch.grid.map(u64::from);
    let workgroup = bounds.invocations * bounds.each;
    let chunks = &launch.chunks;
    match launch.shift {
        None => {
            assert_eq!(chunks.len(), 1);
            assert!(u64::from(chunks[0].length) <= x * y * workgroup, "the grid is too small");
        }
        Some(shift) => {
            assert!((chunks.len() as u64) << shift <= x * y, "the grid is too small");
            assert!(chunks.len() as u64 * 16 <= bounds.table, "the table is too large to bind");
            for chunk in chunks {
                assert!(u64::from(chunk.length) <= workgroup << shift);
                assert!(chunk.length <= u32::from(u16::MAX), "a row has 16 bits for it");
            }
        }
    }
    chunks
}

/// The grid and the bindings respect the limits, and no two bindings overlap that must not.
fn check_bindings(launch: &Launch, shape: &Shape, bounds: Bounds) {
    let [x, y] = launch.grid.map(u64::from);
    assert!(x >= 1 && y >= 1 && x <= bounds.workgroups && y <= bounds.workgroups);
    let idle = x * y - workgroups(launch, bounds);
    assert!(idle < y, "{idle} workgroups find nothing to do");
    for (operand, (bytes, size)) in launch.bindings.iter().zip(shape.sizes).enumerate() {
        assert_eq!(bytes.start % bounds.alignment, 0);
        let len = bytes.end - bytes.start;
        assert!(len > 0 && len <= bounds.binding, "{bytes:?}");
        // Whole elements of the shader's array: quads, or single words.
        let loose = operand == GRAD && launch.width == Width::Loose;
        let wide =
            if loose || operand != looked_at(shape, operand) { 1 } else { launch.width.elements() };
        assert_eq!(len % (wide * size).max(WORD), 0);
    }
    for &(one, two) in &shape.apart {
        let [one, two] = [one, two].map(|operand| &launch.bindings[operand]);
        assert!(one.end <= two.start || two.end <= one.start, "{one:?} and {two:?} overlap");
    }
    if shape.joined {
        assert_eq!(launch.bindings[PARAM], launch.bindings[GRAD], "one binding spans both");
    }
    let first = launch.bindings[PARAM].start / shape.sizes[PARAM];
    assert_eq!(launch.first, first);
    assert!(launch.shift.is_some() || !shape.tables, "a launch without a table");
}

/// The operand whose place a kernel looks at for this one: a norm has gradients only.
fn looked_at(shape: &Shape, operand: usize) -> usize {
    if shape.unit.is_none() { operand } else { GRAD }
}

/// Runs launches as the shaders do and returns every element that they touch.
fn touched(launches: &[Launch], shape: &Shape, bounds: Bounds) -> Vec<Touch> {
    let mut all = Vec::new();
    for launch in launches {
        check_bindings(launch, shape, bounds);
        let wide = launch.width.elements();
        for chunk in chunks(launch, bounds) {
            // The shader has the others from these.
            for (operand, of) in shape.follows.into_iter().enumerate() {
                let distance = launch.distances[operand];
                assert_eq!(chunk.at[of].wrapping_add(distance), chunk.at[operand], "{operand}");
            }
            for element in 0..u64::from(chunk.length) * wide {
                let (real, lane) = (element / wide, element % wide);
                let place = |operand: usize| {
                    let (bytes, size) = (&launch.bindings[operand], shape.sizes[operand]);
                    let first = u64::from(chunk.at[operand]);
                    // A gradient of another phase is counted in elements.
                    let inside = match operand == GRAD && launch.width == Width::Loose {
                        true => first + real * QUAD + lane,
                        false => (first + real) * wide + lane,
                    };
                    let byte = bytes.start + inside * size;
                    assert!(byte + size <= bytes.end, "outside its binding");
                    byte / size
                };
                let at = std::array::from_fn(|operand| place(looked_at(shape, operand)));
                let Chunk { block, owner, from, .. } = *chunk;
                let from = if owner == ANYONE { 0 } else { from + element };
                all.push(Touch { at, block, owner, from });
            }
        }
    }
    all
}

/// Every element of the pieces is touched exactly once, with its own gradient and state, and the owner knows it.
fn check(layout: &Layout, bounds: Bounds) {
    let Layout { shape, pieces } = layout;
    let element = |piece: &Piece, i: u64| Touch {
        at: piece.at.map(|at| at + i),
        block: piece.block,
        owner: piece.owner,
        from: if piece.owner == ANYONE { 0 } else { piece.from + i },
    };
    let all = pieces.iter().flat_map(|piece| (0..piece.len).map(move |i| element(piece, i)));
    let mut expected: Vec<Touch> = all.collect();
    let mut actual = touched(&launches(pieces.clone(), shape, bounds), shape, bounds);
    expected.sort_unstable();
    actual.sort_unstable();
    assert_eq!(actual.len(), expected.len());
    let different = actual.iter().zip(&expected).find(|(one, other)| one != other);
    assert_eq!(different, None);
}
