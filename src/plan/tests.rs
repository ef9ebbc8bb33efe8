use proptest::prelude::*;

use super::*;

const DEFAULT: Bounds =
    Bounds { binding: 128 << 20, alignment: 256, workgroups: 65535, invocations: 256 };
const TINY: Bounds = Bounds { binding: 1024, alignment: 256, workgroups: 3, invocations: 8 };

/// Runs launches as the shaders do and returns every (param, grad, state, block) they touch.
fn touched(launches: &[Launch], width: Width, bounds: Bounds) -> Vec<([u64; ROLES], u32)> {
    let mut all = Vec::new();
    for launch in launches {
        let [x, y] = launch.grid.map(u64::from);
        assert!(x >= 1 && y >= 1 && x <= bounds.workgroups && y <= bounds.workgroups);
        for bytes in &launch.bindings {
            assert!(bytes.start % bounds.alignment == 0);
            assert!(bytes.end - bytes.start <= bounds.binding);
            assert!((bytes.end - bytes.start) % (width.elements() * ELEMENT) == 0);
        }
        let mut visit = |at: [u32; ROLES], real: u64, block: u32| {
            for element in 0..width.elements() {
                let mut place = [0; ROLES];
                for role in 0..ROLES {
                    let inside = (u64::from(at[role]) + real) * width.elements() + element;
                    let byte = launch.bindings[role].start + inside * ELEMENT;
                    assert!(byte + ELEMENT <= launch.bindings[role].end, "outside its binding");
                    place[role] = byte / ELEMENT;
                }
                all.push((place, block));
            }
        };
        match &launch.work {
            Work::Direct { at, length, block } => {
                assert!(u64::from(*length) <= x * y * bounds.invocations);
                (0..u64::from(*length)).for_each(|i| visit(*at, i, *block));
            }
            Work::Table { chunks } => {
                assert!(chunks.len() as u64 <= x * y);
                assert!(chunks.len() as u64 * 16 <= bounds.binding);
                for &[param, grad, state, last] in chunks {
                    assert!(u64::from(last & 0xffff) <= bounds.invocations);
                    let length = u64::from(last & 0xffff);
                    (0..length).for_each(|i| visit([param, grad, state], i, last >> 16));
                }
            }
        }
    }
    all
}

/// Every element of `views` is updated exactly once, from its own gradient and state.
fn check(views: &[Piece], bounds: Bounds) {
    let mut expected: Vec<_> = views
        .iter()
        .flat_map(|view| (0..view.len).map(|i| (view.at.map(|at| at + i), view.block)))
        .collect();
    let mut actual = Vec::new();
    for width in [Width::Vec4, Width::Scalar] {
        let pieces = views.iter().flat_map(|view| view.split());
        let pieces = pieces.filter(|(w, _)| *w == width).map(|(_, piece)| piece).collect();
        actual.extend(touched(&launches(pieces, width, bounds), width, bounds));
    }
    expected.sort_unstable();
    actual.sort_unstable();
    assert_eq!(actual, expected);
}

/// Views that overlap neither in the parameters nor in the state; gradients anywhere.
fn views() -> impl Strategy<Value = Vec<Piece>> {
    let view = (0u64..9, 1u64..700, 0u64..3000, 0u32..4, any::<bool>());
    prop::collection::vec(view, 1..12).prop_map(|rows| {
        let (mut param, mut state) = (0, 0);
        rows.into_iter()
            .map(|(gap, len, grad, block, in_phase)| {
                param += gap;
                // As the optimizer does: the state in phase with its parameter.
                state += (param + QUAD - state % QUAD) % QUAD;
                let grad = if in_phase { grad / QUAD * QUAD + param % QUAD } else { grad };
                let piece = Piece { at: [param, grad, state], len, block };
                param += len;
                state += len;
                piece
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn every_element_once_under_tiny_limits(views in views()) {
        check(&views, TINY);
    }

    #[test]
    fn every_element_once_under_default_limits(views in views()) {
        check(&views, DEFAULT);
    }
}

#[test]
fn one_aligned_view_is_one_direct_launch() {
    let view = Piece { at: [64, 128, 0], len: 1 << 20, block: 0 };
    let pieces: Vec<_> = view.split().collect();
    assert_eq!(pieces, [(Width::Vec4, view)]);
    let launches = launches(vec![view], Width::Vec4, DEFAULT);
    assert_eq!(launches.len(), 1);
    assert!(matches!(launches[0].work, Work::Direct { length: 262_144, .. }));
}

#[test]
fn ten_thousand_views_of_an_arena_are_two_launches() {
    let mut at = 0;
    let views = (0..10_000).map(|i| {
        let piece = Piece { at: [at, at, at], len: 1 + i % 97, block: (i % 7) as u32 };
        at += piece.len;
        piece
    });
    let pieces: Vec<_> = views.flat_map(Piece::split).collect();
    for width in [Width::Vec4, Width::Scalar] {
        let pieces = pieces.iter().filter(|(w, _)| *w == width).map(|(_, piece)| *piece);
        assert_eq!(launches(pieces.collect(), width, DEFAULT).len(), 1);
    }
}

#[test]
fn more_workgroups_than_one_row_holds() {
    let view = Piece { at: [0; ROLES], len: 65_536 * 1024, block: 0 };
    let bounds = Bounds { binding: 1 << 30, ..DEFAULT };
    let launches = launches(vec![view], Width::Vec4, bounds);
    assert_eq!(launches.len(), 1);
    assert_eq!(launches[0].grid, [65_535, 2]);
}

#[test]
fn a_view_longer_than_a_binding_is_cut() {
    let view = Piece { at: [1, 5, 1], len: 40_000_000, block: 0 };
    let body = view.split().find(|(width, _)| *width == Width::Vec4).unwrap().1;
    let launches = launches(vec![body], Width::Vec4, DEFAULT);
    assert_eq!(launches.len(), 2);
    let covered: u64 = launches
        .iter()
        .map(|launch| match launch.work {
            Work::Direct { length, .. } => u64::from(length) * QUAD,
            Work::Table { .. } => unreachable!(),
        })
        .sum();
    assert_eq!(covered, body.len);
}
