//! The reference and the kernels against what PyTorch, Optax and Keras themselves computed, in f64, on
//! one trace (`tools/golden.py` made the files).
//!
//! The reference must agree with the origin as f64 agrees with f64. The GPU must be within the error
//! that running error analysis allows a correct f32 kernel over the whole trajectory: nothing tuned.

use std::path::{Path, PathBuf};
use support::ByName;

use approx::relative_eq;
use support::{Tensors, gpu, ok, slots, tensors};
use wgpu_optim::{
    Adagrad, Adam, Group, Lion, Optimizer, Reference, RmsProp, Sgd, Trajectory, View,
};

/// A golden file and the group that must give the same.
struct Row {
    file: &'static str,
    group: Group,
    /// The sign of the origin's momentum buffer: Optax keeps −lr in it.
    sign: f64,
}

fn row(file: &'static str, group: Group) -> Row {
    Row { file, group, sign: 1.0 }
}

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let adam = || Group::new(1e-2, Adam::pytorch());
    let amsgrad = || Group::new(1e-2, Adam { amsgrad: true, ..Adam::pytorch() });
    let adamw = |group: Group| group.weight_decay(0.1).decoupled(true);
    let rmsprop = |centered, momentum| {
        Group::new(1e-2, RmsProp { centered, momentum, ..RmsProp::pytorch() })
    };
    let keras = |centered, momentum| {
        Group::new(1e-2, RmsProp { centered, momentum, ..RmsProp::keras() })
    };
    let optax = |centered, momentum| {
        Group::new(1e-2, RmsProp { centered, momentum, ..RmsProp::optax() })
    };
    let sgd = |momentum, dampening, nesterov| {
        Group::new(1e-3, Sgd { momentum, dampening, nesterov })
    };
    let adagrad = || Group::new(1e-2, Adagrad::pytorch());
    vec![
        row("torch_adam", adam()),
        row("torch_adam_amsgrad", amsgrad()),
        row("torch_adam_weight_decay", adam().weight_decay(0.1)),
        row("torch_adam_maximize", adam().maximize(true)),
        row("torch_adam_amsgrad_weight_decay_maximize", amsgrad().weight_decay(0.1).maximize(true)),
        row("torch_adam_betas", adam().rule(Adam { betas: [0.8, 0.95], eps: 1e-4, ..Adam::pytorch() })),
        row("torch_adam_lr_schedule", adam()),
        row("torch_adam_added_later", adam()),
        row("torch_adamw", adamw(adam())),
        row("torch_adamw_amsgrad", adamw(amsgrad())),
        row("torch_adamw_maximize", adamw(adam()).maximize(true)),
        row("torch_rmsprop", rmsprop(false, 0.0)),
        row("torch_rmsprop_centered", rmsprop(true, 0.0)),
        row("torch_rmsprop_momentum", rmsprop(false, 0.9)),
        row("torch_rmsprop_centered_momentum", rmsprop(true, 0.9)),
        row("torch_rmsprop_weight_decay", rmsprop(false, 0.0).weight_decay(0.1)),
        row("torch_rmsprop_maximize", rmsprop(false, 0.0).maximize(true)),
        row("torch_rmsprop_all", rmsprop(true, 0.9).weight_decay(0.1).maximize(true).rule(
            RmsProp { alpha: 0.9, eps: 1e-4, centered: true, momentum: 0.9, ..RmsProp::pytorch() },
        )),
        row("torch_rmsprop_momentum_lr_schedule", rmsprop(false, 0.9)),
        row("torch_sgd", sgd(0.0, 0.0, false)),
        row("torch_sgd_momentum", sgd(0.9, 0.0, false)),
        row("torch_sgd_dampening", sgd(0.9, 0.5, false)),
        row("torch_sgd_nesterov", sgd(0.9, 0.0, true)),
        row("torch_sgd_weight_decay", sgd(0.0, 0.0, false).weight_decay(0.1)),
        row("torch_sgd_maximize", sgd(0.0, 0.0, false).maximize(true)),
        row("torch_sgd_all", sgd(0.9, 0.0, true).weight_decay(0.1).maximize(true)),
        row("torch_sgd_momentum_lr_schedule", sgd(0.9, 0.0, false)),
        row("torch_adagrad", adagrad()),
        row("torch_adagrad_lr_decay", adagrad().rule(Adagrad { lr_decay: 0.1, ..Adagrad::pytorch() })),
        row("torch_adagrad_initial_accumulator_value", adagrad().rule(
            Adagrad { initial_accumulator_value: 0.1, ..Adagrad::pytorch() },
        )),
        row("torch_adagrad_weight_decay", adagrad().weight_decay(0.1)),
        row("torch_adagrad_maximize", adagrad().maximize(true)),
        // The two forms the project starts from: ε inside the root.
        row("optax_adam_eps_root", Group::adam(1e-2)),
        row("optax_rmsprop", optax(false, 0.0)),
        row("optax_adam", Group::new(1e-2, Adam::optax())),
        row("optax_adamw", adamw(Group::new(1e-2, Adam::optax()))),
        row("optax_lion", Group::new(1e-2, Lion::default())),
        row("optax_lion_weight_decay", adamw(Group::new(1e-2, Lion { betas: [0.95, 0.98] }))),
        row("optax_rmsprop_centered", optax(true, 0.0)),
        Row { sign: -1.0, ..row("optax_rmsprop_momentum", optax(false, 0.9)) },
        Row { sign: -1.0, ..row("optax_rmsprop_momentum_lr_schedule", optax(false, 0.9)) },
        row("optax_sgd_nesterov", sgd(0.9, 0.0, true)),
        row("keras_rmsprop", keras(false, 0.0)),
        row("keras_rmsprop_momentum", keras(false, 0.9)),
        row("keras_rmsprop_centered", keras(true, 0.0)),
        row("keras_rmsprop_centered_momentum", keras(true, 0.9)),
        row("keras_rmsprop_momentum_lr_schedule", keras(false, 0.9)),
        row("keras_adam", Group::new(1e-2, Adam::keras())),
        row("keras_adamw", adamw(Group::new(1e-2, Adam::keras()))),
        row("keras_adam_amsgrad", Group::new(1e-2, Adam { amsgrad: true, ..Adam::keras() })),
    ]
}

