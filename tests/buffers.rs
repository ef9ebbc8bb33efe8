//! Any buffer: every length, offset and layout, past every limit of a single dispatch or binding.

use support::{Training, cases, default_limits, gpu, numbers, ok, read};
use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::Limits;
use wgpu_optim::{Control, Group, Optimizer, Reference, Trajectory, View};

/// Steps a parameter with these numbers; returns the worst |Δ| / bound over all of it.
fn worst_after(gpu: &Gpu, group: &Group, param: &View, grad: &View, steps: u32) -> f64 {
    let (before, g) = (read(gpu, param), read(gpu, grad));
    let mut optimizer = Optimizer::new(&gpu.device);
    let id = ok(optimizer.add_group(group.clone()));
    ok(optimizer.add_param(id, "w", param.clone(), grad.clone()));
    (0..steps).for_each(|_| gpu.step(&mut optimizer));
    worst(group, &before, &g, &read(gpu, param), steps)
}

/// The worst |Δ| / bound of `after`, reached from `before` by steps with one and the same gradient.
fn worst(group: &Group, before: &[f32], grad: &[f32], after: &[f32], steps: u32) -> f64 {
    let loaded = |x: &[f32]| x.iter().copied().map(Trajectory::loaded).collect::<Vec<_>>();
    let mut expected = ok(Reference::starting(group, &loaded(before), Trajectory::loaded(0.0)));
    let grad = loaded(grad);
    (0..steps).for_each(|_| ok(expected.step(&grad)));
    expected.param().iter().zip(after).map(|(bound, x)| bound.ratio(*x)).fold(0.0, f64::max)
}

#[test]
fn every_length_and_phase() {
    let gpu = gpu();
    for len in [1, 2, 3, 4, 5, 6, 7, 8, 255, 256, 1023, 1024, 1025, 4099] {
        for (param_at, grad_at) in [(0, 0), (1, 1), (3, 3), (0, 1), (2, 3), (63, 65)] {
            let param = ok(gpu.upload("param", &numbers(len + 70, len + 1)));
            let grad = ok(gpu.upload("grad", &numbers(len + 70, len + 2)));
            let param = View::f32(&param).range(param_at..param_at + len);
            let grad = View::f32(&grad).range(grad_at..grad_at + len);
            let worst = worst_after(gpu, &Group::adam(1e-2), &param, &grad, 3);
            assert!(worst <= 1.0, "{len} elements at {param_at} and {grad_at}: {worst} bounds off");
        }
    }
}

/// Every case fits the limits that the web guarantees. The cases that do not look at gradients, which takes
/// room on the device, also fit bindings of 4 KiB. The bits are the same.
#[test]
fn limits_change_no_bit() {
    let small = Limits {
        max_storage_buffer_binding_size: 4096,
        max_compute_workgroups_per_dimension: 2,
        ..Limits::default()
    };
    let small = ok(Gpu::with_limits(gpu().adapter.clone(), small));
    let default = default_limits();
    for case in cases() {
        let bits = |gpu: &Gpu| {
            let mut training = Training::new(gpu, &case);
            (0..3).for_each(|_| training.step());
            training.bits()
        };
        let own = bits(gpu());
        bits(&default).assert_are(&own, &format!("the web's limits: {case:?}"));
        if !case.control.looks_at_gradients() {
            bits(&small).assert_are(&own, &format!("bindings of 4 KiB: {case:?}"));
        }
    }
}

#[test]
fn thousands_of_views_of_an_arena_take_two_dispatches() {
    let gpu = gpu();
    const VIEWS: u64 = 3000;
    let total: u64 = (0..VIEWS).map(|i| 1 + i % 97).sum();
    let (before, g) = (numbers(total, 3), numbers(total, 4));
    let (params, grads) = (ok(gpu.upload("params", &before)), ok(gpu.upload("grads", &g)));
    let mut optimizer = Optimizer::new(&gpu.device);
    let groups: Vec<Group> = (0..10)
        .map(|i| Group::adam(1e-4 * f64::from(i + 1)).weight_decay(f64::from(i) / 50.0))
        .map(|group| group.clone().decoupled(group.lr > 5e-4))
        .collect();
    let ids: Vec<_> = groups.iter().map(|group| ok(optimizer.add_group(group.clone()))).collect();
    let mut at = 0;
    let mut ranges = Vec::new();
    for i in 0..VIEWS {
        let range = at..at + 1 + i % 97;
        at = range.end;
        let view = |buffer| View::f32(buffer).range(range.clone());
        let id = ids[i as usize % ids.len()];
        ok(optimizer.add_param(id, &format!("w{i}"), view(&params), view(&grads)));
        ranges.push(range.start as usize..range.end as usize);
    }
    assert_eq!(optimizer.dispatches(), 2, "whole quadruples, and what is left at the ends");
    (0..3).for_each(|_| gpu.step(&mut optimizer));
    let after = read(gpu, &View::f32(&params));
    for (i, range) in ranges.into_iter().enumerate() {
        let (before, g, after) = (&before[range.clone()], &g[range.clone()], &after[range]);
        let worst = worst(&groups[i % groups.len()], before, g, after, 3);
        assert!(worst <= 1.0, "view {i}: {worst} bounds off");
    }
}

