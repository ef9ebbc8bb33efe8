//! How many launches there are, and how large.

use super::*;

const F32: Each<u64> = [4; MOST];

/// A piece whose operands repeat its parameter, its gradient and its state.
fn of(param: u64, grad: u64, state: u64, len: u64) -> Piece {
    let mut at = [state; MOST];
    (at[PARAM], at[GRAD]) = (param, grad);
    piece(at, len, 0)
}

#[test]
fn one_aligned_view_is_one_direct_launch() {
    let launches = launches(vec![of(64, 128, 0, 1 << 20)], &shape(F32), DEFAULT);
    assert_eq!(launches.len(), 1);
    assert_eq!(launches[0].width, Width::Vec4);
    assert_eq!(launches[0].shift, None);
    assert_eq!(launches[0].chunks[0].length, 262_144);
}

#[test]
fn a_gradient_of_another_phase_goes_by_quads_all_the_same() {
    let launches = launches(vec![of(64, 129, 0, 4096)], &shape(F32), DEFAULT);
    let widths: Vec<_> = launches.iter().map(|launch| launch.width).collect();
    assert_eq!(widths, [Width::Loose]);
    // Joined, there is but one way to read the binding.
    let joined = Shape { joined: true, ..shape(F32) };
    let launches = super::launches(vec![of(64, 8193, 0, 4096)], &joined, DEFAULT);
    let widths: Vec<_> = launches.iter().map(|launch| launch.width).collect();
    assert_eq!(widths, [Width::Scalar]);
}

/// Views of these lengths and blocks, one after the other without gaps.
fn packed(views: impl IntoIterator<Item = (u64, u32)>) -> Vec<Piece> {
    let mut at = 0;
    let piece = |(len, block)| {
        let piece = piece([at; MOST], len, block);
        at += len;
        piece
    };
    views.into_iter().map(piece).collect()
}

#[test]
fn ten_thousand_views_of_an_arena_are_two_launches() {
    let views = packed((0..10_000).map(|i| (1 + i % 97, (i % 7) as u32)));
    let launches = launches(views, &shape(F32), DEFAULT);
    let widths: Vec<_> = launches.iter().map(|launch| launch.width).collect();
    assert_eq!(widths, [Width::Vec4, Width::Scalar]);
}

#[test]
fn adjoining_views_of_one_block_are_one_piece() {
    let one = launches(packed((0..1000).map(|i| (1 + i % 97, 0))), &shape(F32), DEFAULT);
    let total = (0..1000).map(|i| 1 + i % 97).sum();
    let whole = launches(packed([(total, 0)]), &shape(F32), DEFAULT);
    assert_eq!(one, whole);
}

#[test]
fn views_with_owners_stay_apart_and_have_a_table() {
    let mut views = packed([(64, 0), (64, 0)]);
    (0..).zip(&mut views).for_each(|(index, piece)| piece.owner = index);
    let shape = Shape { tables: true, ..shape(F32) };
    for pieces in [views.clone(), views[..1].to_vec()] {
        let launches = launches(pieces.clone(), &shape, DEFAULT);
        assert!(launches[0].shift.is_some(), "{launches:?}");
        let owners: Vec<_> = launches[0].chunks.iter().map(|chunk| chunk.owner).collect();
        assert_eq!(owners, (0..pieces.len() as u32).collect::<Vec<_>>());
    }
}

#[test]
fn long_views_share_a_row_of_the_table_among_workgroups_and_short_ones_do_not() {
    for (len, shift) in [(8192, 3), (1 << 18, 4), (1000, 0), (3000, 0), (5000, 1)] {
        let launches = launches(packed((0..64).map(|i| (len, i % 2))), &shape(F32), DEFAULT);
        assert_eq!(launches[0].shift, Some(shift), "{len}");
        assert_eq!(launches[0].chunks.len() as u64, 64 * len.div_ceil(1024 << shift), "{len}");
    }
}

#[test]
fn more_workgroups_than_one_row_holds() {
    let bounds = Bounds { binding: 1 << 30, ..DEFAULT };
    let launches = launches(packed([(65_536 * 1024, 0)]), &shape(F32), bounds);
    assert_eq!(launches.len(), 1);
    // Not two rows of 65 535, of which nearly half would find nothing to do.
    assert_eq!(launches[0].grid, [32_768, 2]);
}

#[test]
fn a_view_longer_than_a_binding_is_cut() {
    let launches = launches(vec![of(1, 5, 1, 40_000_000)], &shape(F32), DEFAULT);
    let lengths = launches.iter().map(|launch| {
        assert_eq!(launch.shift, None, "{launch:?}");
        (launch.width, u64::from(launch.chunks[0].length) * launch.width.elements())
    });
    let lengths: Vec<_> = lengths.collect();
    // The pieces: as many as a binding of 128 MiB that starts one alignment early can hold, the rest, and the ends.
    let most = (128 << 20 >> 2) - 64;
    let body = 40_000_000 - 4;
    assert_eq!(
        lengths,
        [(Width::Vec4, most), (Width::Vec4, body - most), (Width::Scalar, 3), (Width::Scalar, 1)]
    );
}

/// Parameters beside gradients in one buffer take a launch each where bindings would overlap, and only there.
#[test]
fn as_few_launches_as_bindings_that_are_apart_allow() {
    let apart = Shape { apart: vec![(PARAM, GRAD)], ..shape(F32) };
    let pairs =
        |stride: u64| (0..10).map(move |i| of(2 * i * stride, (2 * i + 1) * stride, i * 64, 64));
    assert_eq!(launches(pairs(64).collect(), &apart, DEFAULT).len(), 10);
    let regions = (0..10).map(|i| of(64 * i, 640 + 64 * i, 64 * i, 64));
    assert_eq!(launches(regions.collect(), &apart, DEFAULT).len(), 1);
    assert_eq!(launches(pairs(64).collect(), &shape(F32), DEFAULT).len(), 1);
}
