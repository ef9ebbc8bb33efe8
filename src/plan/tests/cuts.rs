//! The order of a norm's sums: it depends on a gradient's length, not on its address.

use proptest::prelude::*;

use super::*;

/// The share of a workgroup in a sum: its first element in the gradient, how many, and whether they are single ones.
type Part = (u64, u64, bool);

/// The parts of a gradient at `at`, and the widths that there are.
fn parts(at: u64, len: u64, size: u64, bounds: Bounds) -> (Vec<Part>, Vec<Width>) {
    let span = QUAD * bounds.invocations * bounds.each;
    let shape = Shape { unit: Some(span), ..shape([size; MOST]) };
    let own = Piece { owner: 7, ..piece([at; MOST], len, 0) };
    let mut all = Vec::new();
    let mut widths = Vec::new();
    for launch in launches(vec![own], &shape, bounds) {
        let scalar = launch.width == Width::Scalar;
        if !scalar {
            widths.push(launch.width);
        }
        let wide = launch.width.elements();
        let workgroup = wide * bounds.invocations * bounds.each;
        for chunk in chunks(&launch, bounds) {
            let length = u64::from(chunk.length) * wide;
            assert!(scalar || chunk.from % span == 0, "cut inside a partial sum");
            let starts = (0..length).step_by(workgroup as usize);
            all.extend(starts.map(|i| (chunk.from + i, workgroup.min(length - i), scalar)));
        }
    }
    all.sort_unstable();
    (all, widths)
}

/// A binding of no whole number of spans: gradients are cut shorter than it would allow.
const CUT: Bounds = Bounds { binding: 1072, each: 2, ..TINY };

proptest! {
    #[test]
    fn parts_depend_on_the_length_alone(
        [one, two] in [0u64..5000, 0u64..5000],
        len in 1u64..5000,
        size in prop_oneof![Just(4_u64), Just(2)],
    ) {
        for bounds in [CUT, Bounds { each: 16, ..DEFAULT }] {
            let ((first, widths), (second, _)) =
                (parts(one, len, size, bounds), parts(two, len, size, bounds));
            prop_assert_eq!(&first, &second);
            // Whole spans, then the rest of the quads, then single elements.
            let span = QUAD * bounds.invocations * bounds.each;
            let whole = len / QUAD * QUAD;
            let quads = (0..whole).step_by(span as usize).map(|i| (i, span.min(whole - i), false));
            let rest = (whole < len).then_some((whole, len - whole, true));
            prop_assert_eq!(first, quads.chain(rest).collect::<Vec<_>>());
            // Only the width tells where it is.
            let width = if one % QUAD == 0 { Width::Vec4 } else { Width::Loose };
            prop_assert!(widths.iter().all(|found| *found == width));
        }
    }
}
