//! Random layouts: every element once, under tiny limits and under the default ones.

use proptest::prelude::*;

use super::*;

/// Columns of a chunk.
const COLUMNS: usize = 3;

/// Bytes of an element: of every operand that has a column, or of all.
fn size() -> impl Strategy<Value = u64> {
    prop_oneof![Just(4_u64), Just(2)]
}

fn sizes() -> impl Strategy<Value = Each<u64>> {
    [(); MOST].map(|()| size())
}

/// One parameter: the gap before it, its length, where its gradient lies and whether at its phase, its block, and
/// whether it is merged with others.
type Row = (u64, u64, u64, bool, u32, bool);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (0u64..9, 1u64..700, 0u64..3000, any::<bool>(), 0u32..4, any::<bool>());
    prop::collection::vec(row, 1..12)
}

/// The state begins in phase with its parameter, as the optimizer has it.
fn in_phase(end: u64, param: u64) -> u64 {
    end + (QUAD + param % QUAD - end % QUAD) % QUAD
}

/// Parameters and states that do not overlap, gradients anywhere, and other operands at constant distances.
fn separate() -> impl Strategy<Value = Layout> {
    let follower = (prop_oneof![Just(PARAM), Just(STATE)], 0u64..2000, any::<bool>());
    let followers = [(); MOST - COLUMNS].map(|()| follower.clone());
    (rows(), sizes(), followers, any::<bool>()).prop_map(|(rows, mut sizes, followers, tables)| {
        let mut follows: Each<usize> = std::array::from_fn(|operand| operand);
        let mut distances: Each<u64> = [0; MOST];
        for (operand, (of, distance, absent)) in (COLUMNS..).zip(followers) {
            (follows[operand], distances[operand]) = (of, distance);
            if absent {
                // It repeats the operand that it follows.
                (sizes[operand], distances[operand]) = (sizes[of], 0);
            }
        }
        let (mut param, mut state) = (0, 0);
        let piece = |(index, (gap, len, grad, phase, block, owned)): (usize, Row)| {
            param += gap;
            state = in_phase(state, param);
            let grad = if phase { grad / QUAD * QUAD + param % QUAD } else { grad };
            let columns = [param, grad, state];
            let at = std::array::from_fn(|operand| columns[follows[operand]] + distances[operand]);
            (param, state) = (param + len, state + len);
            Piece { owner: if owned { index as u32 } else { ANYONE }, ..piece(at, len, block) }
        };
        let pieces = rows.into_iter().enumerate().map(piece).collect();
        Layout { shape: Shape { follows, tables, ..shape(sizes) }, pieces }
    })
}

/// Where a view may begin whose binding begins behind `end` bytes, by itself: an element of `size` bytes.
fn behind(end: u64, more: u64, size: u64, alignment: u64) -> u64 {
    (end.next_multiple_of(WORD).next_multiple_of(alignment) + more * size) / size
}

/// Parameters, gradients and copies in one buffer: a parameter beside its gradient, in any order, and a copy of all
/// of them behind the last. No binding of one parameter need overlap another.
fn shared(alignment: u64) -> impl Strategy<Value = Layout> {
    let pair = (1u64..300, 0u64..20, 0u64..20, any::<bool>(), 0u32..4);
    let all = (prop::collection::vec(pair, 1..12), [size(), size(), size()]);
    all.prop_map(move |(pairs, [of_param, of_grad, of_copy])| {
        let copy = 5;
        let (mut end, mut state) = (0_u64, 0);
        let mut pieces = Vec::new();
        for (len, gap, more, grad_first, block) in pairs {
            let (one, two) = if grad_first { (of_grad, of_param) } else { (of_param, of_grad) };
            // Nothing of another parameter's needs to be apart from this one's.
            let first = end.next_multiple_of(WORD) / one + gap;
            let second = behind((first + len) * one, more, two, alignment);
            end = (second + len) * two;
            let (param, grad) = if grad_first { (second, first) } else { (first, second) };
            state = in_phase(state, param);
            let mut at = [state; MOST];
            (at[PARAM], at[GRAD]) = (param, grad);
            state += len;
            pieces.push(piece(at, len, block));
        }
        let distance = behind(end, 0, of_copy, alignment);
        pieces.iter_mut().for_each(|piece| piece.at[copy] = piece.at[PARAM] + distance);
        let mut sizes = [4; MOST];
        (sizes[PARAM], sizes[GRAD], sizes[copy]) = (of_param, of_grad, of_copy);
        let mut follows = [STATE; MOST];
        (follows[PARAM], follows[GRAD], follows[copy]) = (PARAM, GRAD, PARAM);
        let apart = vec![(PARAM, GRAD), (PARAM, copy), (GRAD, copy)];
        Layout { shape: Shape { follows, apart, ..shape(sizes) }, pieces }
    })
}

