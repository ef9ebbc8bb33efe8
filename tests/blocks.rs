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

/// Every mixture of formats of two slots, and codes at random, on one arena of several parameters.
#[test]
fn mixed_slots_and_random_codes_are_those_of_the_cpu() {
    let formats = [("exp_avg", StateFormat::Block4), ("exp_avg_sq", StateFormat::Block8)];
    let places = [
        (0, 0, numbers(1000, 11)),
        (1001, 1001, numbers(130, 12)),
        (1500, 1502, numbers(4096, 13)),
    ];
    let (optimizer, ids) = step_once(keeping().state_format(formats), &places);
    for (id, (_, _, numbers)) in ids.iter().zip(&places) {
        assert_codes(numbers, codes_of(&optimizer, *id, "exp_avg"), "mixed");
        let squares: Vec<f32> = numbers.iter().map(|x| x * x).collect();
        assert_codes(&squares, codes_of(&optimizer, *id, "exp_avg_sq"), "mixed squares");
    }
    for format in [StateFormat::Block8, StateFormat::Block4] {
        let group = keeping().state_format(format).stochastic_state(99);
        let (optimizer, ids) = step_once(group, &places);
        for (id, (at, _, numbers)) in ids.iter().zip(&places) {
            for (slot, name) in (0..).zip(["exp_avg", "exp_avg_sq"]) {
                let squared = |x: &f32| if slot == 0 { *x } else { x * x };
                let numbers: Vec<f32> = numbers.iter().map(squared).collect();
                let (codes, scales, code) = codes_of(&optimizer, *id, name);
                for (i, (is, x)) in codes.iter().zip(&numbers).enumerate() {
                    let scale = scales[i / code.block() as usize];
                    let element = *at as u32 + i as u32;
                    let expected = code.encode_at_random((*x, scale), 99, 1, (slot, element));
                    assert_eq!(*is, expected, "{format} {name} element {i}: {x:e} of {scale:e}");
                }
            }
        }
    }
}

/// The elements that `random_blocks_are_those_of_the_cpu` encodes; `scripts/fuzz-blocks` asks for more.
fn elements() -> u64 {
    let asked = std::env::var("WGPU_OPTIM_FUZZ_ELEMENTS").ok();
    asked.map_or(1 << 20, |text| text.parse().unwrap_or_else(|e| panic!("{text}: {e}")))
}

/// A number of any bits, or of a kind that its block has.
fn any(kind: u32, bits: u32) -> f32 {
    let mantissa = |exponent: u32| f32::from_bits(bits & 0x807f_ffff | exponent << 23);
    match kind % 8 {
        0 => f32::from_bits(bits),              // NaN and infinities, too
        1 => mantissa(120 + (bits >> 23) % 8),  // like magnitudes
        2 => mantissa((bits >> 23) % 40 + 1),   // next to subnormal
        3 => mantissa(200 + (bits >> 23) % 54), // next to infinite
        4 => mantissa(90 + (bits >> 23) % 40),  // many magnitudes
        5 if bits.is_multiple_of(7) => f32::from_bits(bits & 0x807f_ffff), // subnormal, zero
        5 => mantissa(1),
        6 if bits.is_multiple_of(61) => mantissa(127), // one large number
        6 => mantissa(127 - 20 + (bits >> 23) % 4),
        _ => (bits & 0xff) as f32 / 255.0 * if bits >> 31 == 0 { 1.0 } else { -1.0 },
    }
}

/// Random blocks, extremes among them, have the CPU's codes and scales, bit for bit.
#[test]
fn random_blocks_are_those_of_the_cpu() {
    const LEN: u64 = 1 << 20;
    let gpu = gpu();
    let mut done = 0;
    let mut round = 0_u32;
    while done < elements() {
        for format in [StateFormat::Block8, StateFormat::Block4] {
            round += 1;
            let bits = |i: u32| {
                let x = (i ^ round.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0x9e37_79b9);
                let x = (x ^ x >> 15).wrapping_mul(0x2c1b_3c6d);
                (x ^ x >> 13).wrapping_mul(0x297a_2d39) ^ x >> 16
            };
            let numbers: Vec<f32> =
                (0..LEN as u32).map(|i| any(bits(i / 256) >> 8, bits(i))).collect();
            let view = View::f32(&ok(gpu.upload("g", &numbers)));
            let params = View::f32(&ok(gpu.zeros("w", LEN + 1)));
            // Every other round off a quad, where invocations take single elements.
            let at = u64::from(round / 2 % 2);
            let mut optimizer = Optimizer::new(&gpu.device);
            let group = ok(optimizer.add_group(keeping().state_format(format)));
            let id = ok(optimizer.add_param(group, "w", params.range(at..at + LEN), view));
            gpu.step(&mut optimizer);
            for (slot, numbers) in [
                ("exp_avg", numbers.clone()),
                ("exp_avg_sq", numbers.iter().map(|x| x * x).collect()),
            ] {
                let (codes, scales, code) = codes_of(&optimizer, id, slot);
                let (expected, expected_scales) = code.encode_all(&numbers);
                let same =
                    |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                let scale = scales.iter().zip(&expected_scales).position(|pair| !same(pair));
                assert_eq!(scale, None, "{format} {slot} round {round}: a scale");
                let other = codes.iter().zip(&expected).position(|(is, expected)| is != expected);
                if let Some(i) = other {
                    let (x, scale) = (numbers[i], scales[i / code.block() as usize]);
                    let codes = [codes[i], expected[i]];
                    panic!(
                        "{format} {slot} round {round} element {i}: {x:e} of {scale:e}: {codes:?}"
                    );
                }
                done += LEN;
            }
        }
    }
    println!("{done} elements");
}

/// Parameters longer than a binding are cut between blocks, wherever the parameter lies in its buffer, on a device whose
/// bindings are small.
#[test]
fn windows_hold_whole_blocks() {
    let adapter = gpu().adapter.clone();
    let limits =
        wgpu_optim::wgpu::Limits { max_storage_buffer_binding_size: 1 << 18, ..adapter.limits() };
    let small = ok(wgpu_optim::headless::Gpu::with_limits(adapter, limits));
    for format in [StateFormat::Block8, StateFormat::Block4] {
        for (at, grad_at) in [(0, 0), (8, 9), (3, 3)] {
            let numbers = numbers(300_001, 21);
            let len = numbers.len() as u64;
            let params = View::f32(&ok(small.zeros("w", len + 700)));
            let grads = View::f32(&ok(small.zeros("g", len + 700)));
            small.queue.write_buffer(&grads.buffer, 4 * grad_at, bytemuck::cast_slice(&numbers));
            let mut optimizer = Optimizer::new(&small.device);
            let group = ok(optimizer.add_group(keeping().state_format(format).ema(0.9)));
            let param = params.clone().range(at..at + len);
            let id = ok(optimizer.add_param(
                group,
                "w",
                param,
                grads.clone().range(grad_at..grad_at + len),
            ));
            // A neighbour, so that launches have tables.
            let other = params.range(at + len..at + len + 600);
            let of_other = grads.range(grad_at + len..grad_at + len + 600);
            ok(optimizer.add_param(group, "other", other, of_other));
            assert!(optimizer.dispatches() > 4, "one binding holds everything");
            small.step(&mut optimizer);
            let (view, code) = ok(optimizer.state_blocks(id, "exp_avg"));
            let words = ok(small.download(&view));
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_bits().to_le_bytes()).collect();
            let (codes, scales) = code.unpack(&bytes, numbers.len());
            assert_codes(&numbers, (codes, scales, code), &format!("{format} from {at}"));
        }
    }
}
