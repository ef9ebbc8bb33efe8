//! Rounding at random: the bits of the CPU's function on every driver, and right on average.

use support::{gpu, halves, ok, read};
use wgpu_optim::{Format, Group, Optimizer, View};

const SEED: u64 = 0x5eed_0123_4567_89ab;

/// Sets f16 or bf16 parameters to `numbers`, by SGD at a rate of 1 from 0, at elements from `at` on,
/// as step `step`; returns what they are then.
fn set(format: Format, numbers: &[f32], at: u64, grad_at: u64, step: u64, seed: u64) -> Vec<f32> {
    let gpu = gpu();
    let len = numbers.len() as u64;
    let param = View::whole(&ok(gpu.zeros("w", (at + len).div_ceil(2))), format);
    let param = param.range(at..at + len);
    let grad = View::f32(&ok(gpu.zeros("g", grad_at + len))).range(grad_at..grad_at + len);
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(Group::sgd(1.0).stochastic_rounding(seed)));
    ok(optimizer.add_param(group, "w", param.clone(), grad.clone()));
    (1..step).for_each(|_| gpu.step(&mut optimizer)); // 0 stays 0
    let negative: Vec<f32> = numbers.iter().map(|x| -x).collect();
    gpu.queue.write_buffer(&grad.buffer, grad.offset, bytemuck::cast_slice(&negative));
    gpu.step(&mut optimizer);
    read(gpu, &param)
}

/// Numbers of every exponent a normal f32 has, of either sign.
fn sample() -> Vec<f32> {
    let bits = (0..400_003_u32).map(|i| i.wrapping_mul(0x9e37_79b9) ^ i.wrapping_mul(i) << 11);
    let normal = |x: f32| x.is_normal() || x == 0.0;
    bits.map(f32::from_bits).map(|x| if normal(x) { x } else { 0.0 }).collect()
}

#[test]
fn every_driver_rounds_as_the_cpu() {
    let numbers = sample();
    for format in halves() {
        // vec4 behind another start; scalar; a later step.
        for (at, grad_at, step) in [(0, 0, 1), (1003, 3, 2), (1, 0, 3)] {
            let rounded = set(format, &numbers, at, grad_at, step, SEED);
            for (i, (x, rounded)) in numbers.iter().zip(rounded).enumerate() {
                let expected = format.dither(*x, SEED, step, at as u32 + i as u32);
                assert_eq!(
                    rounded.to_bits(),
                    expected.to_bits(),
                    "{format:?} element {i}: {x:e} became {rounded:e}, not {expected:e}"
                );
            }
        }
    }
}

/// Over many elements, steps and seeds, the mean of what a number becomes is the number.
#[test]
fn rounding_at_random_is_right_on_average() {
    let cases = [
        (Format::Bf16, [1.0003, -3.217_5, 1e-30, 0.999, 7e37]),
        (Format::F16, [1.0003, -2000.123, 3.3e-5, 4.1e-8, -1.3e-8]),
    ];
    for (format, numbers) in cases {
        for x in numbers {
            const LEN: usize = 200_000;
            for (seed, step) in [(SEED, 1), (SEED, 2), (1, 1)] {
                let rounded = set(format, &vec![x; LEN], 0, 0, step, seed);
                let [low, high] = [f32::min, f32::max].map(|f| rounded.iter().copied().fold(x, f));
                assert!(low <= x && x <= high && low < high, "{format:?} {x:e}: {low:e} {high:e}");
                assert!(rounded.iter().all(|y| *y == low || *y == high), "{format:?} {x:e}");
                let mean = rounded.iter().map(|y| f64::from(*y)).sum::<f64>() / LEN as f64;
                // The deviation of a mean is at most half a step over √n; five of them.
                let allowed = 5.0 * 0.5 * f64::from(high - low) / (LEN as f64).sqrt();
                let off = (mean - f64::from(x)).abs();
                assert!(
                    off <= allowed,
                    "{format:?} {x:e}: mean {mean:e}, off {off:e} of {allowed:e}"
                );
            }
        }
    }
}

/// Neighbours, steps and seeds are rounded independently of each other.
#[test]
fn no_two_are_rounded_alike() {
    let x = vec![1.0 + 1.0 / 256.0; 100_000]; // half way
    let ups = |step, seed| -> Vec<bool> {
        set(Format::Bf16, &x, 0, 0, step, seed).iter().map(|y| *y > 1.0).collect()
    };
    let [first, later, other] = [ups(1, SEED), ups(2, SEED), ups(1, SEED + 1)];
    let next: Vec<bool> = first.iter().copied().skip(1).chain([false]).collect();
    for (what, second) in [("step", later), ("seed", other), ("neighbour", next)] {
        let same = first.iter().zip(second).filter(|(a, b)| **a == *b).count() as f64;
        let off = (same / x.len() as f64 - 0.5).abs();
        assert!(off < 0.01, "{what}: {same} of {}", x.len());
    }
}

/// Steps too small for bf16 add up on average; rounded to nearest, they are lost.
#[test]
fn small_steps_count() {
    let gpu = gpu();
    let trained = |group: Group| {
        let w = View::bf16(&ok(gpu.upload("w", &[f32::from_bits(0x3f80_3f80); 500])));
        let g = ok(gpu.upload("g", &[1.0; 1000]));
        let mut optimizer = Optimizer::new(&gpu.device);
        let group = ok(optimizer.add_group(group));
        ok(optimizer.add_param(group, "w", w.clone(), View::f32(&g)));
        (0..100).for_each(|_| gpu.step(&mut optimizer));
        read(gpu, &w).iter().map(|x| f64::from(*x)).sum::<f64>() / 1000.0
    };
    let sgd = Group::sgd(1e-4);
    assert_eq!(trained(sgd.clone()), 1.0);
    let mean = trained(sgd.stochastic_rounding(7));
    assert!((mean - 0.99).abs() < 1e-3, "{mean}");
}
