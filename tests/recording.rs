//! The host layer: what a step records, when options count, and what changes in between.

use support::ByName;
use support::{Action, Training, bits, cases, gpu, numbers, ok, read};
use wgpu_optim::wgpu::ComputePassDescriptor;
use wgpu_optim::{Adam, Group, Optimizer, Reference, Sgd, View};

const LEN: u64 = 1003;

/// The steps of each case that tests compare: enough for gradients to be skipped and scales to grow.
const STEPS: usize = 3;

/// Recorded into one encoder, steps with all their options give the bits of steps submitted action by action.
/// Recording alone changes none.
#[test]
fn steps_in_one_encoder_give_the_bits_of_steps_submitted_alone() {
    let gpu = gpu();
    for case in cases() {
        let [mut together, mut alone] = [0, 1].map(|_| Training::new(gpu, &case));
        let before = together.bits();
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        for _ in 0..STEPS {
            for action in together.actions() {
                together.record(action, &mut encoder);
            }
            alone.step();
        }
        together.bits().assert_are(&before, &format!("recorded: {case:?}"));
        gpu.queue.submit([encoder.finish()]);
        let after = together.bits();
        assert!(after != before, "submitting must change something: {case:?}");
        after.assert_are(&alone.bits(), &format!("submitted: {case:?}"));
    }
}

#[test]
fn recording_into_an_open_pass_gives_the_same_bits() {
    let gpu = gpu();
    for case in cases() {
        let [mut alone, mut in_one] = [0, 1].map(|_| Training::new(gpu, &case));
        alone.submit(Action::Gradients);
        in_one.submit(Action::Gradients);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        let actions = alone.actions().into_iter().filter(|action| *action != Action::Gradients);
        for action in actions.collect::<Vec<_>>().repeat(STEPS) {
            in_one.record_in_pass(action, &mut pass);
            alone.submit(action);
        }
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
        in_one.bits().assert_are(&alone.bits(), &format!("{case:?}"));
    }
}

#[test]
fn a_parameter_added_later_counts_its_own_steps() {
    let gpu = gpu();
    let (w, g) = (numbers(8, 1), numbers(8, 2));
    let buffers = || (ok(gpu.upload("w", &w)), ok(gpu.upload("g", &g)));
    let ((early, early_grad), (late, late_grad), (alone, alone_grad)) =
        (buffers(), buffers(), buffers());
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(Group::adam(1e-2)));
    ok(optimizer.add_param(group, "early", View::f32(&early), View::f32(&early_grad)));
    (0..7).for_each(|_| gpu.step(&mut optimizer));
    ok(optimizer.add_param(group, "late", View::f32(&late), View::f32(&late_grad)));
    (0..3).for_each(|_| gpu.step(&mut optimizer));
    assert_eq!(ok(optimizer.steps(group)), 10);

    let mut other = Optimizer::new(&gpu.device);
    let group = ok(other.add_group(Group::adam(1e-2)));
    ok(other.add_param(group, "alone", View::f32(&alone), View::f32(&alone_grad)));
    (0..3).for_each(|_| gpu.step(&mut other));
    assert_eq!(bits(gpu, &View::f32(&late)), bits(gpu, &View::f32(&alone)));
    (0..7).for_each(|_| gpu.step(&mut other));
    assert_eq!(bits(gpu, &View::f32(&early)), bits(gpu, &View::f32(&alone)));
}

#[test]
fn a_gradient_may_move_from_step_to_step() {
    let gpu = gpu();
    let grads: Vec<_> =
        (0..4).map(|seed| ok(gpu.upload("grad", &numbers(LEN + 1, seed)))).collect();
    let (moving, fixed) =
        (ok(gpu.upload("w", &numbers(LEN, 9))), ok(gpu.upload("w", &numbers(LEN, 9))));
    let one = ok(gpu.zeros("grad", LEN));
    let group = || Group::rmsprop(1e-2);
    let (mut a, mut b) = (Optimizer::new(&gpu.device), Optimizer::new(&gpu.device));
    let (a_group, b_group) = (ok(a.add_group(group())), ok(b.add_group(group())));
    let first = View::f32(&grads[0]).range(0..LEN);
    let id = ok(a.add_param(a_group, "w", View::f32(&moving), first));
    ok(b.add_param(b_group, "w", View::f32(&fixed), View::f32(&one)));
    for (t, grad) in grads.iter().enumerate() {
        // At one phase of 16 bytes and at another.
        let range = t as u64 % 2..LEN + t as u64 % 2;
        ok(a.set_grad(id, View::f32(grad).range(range.clone())));
        gpu.step(&mut a);
        let values = &numbers(LEN + 1, t as u64)[range.start as usize..range.end as usize];
        gpu.queue.write_buffer(&one, 0, bytemuck::cast_slice(values));
        gpu.step(&mut b);
    }
    let (a, b) = (read(gpu, &View::f32(&moving)), read(gpu, &View::f32(&fixed)));
    // Two kernels take part, of four elements and of one: the same formula, not always the same bits.
    for (x, y) in a.iter().zip(&b) {
        assert!((x - y).abs() <= 4.0 * f32::EPSILON * x.abs().max(0.1), "{x:e} and {y:e}");
    }
}

