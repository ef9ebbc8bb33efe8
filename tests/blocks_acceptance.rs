//! These tests hold state in 8 bits to the rules by which bitsandbytes accepts its own: `test_optimizer8bit` of its
//! `tests/test_optim.py`.
//!
//! An optimizer with such state and an exact one, here the reference in f64, take 50 steps of random gradients. After
//! each step fewer than 20 numbers of a slot are off by more than 3e-3 + 1e-3 of themselves, the mean error of
//! parameters is below 6e-5, and the mean relative error below 6e-4. Every ten steps, all parameters are within
//! 1e-5 + 1e-3 of the exact ones. For parameters in bf16 the limits are 1.7e-4, 1.6e-3, and 1e-4 + 1e-2. Then the exact
//! optimizer goes on from the parameters and the state of the other.
//!
//! Parameters have 1024 rows of 32, 1024 and 4097 there. Here the longer rows are fewer, and all counts are as many as
//! for the smallest matrix there.

use support::{gpu, numbers, ok, read, set};
use wgpu_optim::{
    AdEMAMix, Adam, Format, Group, Lion, Optimizer, ParamId, Reference, RmsProp, Sgd, StateFormat,
    View,
};

const STEPS: u64 = 50;

/// The optimizers there, with PyTorch's or the origin's numbers.
fn groups() -> Vec<(&'static str, Group)> {
    let lion = Lion { betas: [0.9, 0.99] };
    let rmsprop = RmsProp { alpha: 0.9, ..RmsProp::pytorch() };
    let sgd = Sgd { momentum: 0.9, ..Sgd::default() };
    vec![
        ("adam", Group::new(1e-3, Adam::pytorch())),
        ("lion", Group::new(1e-4, lion)),
        ("momentum", Group::new(0.01, sgd)),
        ("rmsprop", Group::new(0.01, rmsprop)),
        ("ademamix", Group::new(1e-3, AdEMAMix::default())),
    ]
}

/// Numbers as of a normal distribution with this deviation: sums of four that are evenly spread.
fn normal(len: u64, seed: u64, deviation: f32) -> Vec<f32> {
    let all = numbers(4 * len, seed);
    // Each is spread from −2 to 2, a variance of 4/3.
    all.chunks(4)
        .map(|four| four.iter().sum::<f32>() * deviation / (16.0_f32 / 3.0).sqrt())
        .collect()
}

/// The numbers of a slot in blocks, or of one in f32.
fn state(optimizer: &Optimizer, id: ParamId, slot: &str) -> Vec<f32> {
    let Ok((view, code)) = optimizer.state_blocks(id, slot) else {
        return read(gpu(), &ok(optimizer.state(id, slot)));
    };
    let bytes = Format::F32.encode_all(&ok(gpu().download(&view)));
    let (codes, scales) = code.unpack(&bytes, ok(optimizer.state_len(id)) as usize);
    code.decode_all(&codes, &scales)
}

struct Limits {
    mean: f64,
    relative: f64,
    each: [f64; 2],
}

fn check(name: &str, group: &Group, [rows, columns]: [u64; 2], format: Format) {
    let gpu = gpu();
    let len = rows * columns;
    let limits = match format {
        Format::Bf16 => Limits { mean: 0.00017, relative: 0.0016, each: [1e-4, 1e-2] },
        _ => Limits { mean: 0.00006, relative: 0.0006, each: [1e-5, 1e-3] },
    };
    // At most 19 of as many numbers as the smallest matrix there has.
    let most = (19 * len / (1024 * 32)).max(1) as usize;
    let what = format!("{name} {rows}×{columns} {}", format.name());
    let view = |label: &str| {
        let buffer = ok(gpu.zeros(label, len));
        View { len, ..View::whole(&buffer, format) }
    };
    let (param, grad) = (view("w"), view("g"));
    let rounded = |numbers: Vec<f32>| -> Vec<f32> {
        numbers.into_iter().map(|x| format.decode(format.encode(x))).collect()
    };
    set(gpu, &param, &rounded(normal(len, 1, 0.1)));
    let mut optimizer = Optimizer::new(&gpu.device);
    let in_blocks = group.clone().state_format(StateFormat::Block8);
    let id = ok(optimizer.add_group(in_blocks));
    let id = ok(optimizer.add_param(id, "w", param.clone(), grad.clone()));
    let start: Vec<f64> = read(gpu, &param).into_iter().map(f64::from).collect();
    let mut exact = ok(Reference::new(group, &start));
    for step in 0..STEPS {
        let g = rounded(normal(len, 2 + step, 0.01));
        set(gpu, &grad, &g);
        gpu.step(&mut optimizer);
        ok(exact.step(&g.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()));
        let found: Vec<f64> = read(gpu, &param).into_iter().map(f64::from).collect();
        let errors: Vec<[f64; 2]> =
            exact.param().iter().zip(&found).map(|(p, is)| [(p - is).abs(), p.abs()]).collect();
        let mean = |of: &dyn Fn(&[f64; 2]) -> f64| errors.iter().map(of).sum::<f64>() / len as f64;
        let [off, relative] = [mean(&|[off, _]| *off), mean(&|[off, size]| off / (size + 1e-9))];
        assert!(off < limits.mean, "{what}, step {step}: {off:e} on average");
        assert!(
            relative < limits.relative,
            "{what}, step {step}: {relative:e} on average, relative"
        );
        if step % 10 == 0 && step > 0 {
            let [absolute, of_size] = limits.each;
            let far = errors.iter().filter(|[off, size]| *off > absolute + of_size * size).count();
            assert_eq!(far, 0, "{what}, step {step}: parameters");
        }
        let slots: Vec<_> = group.rule.slots().iter().map(|slot| slot.name).collect();
        let mut kept = Vec::new();
        for slot in slots {
            let own: Vec<f64> = state(&optimizer, id, slot).into_iter().map(f64::from).collect();
            let expected = exact.state(slot).unwrap_or_default();
            let is_far = |(x, is): (&f64, &f64)| (x - is).abs() > 3e-3 + 1e-3 * is.abs();
            let far = expected.iter().zip(&own).filter(|pair| is_far(*pair)).count();
            assert!(far <= most, "{what}, step {step}: {far} of {len} in {slot}, at most {most}");
            kept.push((slot, own));
        }
        // The same parameters and state once more, so that the error of each step counts by itself.
        let memory = exact.memory();
        exact = ok(Reference::new(group, &found));
        exact.set_steps(step + 1);
        exact.set_memory(memory);
        for (slot, own) in kept {
            assert!(exact.resume(Some(slot), &own), "{slot}");
        }
    }
}

/// Every optimizer there, in the shapes there with fewer rows.
#[test]
fn bitsandbytes_would_accept_these_blocks() {
    for (name, group) in groups() {
        for shape in [[1024, 1], [1024, 32], [32, 1024], [8, 4097]] {
            check(name, &group, shape, Format::F32);
        }
        check(name, &group, [1024, 32], Format::F16);
        check(name, &group, [1024, 32], Format::Bf16);
    }
}
