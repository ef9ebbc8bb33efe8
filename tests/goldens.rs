//! The reference and the kernels against what PyTorch, Optax, Keras and others themselves computed, in
//! f64, on one trace (`tools/golden.py` made the files, each with its CONFIG here in the metadata).
//!
//! The reference must agree with the origin as f64 agrees with f64. The GPU must be within the error
//! that running error analysis allows a correct f32 kernel over the whole trajectory: nothing tuned.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::ByName;

use approx::relative_eq;
use support::{Tensors, gpu, metadata, ok, slots, tensors};
use wgpu_optim::config::{Part, config};
use wgpu_optim::{Optimizer, Reference, Trajectory, View};

/// A golden file: what it holds, and the group that must give the same.
struct Golden {
    file: String,
    part: Part,
    expected: Tensors,
    /// The slots that the origin keeps with another factor: Optax has −lr in its momentum buffer.
    signs: BTreeMap<String, f64>,
}

/// The names of all golden files but the trace.
fn files() -> Vec<String> {
    let mut files: Vec<String> = std::fs::read_dir(golden())
        .unwrap_or_else(|e| panic!("{e}"))
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .filter(|file| file != "trace")
        .collect();
    files.sort();
    files
}

/// Every golden file, with the group of the CONFIG in its metadata.
fn goldens() -> Vec<Golden> {
    let read = |file: String| {
        let about = metadata(&golden().join(format!("{file}.safetensors")));
        let json = about.get("config").unwrap_or_else(|| panic!("{file}: no config"));
        let config = config(json).unwrap_or_else(|e| panic!("{file}: {e}"));
        let [part] = <[Part; 1]>::try_from(config.groups)
            .unwrap_or_else(|groups| panic!("{file}: {} groups", groups.len()));
        let signs = about.get("signs").map(|signs| ok(serde_json::from_str(signs)));
        let expected = load(&file);
        for (step, lr) in expected["lr"].iter().enumerate() {
            // A list of rates went through decimal digits.
            let rate = part.rate(step as u64).unwrap_or(part.group.lr);
            assert!(relative_eq!(rate, *lr, max_relative = 1e-15), "{file}: step {step}, {rate}");
        }
        Golden { expected, part, signs: signs.unwrap_or_default(), file }
    };
    files().into_iter().map(read).collect()
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

impl Golden {
    /// A slot as the origin left it, with its sign as ours.
    fn state_of(&self, name: &str, slot: &str) -> Vec<f64> {
        let sign = self.signs.get(slot).unwrap_or(&1.0);
        self.expected[&format!("state.{name}.{slot}")].iter().map(|x| x * sign).collect()
    }
}

/// The first string after each `Case(` of the tool.
fn rows() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/golden_cases.py");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let name = |row: &str| row.split('"').nth(1).unwrap_or_default().to_owned();
    let mut rows: Vec<String> = text.split(" Case(").skip(1).map(name).collect();
    rows.sort();
    rows
}

#[test]
fn every_golden_file_has_a_row_and_every_row_a_file() {
    assert!(!files().is_empty(), "no files");
    assert_eq!(files(), rows());
}

#[test]
fn the_reference_agrees_with_its_origin() {
    for golden in goldens() {
        let Golden { file, part, expected, .. } = &golden;
        let group = &part.group;
        for Traced { name, param, grads, added } in traced(expected) {
            let mut reference = ok(Reference::new(group, &param));
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
            if let Some(evaluated) = expected.get(&format!("eval.{name}")) {
                let mut at_average = reference.clone();
                at_average.eval();
                for ((x, y), p) in at_average.param().iter().zip(evaluated).zip(&param) {
                    let largest = p.abs().max(1e-2);
                    assert!(
                        relative_eq!(x, y, max_relative = 1e-12, epsilon = 1e-12 * largest),
                        "{file}: the average: {x:e} in place of {y:e}"
                    );
                }
            }
            for slot in slots(group) {
                let state = reference.state(slot).unwrap_or_else(|| panic!("{file}: no {slot}"));
                let origin = golden.state_of(name, slot);
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
    for golden in goldens() {
        let Golden { file, part, expected, .. } = &golden;
        let group = &part.group;
        let lrs = &expected["lr"];
        let traced = traced(expected);
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
                ok(Reference::starting(group, &param, Trajectory::loaded(0.0)))
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
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        optimizer.eval(&mut encoder);
        gpu.queue.submit([encoder.finish()]);
        for ((t, (param, _)), bound) in traced.iter().zip(&buffers).zip(&mut bounds) {
            if let Some(evaluated) = expected.get(&format!("eval.{}", t.name)) {
                bound.eval();
                let of = format!("{file}: the average of {}", t.name);
                let actual = support::read(gpu, &View::f32(param));
                compared.with(&of, &actual, evaluated, bound.param());
            }
        }
        for (t, bound) in traced.iter().zip(&bounds) {
            for slot in slots(group) {
                let view = ok(optimizer.state_of(t.name, slot));
                let origin = golden.state_of(t.name, slot);
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