#[test]
fn the_rule_of_a_group_may_change_if_its_state_does_not() {
    let gpu = gpu();
    let (before, g) = (numbers(4, 1), numbers(4, 2));
    let (w, grad) = (ok(gpu.upload("w", &before)), ok(gpu.upload("g", &g)));
    let mut optimizer = Optimizer::new(&gpu.device);
    let start = Group::sgd(0.1).rule(Sgd { momentum: 0.9, ..Sgd::default() });
    let group = ok(optimizer.add_group(start));
    ok(optimizer.add_param(group, "w", View::f32(&w), View::f32(&grad)));
    gpu.step(&mut optimizer);
    let nesterov = Sgd { momentum: 0.5, nesterov: true, ..Sgd::default() };
    let changed = ok(optimizer.group(group)).clone().rule(nesterov).lr(0.2);
    ok(optimizer.set_group(group, changed));
    gpu.step(&mut optimizer);
    for ((w, g), after) in before.iter().zip(&g).zip(read(gpu, &View::f32(&w))) {
        let buffer = 0.5 * g + g;
        let expected = w - 0.1 * g - 0.2 * (g + 0.5 * buffer);
        assert!((after - expected).abs() < 1e-6);
    }
}

#[test]
fn neighbours_in_an_arena_may_differ_in_their_switches_from_the_start_or_later() {
    let gpu = gpu();
    let (before, g) = (numbers(64, 1), numbers(64, 2));
    let heavy = Sgd { momentum: 0.9, ..Sgd::default() };
    let nesterov = Sgd { nesterov: true, ..heavy.clone() };
    for late in [false, true] {
        let (w, grad) = (ok(gpu.upload("w", &before)), ok(gpu.upload("g", &g)));
        let mut optimizer = Optimizer::new(&gpu.device);
        let a = ok(optimizer.add_group(Group::new(0.1, heavy.clone())));
        let first = if late { heavy.clone() } else { nesterov.clone() };
        let b = ok(optimizer.add_group(Group::new(0.1, first)));
        for (i, group) in [a, b, a, b].into_iter().enumerate() {
            let range = 16 * i as u64..16 * (i as u64 + 1);
            let view = |buffer| View::f32(buffer).range(range.clone());
            ok(optimizer.add_param(group, &format!("w{i}"), view(&w), view(&grad)));
        }
        optimizer.dispatches();
        ok(optimizer.set_group(b, Group::new(0.1, nesterov.clone())));
        gpu.step(&mut optimizer);
        for (i, after) in read(gpu, &View::f32(&w)).into_iter().enumerate() {
            let u = if i / 16 % 2 == 0 { g[i] } else { g[i] + 0.9 * g[i] };
            assert!((after - (before[i] - 0.1 * u)).abs() < 1e-6, "element {i}");
        }
    }
}

#[test]
fn state_is_found_by_its_pytorch_name_before_and_after_steps() {
    let gpu = gpu();
    let w = ok(gpu.upload("w", &[1.0, 2.0, 3.0]));
    let g = ok(gpu.upload("g", &[0.5, -0.25, 0.0]));
    let mut optimizer = Optimizer::new(&gpu.device);
    let amsgrad = Adam { amsgrad: true, ..Adam::default() };
    let group = ok(optimizer.add_group(Group::new(1e-3, amsgrad.clone())));
    ok(optimizer.add_param(group, "w", View::f32(&w), View::f32(&g)));
    assert_eq!(read(gpu, &ok(optimizer.state_of("w", "exp_avg"))), [0.0; 3], "zero at the start");
    gpu.step(&mut optimizer);
    let mut reference = ok(Reference::new(&Group::new(1e-3, amsgrad), &[1.0, 2.0, 3.0]));
    ok(reference.step(&[0.5, -0.25, 0.0]));
    for slot in ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"] {
        let view = ok(optimizer.state_of("w", slot));
        assert_eq!(view.len, 3);
        let expected = reference.state(slot).unwrap_or_default();
        for (x, y) in read(gpu, &view).iter().zip(expected) {
            assert!((f64::from(*x) - y).abs() <= 1e-7 * y.abs(), "{slot}: {x:e}, {y:e}");
        }
    }
}

#[test]
fn an_optimizer_without_parameters_records_nothing() {
    let gpu = gpu();
    let mut optimizer = Optimizer::new(&gpu.device);
    gpu.step(&mut optimizer);
    let group = ok(optimizer.add_group(Group::adam(1e-3)));
    gpu.step(&mut optimizer);
    assert_eq!((optimizer.dispatches(), ok(optimizer.steps(group))), (0, 1));
}
