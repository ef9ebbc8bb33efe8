use proptest::prelude::*;

use super::*;

const DEFAULT: Bounds =
    Bounds { binding: 128 << 20, alignment: 256, workgroups: 65535, invocations: 256, each: 1 };
const TINY: Bounds =
    Bounds { binding: 1024, alignment: 256, workgroups: 3, invocations: 8, each: 1 };

/// How many workgroups a launch needs.
fn workgroups(launch: &Launch, bounds: Bounds) -> u64 {
    match &launch.work {
        Work::Direct { chunk } => {
            u64::from(chunk.length).div_ceil(bounds.invocations * bounds.each)
        }
        Work::Table { chunks, shift } => (chunks.len() as u64) << shift,
    }
}

/// Runs launches as the shaders do and returns every (param, grad, state, block) they touch.
fn touched(launches: &[Launch], sizes: Sizes, bounds: Bounds) -> Vec<(Vec<u64>, u32)> {
    let mut all = Vec::new();
    for launch in launches {
        let width = launch.width;
        let [x, y] = launch.grid.map(u64::from);
        assert!(x >= 1 && y >= 1 && x <= bounds.workgroups && y <= bounds.workgroups);
        let idle = x * y - workgroups(launch, bounds);
        assert!(idle < y, "{idle} workgroups find nothing to do");
        for (bytes, size) in launch.bindings.0.iter().zip(sizes.0) {
            assert!(bytes.start % bounds.alignment == 0);
            assert!(bytes.end - bytes.start <= bounds.binding);
            // Whole elements of the shader's array: quadruples, or single words.
            let element = (width.elements() * size).max(WORD);
            assert!((bytes.end - bytes.start) % element == 0);
        }
        let mut visit = |at: Roles<u32>, real: u64, block: u32| {
            // The shader has the last three from this.
            for ((role, of), far) in BESIDE.into_iter().zip(launch.beside) {
                assert_eq!(at[of].wrapping_add(far), at[role], "{role:?}");
            }
            let first = launch.bindings[Role::Param].start / sizes[Role::Param];
            assert_eq!(u64::from(launch.first), first);
            for element in 0..width.elements() {
                let roles = at.0.iter().zip(sizes.0).zip(&launch.bindings.0);
                let place: Vec<u64> = roles
                    .map(|((at, size), bytes)| {
                        let inside = (u64::from(*at) + real) * width.elements() + element;
                        let byte = bytes.start + inside * size;
                        assert!(byte + size <= bytes.end, "outside its binding");
                        byte / size
                    })
                    .collect();
                all.push((place, block));
            }
        };
        match &launch.work {
            Work::Direct { chunk: Chunk { at, length, block } } => {
                assert!(u64::from(*length) <= x * y * bounds.invocations * bounds.each);
                (0..u64::from(*length)).for_each(|i| visit(*at, i, *block));
            }
            Work::Table { chunks, shift } => {
                assert!((chunks.len() as u64) << shift <= x * y);
                assert!(chunks.len() as u64 * 16 <= bounds.binding);
                for Chunk { at, length, block } in chunks {
                    assert!(u64::from(*length) <= (bounds.invocations * bounds.each) << shift);
                    assert!(u64::from(*length) <= u64::from(u16::MAX));
                    (0..u64::from(*length)).for_each(|i| visit(*at, i, *block));
                }
            }
        }
    }
    all
}

/// Every element of `views` is updated exactly once, from its own gradient and state.
fn check(views: &[Piece], sizes: Sizes, bounds: Bounds) {
    let mut expected: Vec<_> = views
        .iter()
        .flat_map(|view| (0..view.len).map(|i| (view.at.0.map(|at| at + i).to_vec(), view.block)))
        .collect();
    let mut actual = touched(&launches(views.to_vec(), sizes, bounds), sizes, bounds);
    expected.sort_unstable();
    actual.sort_unstable();
    assert_eq!(actual, expected);
}

const F32: Sizes = Roles([4; ROLES]);

fn sizes() -> impl Strategy<Value = Sizes> {
    [(); ROLES].map(|()| prop_oneof![Just(4), Just(2)]).prop_map(Roles)
}

