use super::{Coded, Quantize, reach, scales_of};
use crate::num::{OneStep, StateFormat};
use crate::{BlockCode, Group};

fn codes() -> impl Iterator<Item = BlockCode> {
    let formats = [StateFormat::Block8, StateFormat::Block4];
    formats.into_iter().flat_map(|format| [false, true].map(|signed| format.code(signed).unwrap()))
}

/// Numbers from 0 up to 1, the same for the same seed.
fn random(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Whatever a kernel has in place of a block's numbers, its codes stand for numbers within the bound.
#[test]
fn the_bound_covers_every_kernel() {
    let seed = &mut 1;
    for code in codes() {
        for round in 0..4000 {
            let len = [1, 2, 7, 40][round % 4];
            let unit = 2.0_f64.powi([-126, -60, 0, 90][round / 4 % 4]);
            let off = [0.0, 1e-7, 1e-3, 0.3][round / 16 % 4];
            let parts: Vec<[f64; 2]> = (0..len)
                .map(|_| {
                    let x = unit * (random(seed) * 4.0).exp2() * random(seed).powi(3) / 16.0;
                    let x = if code.is_signed() && random(seed) < 0.5 { -x } else { x };
                    let x = if random(seed) < 0.1 { 0.0 } else { f64::from(x as f32) };
                    [x, off * random(seed) * x.abs().max(unit / 100.0)]
                })
                .collect();
            let scales = scales_of(&parts);
            for at_random in [false, true] {
                // At the ends of their ranges, or between them.
                let numbers: Vec<f32> = parts
                    .iter()
                    .map(|[x, error]| {
                        let side = (random(seed) * 4.0 - 2.0).clamp(-1.0, 1.0);
                        let is = (x + side * error) as f32;
                        let within = (f64::from(is) - x).abs() <= *error;
                        let is = if within { is } else { *x as f32 };
                        if code.is_signed() { is } else { is.max(0.0) }
                    })
                    .collect();
                let scale = code.scale(&numbers);
                for (i, x) in numbers.iter().enumerate() {
                    let own = match at_random {
                        false => code.encode(*x, scale),
                        true => code.encode_at_random((*x, scale), 5, round as u64, (0, i as u32)),
                    };
                    let is = f64::from(code.decode(own, scale));
                    let Some([low, high]) = reach(code, parts[i], scales, at_random) else {
                        panic!("{parts:?} is bounded");
                    };
                    assert!(
                        low <= is && is <= high,
                        "{} {x:e} of {scale:e} ({:?}): {is:e} is not within {low:e} and {high:e}",
                        code.name(),
                        parts[i]
                    );
                }
            }
        }
    }
}

/// A number that is certain, in a block whose scale is, has a certain code.
#[test]
fn the_bound_is_no_wider_than_the_code_is_uncertain() {
    for code in codes() {
        for (i, number) in code.numbers().iter().enumerate().skip(1) {
            let number = f64::from(*number);
            let width = |error| {
                let [low, high] = reach(code, [number, error], [1.0, 1.0], false).unwrap();
                high - low
            };
            assert!(width(0.0) <= 3e-7 * number.abs() + 3e-38, "{} {i}", code.name());
            let below = number - f64::from(code.numbers()[i - 1]);
            assert!(width(0.6 * below) >= 0.99 * below, "{} {i}", code.name());
        }
    }
}

#[test]
fn nothing_is_known_of_a_block_with_a_number_of_which_nothing_is_known() {
    let group = Group::adam(1e-3).state_format(StateFormat::Block8);
    let of = |parts| OneStep::of_parts(parts);
    let [known, unknown] = [[1.0, 0.0], [1.0, f64::INFINITY]].map(of);
    let nan = of([f64::NAN, 0.0]);
    for other in [unknown, nan] {
        let mut all = Coded::all(&group, 300);
        let mut state = vec![known; 600];
        state[2 * 3] = other;
        all.iter_mut().for_each(|coded| coded.encode(&mut state, 2, None));
        let bounded: Vec<bool> = state.iter().map(|number| number.is_bounded()).collect();
        let (first, second): (Vec<bool>, Vec<bool>) =
            bounded.chunks(2).map(|two| (two[0], two[1])).unzip();
        assert!(first[..256].iter().all(|is| !is) && first[256..].iter().all(|is| *is));
        assert!(second.iter().all(|is| *is));
    }
}