/// The tensors of a golden file.
fn load(file: &str) -> Tensors {
    tensors(&golden().join(format!("{file}.safetensors")))
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// A parameter of the trace, and the step it was added after.
struct Traced {
    name: &'static str,
    param: Vec<f64>,
    grads: Vec<Vec<f64>>,
    added: usize,
}

/// The part of the trace that a golden file is about.
fn traced(expected: &Tensors) -> Vec<Traced> {
    let trace = load("trace");
    let steps = expected["lr"].len();
    let mut all = Vec::new();
    for name in ["w", "late"] {
        let Some(rows) = expected.get(&format!("param.{name}")) else { continue };
        let param = trace[&format!("param.{name}")].clone();
        let grads =
            trace[&format!("grad.{name}")].chunks(param.len()).map(<[f64]>::to_vec).collect();
        let added = steps - rows.len() / param.len();
        all.push(Traced { name, param, grads, added });
    }
    all
}

/// A slot as the origin left it, with its sign as ours.
fn state_of(expected: &Tensors, name: &str, slot: &str, sign: f64) -> Vec<f64> {
    let sign = if slot == "momentum_buffer" { sign } else { 1.0 };
    expected[&format!("state.{name}.{slot}")].iter().map(|x| x * sign).collect()
}

#[test]
fn every_golden_file_has_a_row_and_every_row_a_file() {
    let mut files: Vec<String> = std::fs::read_dir(golden())
        .unwrap_or_else(|e| panic!("{e}"))
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .filter(|file| file != "trace")
        .collect();
    let mut rows: Vec<String> = rows().into_iter().map(|row| row.file.to_owned()).collect();
    files.sort();
    rows.sort();
    assert_eq!(files, rows);
}

#[test]
fn the_reference_agrees_with_its_origin() {
    for Row { file, group, sign } in rows() {
        let expected = load(file);
        for Traced { name, param, grads, added } in traced(&expected) {
            let mut reference = ok(Reference::new(&group, &param));
            let rows = expected[&format!("param.{name}")].chunks(param.len());
            for (t, row) in rows.enumerate() {
                ok(reference.set_lr(expected["lr"][added + t]));
                ok(reference.step(&grads[added + t]));
                for (i, (x, y)) in reference.param().iter().zip(row).enumerate() {
                    // Both are f64, rounded in another order; what cancels is of the size of `param`.
                    let largest = param[i].abs().max(1e-2);
                    assert!(
                        relative_eq!(x, y, max_relative = 1e-12, epsilon = 1e-12 * largest),
                        "{file}: step {t}, {name}[{i}]: {x:e} in place of {y:e}"
                    );
                }
            }
            for slot in slots(&group) {
                let state = reference.state(slot).unwrap_or_else(|| panic!("{file}: no {slot}"));
                let origin = state_of(&expected, name, slot, sign);
                for (x, y) in state.iter().zip(&origin) {
                    assert!(
                        relative_eq!(x, y, max_relative = 1e-11, epsilon = 1e-13),
                        "{file}: {slot}: {x:e} in place of {y:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_gpu_is_as_close_to_the_origin_as_f32_allows() {
    let gpu = gpu();
    let mut compared = Compared::default();
    for Row { file, group, sign } in rows() {
        let expected = load(file);
        let lrs = &expected["lr"];
        let traced = traced(&expected);
        let mut optimizer = Optimizer::new(&gpu.device);
        let id = ok(optimizer.add_group(group.clone()));
        let f32s = |x: &[f64]| x.iter().map(|x| *x as f32).collect::<Vec<_>>();
        let buffers: Vec<_> = traced
            .iter()
            .map(|t| {
                (
                    ok(gpu.upload("param", &f32s(&t.param))),
                    ok(gpu.zeros("grad", t.param.len() as u64)),
                )
            })
            .collect();
        let loaded = |x: &f64| Trajectory::loaded(*x as f32);
        let mut bounds: Vec<_> = traced
            .iter()
            .map(|t| {
                let param: Vec<_> = t.param.iter().map(loaded).collect();
                ok(Reference::starting(&group, &param, Trajectory::loaded(0.0)))
            })
            .collect();
        for (step, lr) in lrs.iter().enumerate() {
            ok(optimizer.set_lr(*lr));
            for ((t, (param, grad)), bound) in traced.iter().zip(&buffers).zip(&mut bounds) {
                if step < t.added {
                    continue;
                }
                if step == t.added {
                    ok(optimizer.add_param(id, t.name, View::f32(param), View::f32(grad)));
                }
                let grads = f32s(&t.grads[step]);
                gpu.queue.write_buffer(grad, 0, bytemuck::cast_slice(&grads));
                ok(bound.set_lr(*lr));
                ok(bound.step(&t.grads[step].iter().map(loaded).collect::<Vec<_>>()));
            }
            gpu.step(&mut optimizer);
            for ((t, (param, _)), bound) in traced.iter().zip(&buffers).zip(&bounds) {
                if step < t.added {
                    continue;
                }
                let mut rows = expected[&format!("param.{}", t.name)].chunks(t.param.len());
                let row = rows.nth(step - t.added).unwrap_or_default();
                let actual = support::read(gpu, &View::f32(param));
                let of = format!("{file}: step {step}, {}", t.name);
                compared.with(&of, &actual, row, bound.param());
            }
        }
        for (t, bound) in traced.iter().zip(&bounds) {
            for slot in slots(&group) {
                let view = ok(optimizer.state_of(t.name, slot));
                let origin = state_of(&expected, t.name, slot, sign);
                let bound = bound.state(slot).unwrap_or_default();
                let of = format!("{file}: {slot} of {}", t.name);
                compared.with(&of, &support::read(gpu, &view), &origin, &bound);
            }
        }
    }
    let Compared { numbers, unbounded, worst } = compared;
    println!("{}: {numbers} numbers, {unbounded} without a bound", gpu.describe());
    println!("worst distance from an origin, in units of its bound: {worst:.3}");
    assert!(unbounded * 1000 < numbers);
}

/// The result of comparisons so far.
#[derive(Default)]
struct Compared {
    numbers: u64,
    /// Where errors feed back into the gradient through an L2 penalty until nothing can be promised.
    unbounded: u64,
    /// The worst distance of the GPU's number from the origin's, in units of its bound.
    worst: f64,
}

impl Compared {
    fn with(&mut self, of: &str, actual: &[f32], origin: &[f64], bounds: &[Trajectory]) {
        assert!(actual.len() == origin.len() && origin.len() == bounds.len(), "{of}: lengths");
        for (i, ((x, y), bound)) in actual.iter().zip(origin).zip(bounds).enumerate() {
            self.numbers += 1;
            if !bound.is_bounded() {
                self.unbounded += 1;
                continue;
            }
            let off = (f64::from(*x) - y).abs();
            // The origin's own rounding, in f64, is nothing beside this.
            let allowed = bound.error + 1e-12 * y.abs();
            assert!(
                off <= allowed,
                "{of}[{i}]: {x:e} in place of {y:e}, {off:e} off of {allowed:e}"
            );
            self.worst = self.worst.max(if off == 0.0 { 0.0 } else { off / allowed });
        }
    }
}
