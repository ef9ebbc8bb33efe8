//! Programs that chance meets too seldom, and what no program of the others has.

use wgpu_optim::{Control, Format, LossScale, Optimizer, View};

use super::calls::{self, Change};
use super::gpu;
use super::program::{Bad, Call, Fill, Grad, Home, Program};
use super::rule::{Rule, Spec};
use super::runner::{How, Runner};

const SKIPPING: Control = Control {
    clip_norm: None,
    norm: wgpu_optim::Norm::Euclidean,
    clip_value: None,
    loss_scale: LossScale::Fixed(1.0),
    skip_nonfinite: true,
    accumulation: wgpu_optim::Accumulation::Mean,
    zero_grad: false,
};

fn spec() -> Spec {
    let rule = Rule::Sgd { momentum: 0.9, dampening: 0.5, nesterov: false };
    Spec { rule, lr: 0.5, decay: 0.0, decoupled: false, maximize: false, ema: Some(0.9) }
}

fn start(params: usize) -> Vec<Call> {
    let home = Home::Arena(0);
    let grad = Grad { format: Format::F32, home };
    let add = Call::AddParam { group: 0, len: 5, home, grad };
    [vec![Call::AddGroup(spec())], vec![add; params]].concat()
}

fn step(seed: u16) -> Call {
    Call::Step(Some(Fill { seed, size: 1.0, bad: None }))
}

fn bad_step(param: u8) -> Call {
    let bad = Some(Bad { param, element: 3, number: f32::NAN, always: true });
    Call::Step(Some(Fill { seed: 9, size: 1.0, bad }))
}

fn scaled(loss_scale: LossScale) -> Call {
    Call::SetControl(Control { loss_scale, ..SKIPPING })
}

fn dynamic(init: f64) -> LossScale {
    LossScale::Dynamic { init, growth: 2.0, backoff: 0.5, interval: 1 }
}

/// Programs, and whether the library has what they need.
fn cases() -> Vec<(&'static str, bool, Vec<Call>)> {
    use Call::{Accumulate, Drop, Prepare, SetControl, Stats, Submit};
    let dropped = calls::DROPPED_ENCODERS;
    let part = |seed| Accumulate(Some(Fill { seed, size: 1.0, bad: None }));
    let lost = |scale| {
        let set = vec![SetControl(SKIPPING), step(1), Submit, scaled(scale)];
        let then = vec![step(2), Drop, step(3), Submit, step(4), Submit, Stats, step(5)];
        [start(2), set, then].concat()
    };
    let elsewhere = Grad { format: Format::F32, home: Home::Own(3) };
    vec![
        ("a fixed scale is not lost", dropped, lost(LossScale::Fixed(1024.0))),
        ("a dynamic scale is not lost", dropped, lost(dynamic(4.0))),
        (
            "a scale stays above 0",
            calls::SCALE_HAS_A_FLOOR,
            [
                start(1),
                vec![scaled(dynamic(65536.0))],
                vec![bad_step(0); 170],
                vec![Submit, Stats, Call::Step(Some(Fill { seed: 1, size: 0.0, bad: None }))],
            ]
            .concat(),
        ),
        (
            "a scale stays finite",
            true,
            [
                start(1),
                vec![scaled(dynamic(1e30))],
                vec![Call::Step(Some(Fill { seed: 1, size: 0.0, bad: None })); 40],
                vec![Submit, Stats],
            ]
            .concat(),
        ),
        (
            "no statistics before a step",
            calls::STATS_NEED_A_STEP,
            [vec![SetControl(SKIPPING)], start(2), vec![Prepare, Stats, step(1), Submit, Stats]]
                .concat(),
        ),
        (
            "no statistics of a dropped step",
            calls::STATS_NEED_A_STEP && dropped,
            [start(2), vec![SetControl(SKIPPING), step(1), Drop, Stats, step(2), Submit, Stats]]
                .concat(),
        ),
        (
            "statistics name the one they are of",
            calls::BLAME_LASTS,
            [
                start(3),
                vec![SetControl(SKIPPING), step(1), bad_step(1), Submit, Stats],
                vec![Call::SetGrad { param: 0, to: elsewhere }, Prepare, Stats],
                start(1)[1..].to_vec(),
                vec![Prepare, Stats, Call::SetControl(Control::default()), Prepare, Stats],
            ]
            .concat(),
        ),
        (
            "a dropped step counts where the host counts",
            dropped,
            [start(1), vec![step(1), Drop, step(2), Submit, step(3), Drop, step(4)]].concat(),
        ),
        (
            "a dropped step counts where the GPU counts",
            dropped,
            [
                start(1),
                vec![SetControl(SKIPPING), step(1), Drop, step(2), Submit, Stats, bad_step(0)],
                vec![Drop, bad_step(0), Submit, Stats, step(4), Submit, Stats],
            ]
            .concat(),
        ),
        (
            "a dropped part of a sum is missing",
            dropped,
            [
                start(1),
                vec![part(1), Submit, part(2), Drop, part(3), Call::Step(None), Submit],
                vec![part(4), Drop, part(5), Submit, Call::Step(None), Submit],
                vec![part(6), Drop, Call::Step(None), Submit, part(7), Submit],
                vec![Call::Step(None), Drop, part(8), Call::Step(None)],
            ]
            .concat(),
        ),
    ]
}

/// The programs for which the library has everything.
pub(crate) fn programs() -> impl Iterator<Item = Program> {
    cases().into_iter().filter(|(_, can, _)| *can).map(|(_, _, calls)| Program(calls))
}

#[test]
fn cases_hold() {
    let mut failures = Vec::new();
    for (what, can, calls) in cases() {
        let program = Program(calls);
        match Runner::run(gpu(), &program, How::default()) {
            Err(error) if can => failures.push(format!("{what}: {error}\n{program:?}")),
            Err(error) => println!("not yet: {what}: {error}"),
            Ok(_) => println!("holds: {what}"),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Without any gradient, a step changes nothing.
#[test]
fn a_step_without_gradients() {
    if !calls::GRADIENTS_MAY_BE_NONE {
        return;
    }
    let gpu = gpu();
    let control = Control { clip_norm: Some(1.0), zero_grad: true, ..SKIPPING };
    for control in [Control::default(), control] {
        let words = |e: wgpu_optim::Error| -> Vec<f32> { panic!("{e}") };
        let ok = |result: Result<(), wgpu_optim::Error>| result.unwrap_or_else(|e| panic!("{e}"));
        let [param, grad] = [[1.0, 2.0], [3.0, f32::NAN]]
            .map(|numbers| gpu.upload("w", &numbers).unwrap_or_else(|e| panic!("{e}")));
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(control));
        let group = optimizer.add_group(calls::group(&spec())).unwrap_or_else(|e| panic!("{e}"));
        let views = [&param, &grad].map(View::f32);
        let [view, of] = views.clone();
        let id = optimizer.add_param(group, "w", view, of).unwrap_or_else(|e| panic!("{e}"));
        let changes = vec![Change { id, new: None }];
        ok(calls::set_grads(&gpu.device, &mut optimizer, changes));
        gpu.step(&mut optimizer);
        let found = views.map(|view| gpu.download(&view).unwrap_or_else(words));
        assert_eq!(found[0], [1.0, 2.0]);
        assert!(found[1][0] == 3.0 && found[1][1].is_nan(), "{found:?}");
    }
}