/// Views that overlap neither in the parameters nor in the state; gradients anywhere, copies as far from
/// each parameter.
fn views() -> impl Strategy<Value = Vec<Piece>> {
    let view = (0u64..9, 1u64..700, 0u64..3000, 0u32..4, any::<bool>());
    let views = (prop::collection::vec(view, 1..12), prop_oneof![Just(0), 0u64..2000]);
    views.prop_map(|(rows, copy)| {
        let (mut param, mut state) = (0, 0);
        rows.into_iter()
            .map(|(gap, len, grad, block, in_phase)| {
                param += gap;
                // As the optimizer does: the state in phase with its parameter.
                state += (param + QUAD - state % QUAD) % QUAD;
                let grad = if in_phase { grad / QUAD * QUAD + param % QUAD } else { grad };
                let at = Roles::of(param, grad, state).with(Role::Copy, param + copy);
                let piece = Piece { at, len, block };
                param += len;
                state += len;
                piece
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn every_element_once_under_tiny_limits(views in views(), sizes in sizes()) {
        check(&views, sizes, TINY);
    }

    #[test]
    fn every_element_once_with_many_to_an_invocation(views in views(), sizes in sizes()) {
        check(&views, sizes, Bounds { each: 16, ..TINY });
        check(&views, sizes, Bounds { each: 16, ..DEFAULT });
    }

    #[test]
    fn every_element_once_under_default_limits(views in views(), sizes in sizes()) {
        check(&views, sizes, DEFAULT);
    }
}

#[test]
fn one_aligned_view_is_one_direct_launch() {
    let view = Piece { at: Roles::of(64, 128, 0), len: 1 << 20, block: 0 };
    let launches = launches(vec![view], F32, DEFAULT);
    assert_eq!(launches.len(), 1);
    assert_eq!(launches[0].width, Width::Vec4);
    assert!(matches!(launches[0].work, Work::Direct { chunk } if chunk.length == 262_144));
}

/// Views of these lengths and blocks, one after the other without gaps.
fn packed(views: impl IntoIterator<Item = (u64, u32)>) -> Vec<Piece> {
    let mut at = 0;
    let piece = |(len, block)| {
        let piece = Piece { at: Roles([at; ROLES]), len, block };
        at += len;
        piece
    };
    views.into_iter().map(piece).collect()
}

#[test]
fn ten_thousand_views_of_an_arena_are_two_launches() {
    let views = packed((0..10_000).map(|i| (1 + i % 97, (i % 7) as u32)));
    let launches = launches(views, F32, DEFAULT);
    let widths: Vec<_> = launches.iter().map(|launch| launch.width).collect();
    assert_eq!(widths, [Width::Vec4, Width::Scalar]);
}

#[test]
fn adjoining_views_of_one_block_are_one_piece() {
    let one = launches(packed((0..1000).map(|i| (1 + i % 97, 0))), F32, DEFAULT);
    let whole = launches(packed([((0..1000).map(|i| 1 + i % 97).sum(), 0)]), F32, DEFAULT);
    assert_eq!(one, whole);
}

#[test]
fn long_views_share_a_row_of_the_table_among_workgroups_and_short_ones_do_not() {
    for (len, shift) in [(8192, 3), (1 << 18, 4), (1000, 0), (3000, 0), (5000, 1)] {
        let launches = launches(packed((0..64).map(|i| (len, i % 2))), F32, DEFAULT);
        let Work::Table { chunks, shift: found } = &launches[0].work else {
            panic!("{len}: {:?}", launches[0].work)
        };
        assert_eq!(*found, shift, "{len}");
        assert_eq!(chunks.len() as u64, 64 * len.div_ceil(1024 << shift), "{len}");
    }
}

#[test]
fn more_workgroups_than_one_row_holds() {
    let view = Piece { at: Roles([0; ROLES]), len: 65_536 * 1024, block: 0 };
    let bounds = Bounds { binding: 1 << 30, ..DEFAULT };
    let launches = launches(vec![view], F32, bounds);
    assert_eq!(launches.len(), 1);
    // Not two rows of 65 535, of which nearly half would find nothing to do.
    assert_eq!(launches[0].grid, [32_768, 2]);
}

#[test]
fn a_view_longer_than_a_binding_is_cut() {
    let view = Piece { at: Roles::of(1, 5, 1), len: 40_000_000, block: 0 };
    let launches = launches(vec![view], F32, DEFAULT);
    let lengths = launches.iter().map(|launch| match &launch.work {
        Work::Direct { chunk } => (launch.width, u64::from(chunk.length) * launch.width.elements()),
        Work::Table { .. } => panic!("{launch:?}"),
    });
    let lengths: Vec<_> = lengths.collect();
    // What a binding of 128 MiB that starts one alignment early can hold, the rest, and the ends.
    let most = (128 << 20 >> 2) - 64;
    let body = 40_000_000 - 4;
    assert_eq!(
        lengths,
        [(Width::Vec4, most), (Width::Vec4, body - most), (Width::Scalar, 3), (Width::Scalar, 1)]
    );
}
