//! Numbers that share a word.

use half::bf16;
use support::{gpu, numbers, ok};
use wgpu_optim::kernel::Width;
use wgpu_optim::{Format, Group, Optimizer, View};

use super::copy::Copy;
use super::{WIDTHS, elements, packed, unpacked};

/// Copies elements of a range of halves over a pattern; how many halves differ from what should be there.
fn wrongly_placed(
    (width, back): (Width, bool),
    first: u32,
    length: u32,
    mutation: Option<(&str, &str)>,
) -> usize {
    let source: Vec<u16> = (0..512).map(|i| 0x3f00 + i).collect();
    let before: Vec<u16> = (0..512).map(|i| 0xa000 + i).collect();
    let (from, to, places) = (Format::Bf16, Format::Bf16, [first, first + 1]);
    let copy = Copy { width, written: back, back, from, to, places, length, mutation };
    let after = unpacked(&copy.run(&packed(&source), &packed(&before)));
    // Gradients of loose quads are counted one by one.
    let unit = |is_grad: bool| match (width, is_grad) {
        (Width::Loose, true) => 1,
        _ => elements(width),
    };
    let (target, start) = ((first * unit(back)) as usize, ((first + 1) * unit(!back)) as usize);
    let length = (length * elements(width)) as usize;
    let wrong = after.iter().enumerate().filter(|(i, after)| {
        let inside = (target..target + length).contains(i);
        **after != if inside { source[i - target + start] } else { before[*i] }
    });
    wrong.count()
}

#[test]
fn a_range_of_halves_leaves_the_others_alone() {
    for back in [false, true] {
        for (first, length) in [(0, 1), (1, 1), (2, 1), (3, 2), (7, 256), (8, 301), (0, 510)] {
            let wrong = wrongly_placed((Width::Scalar, back), first, length, None);
            assert_eq!(wrong, 0, "{first}, {length}, {back}");
        }
        for (first, length) in [(3, 100), (0, 1), (1, 1), (2, 3), (5, 90)] {
            for width in [Width::Vec4, Width::Loose] {
                let wrong = wrongly_placed((width, back), first, length, None);
                assert_eq!(wrong, 0, "{width:?} {first}, {length}, {back}");
            }
        }
    }
}

#[test]
fn halves_in_a_wrong_place_are_caught() {
    let [vec4, loose, scalar] = WIDTHS.map(|width| (width, false));
    let back = (Width::Loose, true);
    let buffer = ["param", "grad"].map(|name| format!("(&{name}_buffer[i >> 1u], "));
    let [right_param, right_grad] = buffer.clone().map(|buffer| format!("{buffer}~("));
    let [wrong_param, wrong_grad] = buffer.map(|buffer| format!("{buffer}("));
    for (width, right, wrong) in [
        // Halves exchanged on the way in, on the way out; a neighbour cleared; a neighbour kept in part.
        (scalar, &*right_param, &*wrong_param),
        (scalar, "let shift = (i & 1u) * 16u;", "let shift = (1u - (i & 1u)) * 16u;"),
        (scalar, "~(0xffffu << shift)", "0u"),
        (scalar, "~(0xffffu << shift)", "~(0xfffu << shift)"),
        (vec4, "bits.xz | (bits.yw << vec2(16u))", "bits.yw | (bits.xz << vec2(16u))"),
        (vec4, "vec4(0u, 16u, 0u, 16u)", "vec4(16u, 0u, 16u, 0u)"),
        // The same where gradients begin anywhere; and one of four in another's place.
        (loose, ">> ((i & 1u) * 16u)", ">> 0u"),
        (loose, "half_of_grad(i + 3u)", "half_of_grad(i + 2u)"),
        (back, &*right_grad, &*wrong_grad),
        (back, "let shift = (i & 1u) * 16u;", "let shift = (1u - (i & 1u)) * 16u;"),
        (back, "~(0xffffu << shift)", "0u"),
        (back, "put_grad(i + 3u, bits.w)", "put_grad(i + 2u, bits.w)"),
    ] {
        let count = wrongly_placed(width, 3, 101, Some((right, wrong)));
        assert!(count > 0, "`{right}` → `{wrong}` in {width:?} went unnoticed");
    }
}

/// Views of one arena that share words, in two groups, end up as each in a buffer of its own.
#[test]
fn neighbours_in_one_word_do_not_meet() {
    const VIEWS: u64 = 200;
    let gpu = gpu();
    let len = |i: u64| 1 + i * 5 % 7;
    let total: u64 = (0..VIEWS).map(len).sum();
    let half_words = |seed| {
        let codes = numbers(total + 1, seed).into_iter().map(|x| bf16::from_f32(x).to_bits());
        packed(&codes.take(total as usize / 2 * 2).collect::<Vec<_>>())
    };
    let upload = |words: &[u32]| {
        let floats: Vec<f32> = words.iter().map(|word| f32::from_bits(*word)).collect();
        ok(gpu.upload("halves", &floats))
    };
    let (params, grads) = (upload(&half_words(1)), upload(&half_words(2)));
    let total = View::bf16(&params).len;
    let step = |views: &[(View, View)]| {
        let mut optimizer = Optimizer::new(&gpu.device);
        let groups = [Group::adam(1e-2), Group::adam(0.5)]
            .map(|group| ok(optimizer.add_group(group.state_format(Format::Bf16))));
        for (i, (param, grad)) in views.iter().enumerate() {
            let (param, grad) = (param.clone(), grad.clone());
            ok(optimizer.add_param(groups[i % 2], &i.to_string(), param, grad));
        }
        (0..3).for_each(|_| gpu.step(&mut optimizer));
        optimizer.dispatches()
    };
    let mut at = 0;
    let ranges: Vec<_> = (0..VIEWS)
        .map(|i| {
            let range = at..(at + len(i)).min(total);
            at = range.end;
            range
        })
        .collect();
    let copied: Vec<(View, View)> = ranges
        .iter()
        .map(|range| {
            // At the same place in a quadruple, so that the same kernel takes it.
            let phase = (range.start % 4) as usize;
            let own = |buffer| {
                let numbers = support::read(gpu, &View::bf16(buffer).range(range.clone()));
                let mut codes = vec![0xbeef; phase];
                codes.extend(numbers.iter().map(|x| bf16::from_f32(*x).to_bits()));
                let view = phase as u64..codes.len() as u64;
                codes.resize(codes.len().next_multiple_of(2), 0xbeef);
                View::bf16(&upload(&packed(&codes))).range(view)
            };
            (own(&params), own(&grads))
        })
        .collect();
    let arena: Vec<(View, View)> = ranges
        .iter()
        .map(|range| [&params, &grads].map(|buffer| View::bf16(buffer).range(range.clone())))
        .map(|[param, grad]| (param, grad))
        .collect();
    assert_eq!(step(&arena), 2, "quadruples, and what is left at the ends");
    step(&copied);
    for ((there, _), (own, _)) in arena.iter().zip(&copied) {
        assert_eq!(support::bits(gpu, there), support::bits(gpu, own), "{there:?}");
        let whole = unpacked(&support::bits(gpu, &View::f32(&own.buffer)));
        let (first, len) = ((own.offset / 2) as usize, own.len as usize);
        let padding = whole[..first].iter().chain(&whole[first + len..]);
        assert!(padding.copied().all(|code| code == 0xbeef), "{own:?}");
    }
}
