//! The numbers that the origins' own unit tests expect, copied as facts: the reference and the GPU give them within
//! the digits with which they are printed. `docs/CONVENTIONS.md` lists the tests that are left out, and why.

mod burn;
mod keras;

use support::{gpu, ok, read, set};
use wgpu_optim::config::{Part, config};
use wgpu_optim::{Controller, Optimizer, Reference, Trajectory, View};

/// Rounding of f32 in the norm and in the coefficient of a clipped gradient.
const CLIPPED: f64 = 1e-6;

/// The most that running error analysis may allow a correct f32 kernel in any of these runs.
const F32: f64 = 1e-5;

/// A run of an origin's unit test.
pub(crate) struct Run {
    /// The origin's file and its test.
    pub(crate) test: &'static str,
    /// The CONFIG that gives the same numbers here.
    pub(crate) config: String,
    /// The parameter before the first step.
    pub(crate) param: Vec<f64>,
    /// The gradient of each step.
    pub(crate) grads: Vec<Vec<f64>>,
    /// The numbers that the test expects, and the steps after which it does.
    pub(crate) expected: Vec<(usize, Vec<f64>)>,
    /// The most that a number may be off: half a unit of the last printed digit, and the origin's own rounding.
    pub(crate) within: f64,
}

/// Half a unit of a digit after the decimal point. The last bits of the decimal numbers themselves are f64's.
pub(crate) fn half_a_unit(digits: i32) -> f64 {
    0.5 * 10f64.powi(-digits) * (1.0 + 1e-9)
}

fn runs() -> Vec<Run> {
    let all: Vec<Run> = keras::runs().into_iter().chain(burn::runs()).collect();
    assert!(all.len() > 30, "only {} runs", all.len());
    all
}

/// The group of a run, and the treatment of its gradients.
fn group(run: &Run) -> (Part, wgpu_optim::Control) {
    let config = config(&run.config).unwrap_or_else(|e| panic!("{}: {e}", run.test));
    let control = config.control;
    let part = config.groups.into_iter().next();
    (part.unwrap_or_else(|| panic!("{}: no group", run.test)), control)
}

fn assert_close(run: &Run, step: usize, actual: f64, expected: f64, slack: f64) {
    let off = (actual - expected).abs();
    let (test, allowed) = (run.test, run.within + slack);
    assert!(
        off <= allowed,
        "{test}, step {step}: {actual} in place of {expected}, {off:e} off of {allowed:e}\n{}",
        run.config
    );
}

#[test]
fn the_reference_gives_the_numbers_of_the_origins_tests() {
    for run in runs() {
        let (part, control) = group(&run);
        let mut controller = ok(Controller::new(control));
        let mut reference = ok(Reference::new(&part.group, &run.param));
        for (step, grad) in (1..).zip(&run.grads) {
            let mut seen = [grad.clone()];
            if controller.apply(&mut seen) {
                ok(reference.step(&seen[0]));
            }
            for (_, row) in run.expected.iter().filter(|(at, _)| *at == step) {
                assert_eq!(row.len(), run.param.len(), "{}", run.test);
                for (actual, expected) in reference.param().iter().zip(row) {
                    assert_close(&run, step, *actual, *expected, 0.0);
                }
            }
        }
    }
}

#[test]
fn the_gpu_gives_the_numbers_of_the_origins_tests() {
    let gpu = gpu();
    for run in runs() {
        let (part, control) = group(&run);
        let f32s = |numbers: &[f64]| numbers.iter().map(|x| *x as f32).collect::<Vec<_>>();
        let loaded = |numbers: &[f64]| {
            numbers.iter().map(|x| Trajectory::loaded(*x as f32)).collect::<Vec<_>>()
        };
        let mut bound =
            ok(Reference::starting(&part.group, &loaded(&run.param), Trajectory::loaded(0.0)));
        let mut controller = ok(Controller::new(control));
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(control));
        let id = ok(optimizer.add_group(part.group.clone()));
        let param = View::f32(&ok(gpu.upload("param", &f32s(&run.param))));
        let grad = View::f32(&ok(gpu.zeros("grad", run.param.len() as u64)));
        ok(optimizer.add_param(id, "w", param.clone(), grad.clone()));
        let clipped = control.clip_norm.is_some() || control.clip_value.is_some();
        for (step, numbers) in (1..).zip(&run.grads) {
            set(gpu, &grad, &f32s(numbers));
            gpu.step(&mut optimizer);
            let mut seen = [numbers.clone()];
            if controller.apply(&mut seen) {
                ok(bound.step(&loaded(&seen[0])));
            }
            for (_, row) in run.expected.iter().filter(|(at, _)| *at == step) {
                let actual = read(gpu, &param);
                for ((actual, expected), bound) in actual.iter().zip(row).zip(bound.param()) {
                    assert!(bound.is_bounded(), "{}", run.test);
                    assert!(bound.error < F32, "{}: {}", run.test, bound.error);
                    let slack = if clipped { CLIPPED } else { bound.error };
                    assert_close(&run, step, f64::from(*actual), *expected, slack);
                }
            }
        }
    }
}
