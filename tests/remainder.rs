//! 16-bit parameters with a remainder or a master are f32: every bit survives, and training is that in f32.

use support::ByName;
use support::{bits, gpu, masters, numbers, ok, read};
use wgpu_optim::headless::Gpu;
use wgpu_optim::verify::groups;
use wgpu_optim::wgpu::Limits;
use wgpu_optim::{Adam, Format, Group, Master, Optimizer, View};

/// The nearest bf16, of two as near the one farther from zero: what a parameter shows of its f32.
fn upper(x: f32) -> f32 {
    if x.is_nan() {
        return x;
    }
    let bits = x.to_bits();
    f32::from_bits((bits + (bits & 0x8000)) & 0xffff_0000)
}

/// Numbers of every significand and nearly every exponent, ties among them; an odd number of them.
fn sample() -> Vec<f32> {
    let random = (0..300_001_u32).map(|i| i.wrapping_mul(0x9e37_79b9) ^ i.wrapping_mul(i) << 11);
    let with_exponent = |bits: u32| bits & 0x807f_ffff | (30 + (bits >> 23 & 0xff) % 210) << 23;
    let ties = (0..0x8000).map(|i| 0x3f80_8000 | i << 8 & 0x7f_0000 | i >> 14);
    random.map(with_exponent).chain(ties).map(f32::from_bits).collect()
}

/// bf16 numbers in a buffer of their own, all 0.
fn zeros(gpu: &Gpu, len: u64) -> View {
    View::bf16(&ok(gpu.zeros("halves", len.div_ceil(2)))).range(0..len)
}

/// SGD at a rate of 1 makes 0 any number, and then takes away what the parameter shows of it: what is left
/// shows in the next step, and so on. If every bit was kept, the parts add up to the number.
#[test]
fn every_bit_of_a_number_is_kept() {
    let gpu = gpu();
    let numbers = sample();
    for shift in [0, 1] {
        // At a shift of 1 the gradient is at another place in its quadruple: the scalar kernel.
        let len = numbers.len() as u64;
        let (param, grads) = (zeros(gpu, len), ok(gpu.zeros("g", len + shift)));
        let grad = View::f32(&grads).range(shift..shift + len);
        let mut optimizer = Optimizer::new(&gpu.device);
        let sgd = Group::sgd(1.0).master(Master::Remainder);
        let group = ok(optimizer.add_group(sgd));
        ok(optimizer.add_param(group, "w", param.clone(), grad.clone()));
        let mut step = |g: &[f32]| {
            gpu.queue.write_buffer(&grad.buffer, grad.offset, bytemuck::cast_slice(g));
            gpu.step(&mut optimizer);
            read(gpu, &param)
        };
        let negative: Vec<f32> = numbers.iter().map(|x| -x).collect();
        let first = step(&negative);
        let second = step(&first);
        let third = step(&second);
        for (i, x) in numbers.iter().enumerate() {
            assert_eq!(first[i].to_bits(), upper(*x).to_bits(), "{x:e}");
            let sum = f64::from(first[i]) + f64::from(second[i]) + f64::from(third[i]);
            assert_eq!(sum, f64::from(*x), "{x:e} of {} {} {}", first[i], second[i], third[i]);
        }
        assert!(step(&third).iter().all(|left| *left == 0.0));
    }
}

#[test]
fn infinities_and_nans_show() {
    let gpu = gpu();
    let numbers = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::from_bits(0x7fff_ffff), -1.0];
    let (param, grad) = (zeros(gpu, 5), ok(gpu.upload("g", &numbers.map(|x| -x))));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(Group::sgd(1.0).master(Master::Remainder)));
    ok(optimizer.add_param(group, "w", param.clone(), View::f32(&grad)));
    gpu.step(&mut optimizer);
    let shown = read(gpu, &param);
    assert_eq!(shown[..3], [f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY]);
    assert!(shown[3].is_nan());
    // The largest f32 rounds to infinity, but is it no more than that: 1.7e38 less is finite again.
    gpu.queue.write_buffer(&grad, 0, bytemuck::cast_slice(&[1.7e38_f32; 5]));
    gpu.step(&mut optimizer);
    let shown = read(gpu, &param);
    assert!(shown[2].is_finite() && shown[3].is_nan(), "{shown:?}");
}