/// More groups than a launch sees the scalars of, dealt out in turn, whether the host counts or the GPU: each
/// has its own learning rate.
#[test]
fn a_hundred_groups_in_one_arena() {
    const GROUPS: u64 = 100;
    const LEN: u64 = 37;
    let gpu = default_limits();
    for control in [Control::default(), Control { skip_nonfinite: true, ..Control::default() }] {
        let all = 3 * GROUPS * LEN;
        let (params, grads) =
            (ok(gpu.zeros("w", all)), ok(gpu.upload("g", &vec![1.0; all as usize])));
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(control));
        let rate = |group: u64| (group + 1) as f64;
        let ids: Vec<_> =
            (0..GROUPS).map(|i| ok(optimizer.add_group(Group::sgd(rate(i))))).collect();
        for i in 0..3 * GROUPS {
            let [param, grad] =
                [&params, &grads].map(|b| View::f32(b).range(i * LEN..(i + 1) * LEN));
            ok(optimizer.add_param(ids[(i % GROUPS) as usize], &i.to_string(), param, grad));
        }
        gpu.step(&mut optimizer);
        let expected = |at: u64| -rate(at / LEN % GROUPS) as f32;
        let expected: Vec<f32> = (0..all).map(expected).collect();
        assert!(read(&gpu, &View::f32(&params)) == expected, "{control:?}");
        // Four windows, each with quads and scalars; the norm in phase, out of phase and of the rest, and the decision.
        let deciding = if control.looks_at_gradients() { 4 } else { 0 };
        assert_eq!(optimizer.dispatches(), 8 + deciding);
    }
}

#[test]
fn parameters_and_gradients_in_one_buffer() {
    let gpu = gpu();
    let all = numbers(5000, 5);
    let page = ok(gpu.upload("page", &all));
    let view = |from: u64, len: u64| View::f32(&page).range(from..from + len);
    let worst = worst_after(gpu, &Group::rmsprop(1e-2), &view(10, 1500), &view(2002, 1500), 2);
    assert!(worst <= 1.0, "{worst} bounds off");
    let after = read(gpu, &View::f32(&page));
    let outside = |i: &usize| !(10..1510).contains(i);
    assert!((0..5000).filter(outside).all(|i| after[i].to_bits() == all[i].to_bits()));
}

/// A buffer of `len` numbers with a period, and the same of gradients.
fn periodic(gpu: &Gpu, len: u64, period: u64, seed: u64) -> wgpu_optim::wgpu::Buffer {
    let pattern = numbers(period, seed);
    let buffer = ok(gpu.zeros("periodic", len));
    for at in (0..len).step_by(period as usize) {
        let part = &pattern[..period.min(len - at) as usize];
        gpu.queue.write_buffer(&buffer, at * 4, bytemuck::cast_slice(part));
        if (at / period).is_multiple_of(256) {
            gpu.queue.submit([]);
            ok(gpu.wait());
        }
    }
    buffer
}

/// Steps `len` periodic elements; every period must come out as the first, and that as the reference.
fn every_period_alike(gpu: &Gpu, group: &Group, len: u64, period: u64, grad_at: u64) {
    let params = periodic(gpu, len, period, 6);
    let grads = periodic(gpu, len + grad_at, period, 7);
    let grads = View::f32(&grads).range(grad_at..grad_at + len);
    let first = |view: &View| read(gpu, &view.clone().range(0..period));
    let (before, g) = (first(&View::f32(&params)), first(&grads));
    let mut optimizer = Optimizer::new(&gpu.device);
    let id = ok(optimizer.add_group(group.clone()));
    ok(optimizer.add_param(id, "w", View::f32(&params), grads));
    println!("{len} elements: {} dispatches", optimizer.dispatches());
    (0..2).for_each(|_| gpu.step(&mut optimizer));
    let after = read(gpu, &View::f32(&params));
    let worst = worst(group, &before, &g, &after[..period as usize], 2);
    assert!(worst <= 1.0, "{worst} bounds off");
    for (i, x) in after.iter().enumerate() {
        let expected = after[i % period as usize];
        assert!(x.to_bits() == expected.to_bits(), "element {i}: {x:e} in place of {expected:e}");
    }
}

#[test]
fn forty_million_parameters_are_more_than_one_binding() {
    // 160 MB: lavapipe and the web's default bind 128 MiB at most.
    every_period_alike(&default_limits(), &Group::adam(1e-2), 40_000_001, 65_536, 0);
}

#[test]
fn more_workgroups_than_fit_one_dimension() {
    // At another phase of 16 bytes an invocation takes one element: 65 535 × 256 are not enough.
    every_period_alike(&default_limits(), &Group::sgd(1e-2), 16_900_000, 65_536, 1);
}
