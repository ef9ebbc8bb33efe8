use super::*;

fn codes() -> impl Iterator<Item = BlockCode> {
    BLOCKS.iter().flat_map(|blocks| [false, true].map(|signed| blocks.code(signed)))
}

#[test]
fn tables_ascend_and_have_one_number_for_each_code() {
    for code in codes() {
        let numbers = code.numbers();
        assert_eq!(numbers.len(), 1 << code.bits(), "{}", code.name());
        assert!(numbers.is_sorted_by(|a, b| a < b), "{}", code.name());
        assert_eq!(numbers.last(), Some(&1.0), "{}", code.name());
        assert!(numbers[usize::from(code.zero())] == 0.0 || code.zero() == 0, "{}", code.name());
    }
}

#[test]
fn a_number_of_the_table_keeps_its_code_at_every_scale() {
    for code in codes() {
        for exponent in (-126..128).step_by(2) {
            let scale = 1.37 * 2.0_f32.powi(exponent - 1);
            for i in 0..code.numbers().len() as u8 {
                let number = code.decode(i, scale);
                if number == 0.0 || number.is_normal() {
                    assert_eq!(code.encode(number, scale), i, "{} {scale:e}", code.name());
                }
            }
        }
    }
}

#[test]
fn encoding_takes_the_nearest_code_and_the_upper_one_of_two() {
    for code in codes() {
        for (i, middle) in code.middles().iter().enumerate() {
            let below = code.encode(middle.next_down(), 1.0);
            assert_eq!((usize::from(below), code.encode(*middle, 1.0)), (i, i as u8 + 1));
        }
    }
}

#[test]
fn blocks_without_a_scale_have_the_code_of_zero() {
    for code in codes() {
        for numbers in [[0.0, -0.0], [1e-40, -1e-45], [f32::NAN, 1.0]] {
            let (codes, scales) = code.encode_all(&numbers);
            assert_eq!(codes, [code.zero(); 2], "{} {numbers:?}", code.name());
            assert!(scales[0] == 0.0 || scales[0].is_nan());
            let decoded = code.decode_all(&codes, &scales);
            let is_same = |(x, y): (&f32, &f32)| x.is_nan() == y.is_nan();
            assert!(numbers[0].is_nan() || numbers.iter().zip(&decoded).all(is_same));
            assert!(!numbers[0].is_nan() || decoded.iter().all(|x| x.is_nan()), "NaN stays NaN");
        }
        let (codes, scales) = code.encode_all(&[f32::INFINITY, 1.0, 0.0]);
        assert_eq!((scales[0], usize::from(codes[0])), (f32::INFINITY, code.numbers().len() - 1));
        assert_eq!(code.decode(codes[0], scales[0]), f32::INFINITY);
    }
}

#[test]
fn records_hold_what_was_packed() {
    for code in codes() {
        for len in [1, 2, 7, 127, 128, 129, 255, 256, 257, 700] {
            let numbers: Vec<f32> = (0..len).map(|i| ((i * 37) as f32).sin().abs()).collect();
            let (codes, scales) = code.encode_all(&numbers);
            let bytes = code.pack(&codes, &scales);
            assert_eq!(bytes.len() as u64, code.blocks.bytes(len as u64));
            assert_eq!(code.unpack(&bytes, len), (codes, scales));
            // Zeros on the device are a state of zeros.
            let (codes, scales) = code.unpack(&vec![0; bytes.len()], len);
            assert_eq!((codes, scales.iter().sum::<f32>()), (vec![code.zero(); len], 0.0));
        }
    }
}

#[test]
fn random_codes_are_the_number_on_average_and_never_farther_than_a_gap() {
    for code in codes() {
        for x in [0.3_f32, 0.071, 0.9999, 0.0031, 0.5] {
            let mut sum = 0.0;
            let mut seen = std::collections::BTreeSet::new();
            let many = 20_000;
            for element in 0..many {
                let one = code.encode_at_random((x, 1.0), 7, 3, (1, element));
                seen.insert(one);
                sum += f64::from(code.decode(one, 1.0));
            }
            let numbers = code.numbers();
            if x < numbers[0] {
                assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0]);
                continue;
            }
            let low = numbers.partition_point(|number| *number <= x) - 1;
            let gap = numbers.get(low + 1).map_or(0.0, |next| f64::from(next - numbers[low]));
            let mean = sum / f64::from(many);
            // Four deviations of the mean of as many draws, and the share of a draw.
            let most = gap * (4.0 * 0.5 / f64::from(many).sqrt() + 1.0 / 2048.0) + 1e-7;
            assert!((mean - f64::from(x)).abs() <= most, "{} {x}: {mean}", code.name());
            assert!(seen.iter().all(|one| [low, low + 1].contains(&usize::from(*one))));
        }
    }
}

#[test]
fn codes_of_one_step_are_not_those_of_another() {
    let code = BLOCKS[1].code(true);
    let at = |seed, step, slot| -> Vec<u8> {
        let one = |element| code.encode_at_random((0.3, 1.0), seed, step, (slot, element));
        (0..64).map(one).collect()
    };
    let first = at(1, 1, 0);
    assert!([at(2, 1, 0), at(1, 2, 0), at(1, 1, 1)].iter().all(|other| *other != first));
}

/// The guess of `guess_codec` in `shaders/block/code.wgsl`.
fn guess(code: BlockCode, x: f32, shift: f32) -> u8 {
    let y = if code.signed { x.abs() } else { x.max(0.0) };
    let lines = code.lines().into_iter().map(|[slope, start]| slope * y + start);
    let steps = (lines.fold(f32::MAX, f32::min) + shift).min(code.most_steps()).max(0.0) as u8;
    if x < 0.0 && code.signed { code.zero() - steps } else { code.zero() + steps }
}

#[test]
fn guesses_are_next_to_the_code() {
    for code in codes() {
        let (numbers, middles) = (code.numbers(), code.middles());
        let every = (0..=1_000_000).map(|i| i as f32 / 1e6);
        let small = (0..30_000).map(|i| 2.0_f32.powf(-i as f32 / 1000.0));
        let near = numbers
            .iter()
            .chain(middles)
            .flat_map(|x| [-3e-7_f32, 0.0, 3e-7].map(|off| x * (1.0 + off)));
        for x in every.chain(small).flat_map(|x| [x, -x]).chain(near) {
            let x = x.clamp(-1.0, 1.0);
            let nearest = code.encode(x, 1.0);
            assert!(nearest.abs_diff(guess(code, x, 0.0)) <= 1, "{} {x:e}", code.name());
            let below = numbers[1..].partition_point(|number| *number <= x) as u8;
            let shift = if x < 0.0 { 0.5 } else { -0.5 };
            assert!(below.abs_diff(guess(code, x, shift)) <= 1, "{} {x:e} at random", code.name());
        }
    }
}
