//! State in blocks: on every driver the codes and scales are those of the CPU's functions.

use support::{gpu, ok};
use wgpu_optim::{Adam, BlockCode, Group, Optimizer, ParamId, StateFormat, View};

/// ADAM that keeps the gradient as `exp_avg`, and its square as `exp_avg_sq`, exactly.
fn keeping() -> Group {
    Group::new(1e-3, Adam { betas: [0.0, 0.0], ..Adam::default() })
}

/// The codes and scales of a slot.
fn codes_of(optimizer: &Optimizer, id: ParamId, slot: &str) -> (Vec<u8>, Vec<f32>, BlockCode) {
    let len = ok(optimizer.state_len(id)) as usize;
    let (view, code) = ok(optimizer.state_blocks(id, slot));
    let words = ok(gpu().download(&view));
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_bits().to_le_bytes()).collect();
    let (codes, scales) = code.unpack(&bytes, len);
    (codes, scales, code)
}

/// Numbers of many magnitudes, in stretches of like magnitude, with zeros, subnormals and extremes among them.
fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mut unit = 1.0;
    (0..len)
        .map(|i| {
            if i % 97 == 0 {
                unit = 2.0_f32.powi((next() % 160) as i32 - 110);
            }
            let x = (next() as f32 / u32::MAX as f32 * 2.0 - 1.0) * unit;
            match next() % 23 {
                0 => 0.0,
                1 => f32::from_bits(next() & 0x807f_ffff),
                2 => x * 1e-4,
                _ => x,
            }
        })
        .collect()
}

fn step_once(group: Group, places: &[(u64, u64, Vec<f32>)]) -> (Optimizer, Vec<ParamId>) {
    let gpu = gpu();
    let end = |of: fn(&(u64, u64, Vec<f32>)) -> u64| {
        places.iter().map(|place| of(place) + place.2.len() as u64).max().unwrap_or(0)
    };
    let params = View::f32(&ok(gpu.zeros("w", end(|place| place.0))));
    let grads = View::f32(&ok(gpu.zeros("g", end(|place| place.1))));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(group));
    let ids = places.iter().enumerate().map(|(i, (at, grad_at, numbers))| {
        let len = numbers.len() as u64;
        let [param, grad] =
            [(&params, *at), (&grads, *grad_at)].map(|(view, at)| view.clone().range(at..at + len));
        gpu.queue.write_buffer(&grad.buffer, grad.offset, bytemuck::cast_slice(numbers));
        ok(optimizer.add_param(group, &format!("w{i}"), param, grad))
    });
    let ids = ids.collect();
    gpu.step(&mut optimizer);
    (optimizer, ids)
}

fn assert_codes(
    numbers: &[f32],
    (codes, scales, code): (Vec<u8>, Vec<f32>, BlockCode),
    what: &str,
) {
    // A driver may take subnormal numbers for 0, and so may this comparison.
    let (expected, expected_scales) = code.encode_all(numbers);
    assert_eq!(scales.len(), expected_scales.len(), "{what}");
    for (i, (scale, expected)) in scales.iter().zip(&expected_scales).enumerate() {
        assert_eq!(scale.to_bits(), expected.to_bits(), "{what}: scale {i}");
    }
    for (i, (is, expected)) in codes.iter().zip(&expected).enumerate() {
        let scale = scales[i / code.block() as usize];
        assert_eq!(is, expected, "{what}: element {i}, {:e} of scale {scale:e}", numbers[i]);
    }
}

#[test]
fn every_driver_encodes_as_the_cpu() {
    for format in [StateFormat::Block8, StateFormat::Block4] {
        let places = [
            (0, 0, numbers(4096, 1)),       // whole blocks in quads
            (4096, 4096, numbers(1027, 2)), // a rest after the last quad
            (5125, 5125, numbers(700, 3)),  // off a quad: one by one
            (5828, 5830, numbers(2048, 4)), // gradients at another place in their quads
            (7880, 7880, numbers(3, 5)),
            (7884, 7884, numbers(260, 6)),
            (8144, 8144, numbers(70_001, 7)),
        ];
        let (optimizer, ids) = step_once(keeping().state_format(format), &places);
        for (id, (at, _, numbers)) in ids.iter().zip(&places) {
            let what = format!("{format} at {at}");
            assert_codes(
                numbers,
                codes_of(&optimizer, *id, "exp_avg"),
                &format!("{what}, exp_avg"),
            );
            let squares: Vec<f32> = numbers.iter().map(|x| x * x).collect();
            assert_codes(
                &squares,
                codes_of(&optimizer, *id, "exp_avg_sq"),
                &format!("{what}, exp_avg_sq"),
            );
        }
    }
}