/// Parameters and gradients of one format in one buffer, however near, and each pair within one binding.
fn joined(bounds: Bounds) -> impl Strategy<Value = Layout> {
    let longest = ((bounds.binding - bounds.alignment) / 10).min(2000);
    let pair = (1..longest, 0u64..5, 0u64..5, any::<bool>(), 0u32..4);
    (prop::collection::vec(pair, 1..12), size()).prop_map(move |(pairs, size)| {
        let (mut end, mut state) = (0_u64, 0);
        let piece = |(len, gap, more, grad_first, block): (u64, u64, u64, bool, u32)| {
            let first = end + gap;
            let second = first + len + more;
            end = second + len;
            assert!((end - first) * size + bounds.alignment <= bounds.binding);
            let (param, grad) = if grad_first { (second, first) } else { (first, second) };
            state = in_phase(state, param);
            let mut at = [state; MOST];
            (at[PARAM], at[GRAD]) = (param, grad);
            state += len;
            piece(at, len, block)
        };
        let pieces = pairs.into_iter().map(piece).collect();
        let mut sizes = [4; MOST];
        (sizes[PARAM], sizes[GRAD]) = (size, size);
        let follows = std::array::from_fn(|operand| operand.min(STATE));
        Layout { shape: Shape { follows, joined: true, ..shape(sizes) }, pieces }
    })
}

/// Gradients as a norm sees them: cut from each one's start, and each its own.
fn from_starts(span: u64) -> impl Strategy<Value = Layout> {
    let grads = prop::collection::vec((0u64..3000, 1u64..700), 1..12);
    (grads, size(), any::<bool>()).prop_map(move |(grads, size, tables)| {
        let own = |(index, (at, len)): (usize, (u64, u64))| {
            let owner = index as u32;
            Piece { owner, ..piece([at; MOST], len, 0) }
        };
        let pieces = grads.into_iter().enumerate().map(own).collect();
        let shape = Shape { unit: Some(span), tables, ..shape([size; MOST]) };
        Layout { shape, pieces }
    })
}

const MANY: Bounds = Bounds { each: 16, ..TINY };

proptest! {
    #[test]
    fn every_element_once_under_tiny_limits(layout in separate()) {
        check(&layout, TINY);
        check(&layout, Bounds { invocations: 1, ..TINY });
    }

    #[test]
    fn every_element_once_with_many_to_an_invocation(layout in separate()) {
        check(&layout, MANY);
        check(&layout, Bounds { each: 16, ..DEFAULT });
    }

    #[test]
    fn every_element_once_under_default_limits(layout in separate()) {
        check(&layout, DEFAULT);
    }

    #[test]
    fn operands_of_one_buffer_are_bound_apart(layout in shared(256)) {
        for piece in &layout.pieces {
            let bytes = |operand: usize| {
                let size = layout.shape.sizes[operand];
                piece.at[operand] * size..(piece.at[operand] + piece.len) * size
            };
            for &(one, two) in &layout.shape.apart {
                prop_assert!(can_be_apart(bytes(one), bytes(two), 256));
            }
        }
        check(&layout, TINY);
        check(&layout, DEFAULT);
    }

    #[test]
    fn a_joined_binding_spans_parameters_and_gradients(layout in joined(TINY)) {
        check(&layout, TINY);
    }

    #[test]
    fn a_joined_binding_spans_long_ones_too(layout in joined(DEFAULT)) {
        check(&layout, DEFAULT);
    }

    #[test]
    fn every_gradient_once_from_its_start(layout in from_starts(QUAD * 8 * 2)) {
        check(&layout, Bounds { each: 2, ..TINY });
        check(&layout, Bounds { each: 16, ..DEFAULT });
    }

    /// Two views can be bound apart if and only if a launch over both alone binds them without an overlap.
    #[test]
    fn what_can_be_apart_is_what_a_launch_can_bind(
        [one, two] in [0u64..2000, 0u64..2000],
        len in 1u64..300,
        [of_one, of_two] in [size(), size()],
    ) {
        // A state of another phase: one launch, element by element.
        let mut at = [one + 1; MOST];
        (at[PARAM], at[GRAD]) = (one, two);
        let mut sizes = [4; MOST];
        (sizes[PARAM], sizes[GRAD]) = (of_one, of_two);
        let [a, b] = [(one, of_one), (two, of_two)].map(|(at, size)| at * size..(at + len) * size);
        let launches = launches(vec![piece(at, len, 0)], &shape(sizes), DEFAULT);
        prop_assert_eq!(launches.len(), 1);
        let [c, d] = [PARAM, GRAD].map(|operand| launches[0].bindings[operand].clone());
        prop_assert_eq!(can_be_apart(a, b, 256), c.end <= d.start || d.end <= c.start);
    }
}