/// Views of an arena, of every length and phase, after training.
struct Trained {
    /// The bits of what the parameters show, and of what they are with their rest.
    shown: Vec<Vec<u32>>,
    whole: Vec<Vec<u32>>,
    dispatches: usize,
}

fn trained(gpu: &Gpu, group: &Group, format: Format) -> Trained {
    const STEPS: u64 = 12;
    let lens = [1, 2, 3, 4, 5, 7, 64, 255, 1023, 1024, 2500];
    let total: u64 = lens.iter().sum::<u64>() + 40;
    // Numbers that every format has, and gradients of 16 bits.
    let known = |x: f32| if x.abs() < 1e-2 { 0.0 } else { upper(x) };
    let start: Vec<f32> = numbers(total, 1).into_iter().map(known).collect();
    let halves = |numbers: &[f32]| -> Vec<u8> {
        numbers.iter().flat_map(|x| [x.to_le_bytes()[2], x.to_le_bytes()[3]]).collect()
    };
    let params = ok(gpu.zeros("w", total.next_multiple_of(2)));
    let params = View::whole(&params, format);
    gpu.queue.write_buffer(&params.buffer, 0, &format.encode_all(&start));
    let grads = View::bf16(&ok(gpu.zeros("g", total.next_multiple_of(2))));
    let mut optimizer = Optimizer::new(&gpu.device);
    let other = group.clone().lr(group.lr / 3.0).weight_decay(group.weight_decay + 0.02);
    let groups = [group.clone(), other].map(|group| ok(optimizer.add_group(group)));
    let mut views = Vec::new();
    let mut at = 1;
    for (i, len) in lens.into_iter().enumerate() {
        let range = at..at + len;
        let grad = grads.clone().range(at + i as u64 % 2..at + i as u64 % 2 + len);
        let view = params.clone().range(range);
        ok(optimizer.add_param(groups[i % 2], &format!("w{i}"), view.clone(), grad));
        views.push(view);
        at += len + i as u64 % 4;
    }
    for t in 0..STEPS {
        let g: Vec<f32> = numbers(total, 2 + t).into_iter().map(upper).collect();
        gpu.queue.write_buffer(&grads.buffer, 0, &halves(&g));
        gpu.step(&mut optimizer);
    }
    let shown: Vec<Vec<u32>> = views.iter().map(|view| bits(gpu, view)).collect();
    let whole = shown.iter().enumerate().map(|(i, shown)| {
        let Some(rest) = ok(optimizer.master_of(&format!("w{i}"))) else { return shown.clone() };
        let whole = |(x, left): (&u32, f32)| group.master.whole(f32::from_bits(*x), left).to_bits();
        shown.iter().zip(read(gpu, &rest)).map(whole).collect()
    });
    let whole = whole.collect();
    Trained { shown, whole, dispatches: optimizer.dispatches() }
}

/// On a driver that contracts products and sums the same in both kernels, as all known ones.
#[test]
fn training_from_more_than_16_bits_is_training_in_f32() {
    let gpu = support::default_limits();
    for group in groups() {
        let group = group.state_format(Format::Bf16);
        let in_f32 = trained(&gpu, &group, Format::F32);
        for (master, format) in masters() {
            let trained = trained(&gpu, &group.clone().master(master), format);
            let rounded = |bits: &u32| match master {
                Master::Remainder => upper(f32::from_bits(*bits)).to_bits(),
                _ => format.decode(format.encode(f32::from_bits(*bits))).to_bits(),
            };
            let rounded = |bits: &Vec<u32>| bits.iter().map(rounded).collect();
            let rounded: Vec<Vec<u32>> = in_f32.whole.iter().map(rounded).collect();
            assert!(trained.shown == rounded, "{master:?} {format:?} {group:?}");
            assert!(trained.whole == in_f32.whole, "{master:?} {format:?} {group:?}");
            // Quads whose gradients are in phase, quads whose gradients are not, and single elements.
            assert_eq!(trained.dispatches, 3);
        }
    }
}

