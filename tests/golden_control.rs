//! Clipping, loss scaling and skipping against what PyTorch's `clip_grad_norm_`, `clip_grad_value_` and
//! `GradScaler` made of the same gradients, and of their means, in f64 (`tools/golden_control.py` and
//! `tools/golden_average.py` made the files).

use std::path::Path;
use support::ByName;

use approx::relative_eq;
use support::{COEFFICIENT, Tensors, gpu, ok, read, scaled, stats, tensors};
use wgpu_optim::{
    Adam, Control, Controller, Group, LossScale, Norm, Optimizer, Reference, RmsProp, Trajectory,
    View,
};

const STEPS: usize = 24;
const NAMES: [&str; 2] = ["w", "b"];

/// A case, what it asks for, and whether some of its gradients are bad.
fn cases() -> Vec<(&'static str, Control, bool)> {
    let plain = Control::default();
    let scaler = |init, growth, backoff, interval| Control {
        loss_scale: LossScale::Dynamic { init, growth, backoff, interval },
        ..plain
    };
    let dynamic = Control { loss_scale: LossScale::dynamic(), ..plain };
    let (norm, value) = (Some(1.0), Some(0.25));
    vec![
        ("norm", Control { clip_norm: norm, ..plain }, false),
        ("norm_largest", Control { clip_norm: Some(0.5), norm: Norm::Largest, ..plain }, false),
        ("value", Control { clip_value: value, ..plain }, false),
        ("value_and_norm", Control { clip_value: value, clip_norm: norm, ..plain }, false),
        ("scaler", scaler(64.0, 2.0, 0.5, 4), true),
        ("scaler_defaults", dynamic, true),
        ("scaler_norm", Control { clip_norm: norm, ..scaler(8.0, 2.0, 0.5, 3) }, true),
        (
            "scaler_all",
            Control { clip_value: Some(0.2), clip_norm: Some(0.7), ..scaler(4.0, 4.0, 0.25, 2) },
            true,
        ),
    ]
}

fn load(file: &str) -> Tensors {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden_control");
    tensors(&folder.join(format!("{file}.safetensors")))
}

/// Runs every case with both optimizers: name, group, control, the origin's numbers, the trace's.
fn each(mut check: impl FnMut(&str, &Group, Control, &Tensors, [Vec<f64>; 2], &[[Vec<f64>; 2]])) {
    let trace = load("trace");
    let optimizers = [
        ("adam", Group::new(1e-2, Adam::pytorch())),
        ("rmsprop", Group::new(1e-2, RmsProp::pytorch())),
    ];
    for (case, control, bad) in cases() {
        for (optimizer, group) in &optimizers {
            let file = format!("{case}_{optimizer}");
            let params = NAMES.map(|name| trace[&format!("param.{name}")].clone());
            let kind = if bad { "bad" } else { "grad" };
            let grads: Vec<_> = (0..STEPS)
                .map(|step| {
                    NAMES.map(|name| {
                        let all = &trace[&format!("{kind}.{name}")];
                        let len = all.len() / STEPS;
                        all[step * len..(step + 1) * len].to_vec()
                    })
                })
                .collect();
            check(&file, group, control, &load(&file), params, &grads);
        }
    }
}

/// The origin's numbers after a step.
fn row<'a>(expected: &'a Tensors, name: &str, step: usize) -> &'a [f64] {
    let all = &expected[&format!("param.{name}")];
    let len = all.len() / STEPS;
    &all[step * len..(step + 1) * len]
}

#[test]
fn the_reference_agrees_with_pytorch() {
    each(|file, group, control, expected, params, grads| {
        let mut controller = ok(Controller::new(control));
        let mut references = params.map(|param| ok(Reference::new(group, &param)));
        for (step, grads) in grads.iter().enumerate() {
            let mut seen = grads.clone();
            if controller.apply(&mut seen) {
                for (reference, grad) in references.iter_mut().zip(&seen) {
                    ok(reference.step(grad));
                }
                let (norm, origin) = (controller.stats(&[]).norm, expected["norm"][step]);
                assert!(relative_eq!(norm, origin, max_relative = 1e-12), "{file} {step}");
            }
            let stats = controller.stats(&[]);
            assert_eq!(stats.loss_scale, expected["scale"][step], "{file}: step {step}");
            assert_eq!(stats.taken as f64, expected["taken"][step], "{file}: step {step}");
            for (name, reference) in NAMES.iter().zip(&references) {
                for (x, y) in reference.param().iter().zip(row(expected, name, step)) {
                    let same = relative_eq!(x, y, max_relative = 1e-12, epsilon = 1e-13);
                    assert!(same, "{file}: step {step}: {x:e} in place of {y:e}");
                }
            }
        }
    });
}

