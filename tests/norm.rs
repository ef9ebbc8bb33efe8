//! Norms of gradients of any size, and what clipping makes of those that have none.

use support::{COEFFICIENT, close, gpu, numbers, ok, read, stats};
use wgpu_optim::{Control, Group, Norm, Optimizer, View};

/// Gradients of 1e30, of 1e-30, of both, and many.
#[test]
fn a_norm_neither_overflows_nor_vanishes() {
    let gpu = gpu();
    let mixed = |sizes: &[f32], len: usize| -> Vec<f32> {
        let numbers = numbers(len as u64, 5);
        numbers.iter().zip(sizes.iter().cycle()).map(|(x, size)| x * size).collect()
    };
    let cases = [
        ("1e30", mixed(&[1e30], 100_000)),
        ("1e-30", mixed(&[1e-30], 100_000)),
        ("1e-30 and 1e30", mixed(&[1e-30, 1e30], 100_000)),
        ("1e-13 and 1e-12", mixed(&[1e-13, 1e-12], 3_000_000)),
        ("1e12 and 1e13", mixed(&[1e12, 1e13, 1.0], 300_000)),
        ("one", vec![1.5e-38]),
        ("many", mixed(&[1.0], 20_000_000)),
    ];
    for (name, grad) in cases {
        let (param, grads) = (ok(gpu.zeros("w", grad.len() as u64)), ok(gpu.upload("g", &grad)));
        let mut optimizer = Optimizer::new(&gpu.device);
        let id = ok(optimizer.add_group(Group::sgd(0.0)));
        ok(optimizer.add_param(id, "w", View::f32(&param), View::f32(&grads)));
        for norm in [Norm::Euclidean, Norm::Largest] {
            let control = Control { clip_norm: Some(1.0), norm, ..Control::default() };
            ok(optimizer.set_control(control));
            gpu.step(&mut optimizer);
            let stats = stats(gpu, &optimizer);
            let squares = grad.iter().map(|&g| f64::from(g) * f64::from(g));
            let expected = match norm {
                Norm::Euclidean => squares.sum::<f64>().sqrt(),
                Norm::Largest => grad.iter().map(|g| f64::from(g.abs())).fold(0.0, f64::max),
                other => panic!("{other:?} is not tested"),
            };
            close(name, stats.norm, expected, COEFFICIENT);
        }
    }
}

/// One gradient explodes, and clipping by value makes it ordinary: its neighbours still count.
#[test]
fn a_norm_is_of_what_clipping_by_value_leaves() {
    let gpu = gpu();
    for (large, limit, expected) in
        [(1e13, 0.5, 0.624_5), (f32::INFINITY, 0.5, 0.624_5), (1e30, 1e-20, 2e-20)]
    {
        let grads = ok(gpu.upload("g", &[large, 0.3, -0.2, 0.1]));
        let param = ok(gpu.zeros("w", 4));
        let mut optimizer = Optimizer::new(&gpu.device);
        let id = ok(optimizer.add_group(Group::sgd(0.0)));
        ok(optimizer.add_param(id, "w", View::f32(&param), View::f32(&grads)));
        let clip_value = Some(limit);
        ok(optimizer.set_control(Control {
            clip_norm: Some(0.1),
            clip_value,
            ..Control::default()
        }));
        gpu.step(&mut optimizer);
        close("norm", stats(gpu, &optimizer).norm, expected, 1e-5);
    }
}

/// Without skipping, an Inf or NaN goes where PyTorch lets it go.
#[test]
fn what_is_not_skipped_is_not_hidden() {
    let gpu = gpu();
    let step = |control: Control, grad: [f32; 3]| {
        let (param, grads) = (ok(gpu.zeros("w", 3)), ok(gpu.upload("g", &grad)));
        let mut optimizer = Optimizer::new(&gpu.device);
        let id = ok(optimizer.add_group(Group::sgd(1.0)));
        ok(optimizer.add_param(id, "w", View::f32(&param), View::f32(&grads)));
        ok(optimizer.set_control(control));
        gpu.step(&mut optimizer);
        read(gpu, &View::f32(&param))
    };
    let norm = Control { clip_norm: Some(1.0), ..Control::default() };
    let value = Control { clip_value: Some(0.5), ..Control::default() };
    let both = Control { clip_value: Some(0.5), ..norm };
    // clip_grad_norm_ of an Inf: everything by 0, and Inf · 0 is NaN.
    let clipped = step(norm, [1.0, f32::INFINITY, -2.0]);
    assert!(clipped[1].is_nan() && clipped[0] == 0.0 && clipped[2] == 0.0, "{clipped:?}");
    assert!(step(norm, [1.0, f32::NAN, -2.0]).iter().all(|x| x.is_nan()));
    // clip_grad_value_ of an Inf: the limit.
    assert_eq!(step(value, [1.0, f32::INFINITY, -0.25]), [-0.5, -0.5, 0.25]);
    let clipped = step(value, [f32::NEG_INFINITY, f32::NAN, 0.25]);
    assert!(clipped[0] == 0.5 && clipped[1].is_nan() && clipped[2] == -0.25, "{clipped:?}");
    let clipped = step(both, [f32::INFINITY, 0.0, -0.25]);
    assert!((clipped[0] + 0.5).abs() < 1e-6 && (clipped[2] - 0.25).abs() < 1e-6, "{clipped:?}");
}