/// Without one, small steps are lost, and so the test above can fail.
#[test]
fn training_from_16_bits_is_not() {
    let in_f32 = trained(gpu(), &Group::adam(1e-3), Format::F32);
    let trained = trained(gpu(), &Group::adam(1e-3), Format::Bf16);
    let pairs = in_f32.shown.iter().flatten().zip(trained.shown.iter().flatten());
    let lost = pairs.filter(|(x, y)| upper(f32::from_bits(**x)).to_bits() != **y).count();
    assert!(lost > 1000, "{lost}");
}

/// A number that no f16 can hold is not lost either.
#[test]
fn a_master_knows_what_overflows_and_vanishes() {
    let gpu = gpu();
    let numbers = [1e6, -3.4e38, f32::INFINITY, f32::NAN, 1e-9, 1.0 + f32::EPSILON, -0.0];
    let len = numbers.len() as u64;
    let param = View::f16(&ok(gpu.zeros("w", len.div_ceil(2)))).range(0..len);
    let grads = ok(gpu.upload("g", &numbers.map(|x| -x)));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(Group::sgd(1.0).master(Master::F32)));
    ok(optimizer.add_param(group, "w", param.clone(), View::f32(&grads)));
    gpu.step(&mut optimizer);
    let shown = read(gpu, &param);
    assert_eq!(shown[..3], [f32::INFINITY, f32::NEG_INFINITY, f32::INFINITY]);
    assert!(shown[3].is_nan() && shown[4] == 0.0 && shown[5] == 1.0);
    let Some(rest) = ok(optimizer.master_of("w")) else { panic!("no master") };
    let pairs = shown.iter().zip(read(gpu, &rest));
    let whole: Vec<f32> = pairs.map(|(shown, rest)| Master::F32.whole(*shown, rest)).collect();
    assert_eq!(whole[..3], numbers[..3]);
    assert!(whole[3].is_nan() && whole[4..6] == numbers[4..6]);
}

#[test]
fn what_a_remainder_cannot_do() {
    let gpu = gpu();
    let remainder = Group::adam(0.1).master(Master::Remainder);
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(remainder.clone()));
    let (w, g) = (ok(gpu.zeros("w", 8)), ok(gpu.zeros("g", 16)));
    let added = optimizer.add_param(group, "w", View::f16(&w), View::f32(&g));
    assert_eq!(
        added.map_err(|e| e.to_string()).err().as_deref(),
        Some(
            "parameter `w`: a remainder makes an f32 of bf16, and this is f16; store it in bf16, or give it a master in f32"
        )
    );
    ok(optimizer.add_param(group, "w", View::bf16(&w), View::f32(&g)));
    let changed = optimizer.set_group(group, Group::adam(0.1));
    assert_eq!(
        changed.map_err(|e| e.to_string()).err().as_deref(),
        Some(
            "group 0: its parameters' state is f32 with remainders, the new options keep it in f32; parameters keep their state, so add a group for the new options and new parameters to it"
        )
    );
    let amsgrad = remainder.rule(Adam { amsgrad: true, ..Adam::default() });
    let limits = Limits { max_storage_buffers_per_shader_stage: 6, ..Limits::default() };
    let small = ok(Gpu::with_limits(gpu.adapter.clone(), limits));
    let refused = Optimizer::new(&small.device).add_group(amsgrad);
    assert_eq!(
        refused.map_err(|e| e.to_string()).err().as_deref(),
        Some(
            "the device's max_storage_buffers_per_shader_stage is 6, rule `adam` needs 7; request the adapter's own limits when creating the device"
        )
    );
}