#[test]
fn the_gpu_takes_the_same_steps_and_is_within_its_bounds() {
    let gpu = gpu();
    let mut worst = (0.0, String::new());
    each(|file, group, control, expected, params, grads| {
        let narrow = |x: &[f64]| x.iter().map(|x| *x as f32).collect::<Vec<_>>();
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(control));
        let id = ok(optimizer.add_group(group.clone()));
        let views = [0, 1].map(|i| {
            let param = ok(gpu.upload("param", &narrow(&params[i])));
            let grad = ok(gpu.zeros("grad", params[i].len() as u64));
            ok(optimizer.add_param(id, NAMES[i], View::f32(&param), View::f32(&grad)));
            (param, grad)
        });
        let mut controller = ok(Controller::new(control));
        let mut bounds = params.map(|param| {
            let loaded: Vec<_> = param.iter().map(|x| Trajectory::loaded(*x as f32)).collect();
            ok(Reference::starting(group, &loaded, Trajectory::loaded(0.0)))
        });
        for (step, grads) in grads.iter().enumerate() {
            for ((_, view), grad) in views.iter().zip(grads) {
                gpu.queue.write_buffer(view, 0, bytemuck::cast_slice(&narrow(grad)));
            }
            gpu.step(&mut optimizer);
            let mut seen = grads.clone();
            let taken = controller.apply(&mut seen);
            if control.looks_at_gradients() {
                let stats = stats(gpu, &optimizer);
                assert_eq!(stats.loss_scale, expected["scale"][step], "{file}: step {step}");
                assert_eq!(stats.taken as f64, expected["taken"][step], "{file}: step {step}");
                if taken {
                    let (norm, origin) = (stats.norm, expected["norm"][step]);
                    assert!(
                        relative_eq!(norm, origin, max_relative = COEFFICIENT),
                        "{file} {step}"
                    );
                }
            }
            for i in 0..2 {
                if taken {
                    ok(bounds[i].step(&seen[i].iter().map(scaled).collect::<Vec<_>>()));
                }
                let (ours, origin) =
                    (read(gpu, &View::f32(&views[i].0)), row(expected, NAMES[i], step));
                for (j, (bound, x)) in bounds[i].param().iter().zip(ours).enumerate() {
                    // The bound is around the reference, which is the origin's but for f64's rounding.
                    let ratio = Trajectory { value: origin[j], ..*bound }.ratio(x);
                    assert!(ratio <= 1.0, "{file}: step {step}: {}[{j}]: {ratio} bounds", NAMES[i]);
                    if ratio > worst.0 {
                        worst = (ratio, format!("{file}, step {step}"));
                    }
                }
            }
        }
    });
    println!("worst |Δ| / bound {:.3} in {}", worst.0, worst.1);
}

/// Gradients that make up one step, as in `tools/golden_average.py`.
const EVERY: usize = 3;

/// The mean of three gradients, a step from it, and the average of the parameters, against PyTorch's
/// accumulation and `optax.ema`: the reference to f64's rounding, the GPU within its bounds.
#[test]
fn means_and_averages_are_the_origins() {
    let (gpu, trace) = (gpu(), load("trace"));
    let narrow = |x: &[f64]| x.iter().map(|x| *x as f32).collect::<Vec<_>>();
    let optimizers = [
        ("adam", Group::new(1e-2, Adam::pytorch()).ema(0.9)),
        ("rmsprop", Group::new(1e-2, RmsProp::pytorch()).ema(0.9)),
    ];
    for (rule, group) in optimizers {
        let file = format!("average_{rule}");
        let expected = load(&file);
        for name in NAMES {
            let start = &trace[&format!("param.{name}")];
            let grads: Vec<_> = trace[&format!("grad.{name}")].chunks(start.len()).collect();
            let mut controller = ok(Controller::new(Control::default()));
            let mut exact = ok(Reference::new(&group, start));
            let loaded: Vec<_> = start.iter().map(|x| Trajectory::loaded(*x as f32)).collect();
            let mut bounds = ok(Reference::starting(&group, &loaded, Trajectory::loaded(0.0)));
            let mut optimizer = Optimizer::new(&gpu.device);
            let id = ok(optimizer.add_group(group.clone()));
            let param = View::f32(&ok(gpu.upload("param", &narrow(start))));
            let grad = ok(gpu.zeros("grad", start.len() as u64));
            ok(optimizer.add_param(id, name, param.clone(), View::f32(&grad)));
            for (step, parts) in grads.chunks(EVERY).enumerate() {
                let mut sums = vec![Trajectory::loaded(0.0); start.len()];
                for part in parts {
                    controller.accumulate(&[part.to_vec()]);
                    let loaded = part.iter().map(|x| Trajectory::loaded(*x as f32));
                    sums.iter_mut().zip(loaded).for_each(|(sum, g)| *sum = *sum + g);
                    gpu.queue.write_buffer(&grad, 0, bytemuck::cast_slice(&narrow(part)));
                    let mut encoder = gpu.device.create_command_encoder(&Default::default());
                    ok(optimizer.accumulate(&mut encoder));
                    gpu.queue.submit([encoder.finish()]);
                }
                gpu.step(&mut optimizer);
                let mut mean = [vec![0.0; start.len()]];
                assert!(controller.apply(&mut mean));
                ok(exact.step(&mean[0]));
                let share = Trajectory { value: 1.0 / 3.0, error: 1e-7 };
                ok(bounds.step(&sums.iter().map(|sum| *sum * share).collect::<Vec<_>>()));

                let average = ok(optimizer.ema_of(name)).unwrap_or_else(|| panic!("no average"));
                let none: &[f64] = &[];
                let numbers = [
                    ("param", exact.param(), bounds.param(), read(gpu, &param)),
                    (
                        "ema",
                        exact.ema().unwrap_or(none),
                        bounds.ema().unwrap_or_default(),
                        read(gpu, &average),
                    ),
                ];
                for (what, exact, bounds, ours) in numbers {
                    let origin = &expected[&format!("{what}.{name}")];
                    let origin = &origin[step * start.len()..(step + 1) * start.len()];
                    assert!(exact.len() == origin.len() && ours.len() == origin.len());
                    for (i, x) in origin.iter().enumerate() {
                        let place = format!("{file}: {what}.{name}[{i}] after step {step}");
                        let same = relative_eq!(exact[i], x, max_relative = 1e-12, epsilon = 1e-13);
                        assert!(same, "{place}: {:e} in place of {x:e}", exact[i]);
                        let ratio = Trajectory { value: *x, ..bounds[i] }.ratio(ours[i]);
                        assert!(ratio <= 1.0, "{place}: {ratio} bounds");
                    }
                }
            }
        }
    }
}
