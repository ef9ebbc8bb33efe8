//! This module resumes runs of every kind, and compares all bits with a run that never stopped.

use support::{Case, cases, ok, stats};
use wgpu_optim::verify::groups;
use wgpu_optim::{Control, Format, LossScale, Master, Schedule, Target};

use crate::scene::{LAYOUTS, Scene};

/// Runs a case, saves in its middle, loads into another layout, and runs both on.
fn resume(case: &Case, index: usize) {
    resume_in(case, index, |layout| Scene::new(case, LAYOUTS[layout]));
}

/// The same with scenes of another kind, by the number of their layout.
pub(crate) fn resume_in(case: &Case, index: usize, scene: impl Fn(usize) -> Scene) {
    let what = format!("{index}: {case:?}");
    let mut unbroken = scene(index % 3);
    let middle = 5 + index as u64 % 3;
    unbroken.run(0..middle);
    let bytes = unbroken.bytes();
    let mut resumed = scene((index + 1 + index / 3 % 2) % 3);
    if index.is_multiple_of(2) {
        resumed.run(0..2); // whatever was there is replaced
    }
    resumed.load(&bytes);
    resumed.assert_equals(&mut unbroken, &format!("{what}: as loaded"));
    assert!(resumed.optimizer.is_up_to_date(), "{what}");
    for scene in [&mut unbroken, &mut resumed] {
        scene.run(middle..middle + 6);
    }
    resumed.assert_equals(&mut unbroken, &what);
    if case.control.looks_at_gradients() {
        let [one, two] = [&unbroken, &resumed].map(|scene| stats(&scene.gpu, &scene.optimizer));
        assert_eq!(one, two, "{what}");
    }
    // The same state is the same file, whatever the layout.
    assert!(unbroken.bytes() == resumed.bytes(), "{what}: the files differ");
}

/// Every kind of storage, control and accumulation.
#[test]
fn every_case_resumes() {
    for (index, case) in cases().iter().enumerate() {
        resume(case, index);
    }
}

/// Every variant of every rule, also where the GPU counts and options follow schedules.
#[test]
fn every_rule_resumes() {
    let scale = LossScale::Dynamic { init: 8.0, growth: 2.0, backoff: 0.5, interval: 3 };
    let counted = Control { skip_nonfinite: true, ..Control::default() };
    let scaled = Control { loss_scale: scale, clip_norm: Some(3.0), ..counted };
    for (index, group) in groups().into_iter().enumerate() {
        let falling = Schedule::warmup(4, 0.0, Schedule::cosine(group.lr, 0.1 * group.lr, 9));
        let scheduled = group.clone().schedule(Target::Lr, falling);
        let control = [Control::default(), counted, scaled][index % 3];
        let group = if index % 4 < 2 { group } else { scheduled };
        let case = Case { control, ..Case::new(group) };
        // Every second one in 16 bits, with a master and an average where a step has room for both.
        let kept = |ema: Option<f64>| {
            let group = case.group.clone().state_format(Format::Bf16);
            let group = group.master(Master::Remainder).ema(ema);
            Case { group, param: Format::Bf16, grad: Format::F16, ..case.clone() }
        };
        let kept = [kept(Some(0.9)), kept(None)];
        let fitting = kept.into_iter().find(Case::fits_default_limits);
        match fitting.filter(|_| index % 2 == 1) {
            Some(kept) => resume(&kept, index),
            None => resume(&case, index),
        }
    }
}

/// Rules that remember rates do so over a checkpoint, whoever counts.
#[test]
fn memories_of_rates_resume() {
    let counted = Control { skip_nonfinite: true, ..Control::default() };
    let remembers = |group: &wgpu_optim::Group| {
        let at = wgpu_optim::At::new(1, group.lr);
        group.rule.remember(at, None).is_some()
    };
    let mut all = groups();
    all.retain(remembers);
    all.dedup_by_key(|group| group.rule.name());
    assert!(all.len() > 2);
    for (index, group) in all.into_iter().enumerate() {
        let falling = Schedule::linear(group.lr, 0.1 * group.lr, 12);
        for control in [Control::default(), counted] {
            let group = group.clone().schedule(Target::Lr, falling.clone());
            resume(&Case { control, ..Case::new(group) }, index);
        }
    }
}

/// Parameters that joined late, are frozen or have no gradient keep their clocks.
#[test]
fn clocks_resume() {
    for (index, control) in
        [Control::default(), Control { skip_nonfinite: true, ..Control::default() }]
            .into_iter()
            .enumerate()
    {
        let case = Case { control, ..Case::new(wgpu_optim::Group::adam(1e-2)) };
        let mut unbroken = Scene::new(&case, LAYOUTS[0]);
        unbroken.run(0..3);
        let frozen = ok(unbroken.optimizer.param("bias"));
        ok(unbroken.optimizer.freeze(frozen));
        unbroken.run(3..5);
        let absent = ok(unbroken.optimizer.param("weight.1"));
        ok(unbroken.optimizer.set_grads([(absent, None)]));
        unbroken.run(5..8);
        let bytes = unbroken.bytes();
        let mut resumed = Scene::new(&case, LAYOUTS[1]);
        let absent = ok(resumed.optimizer.param("weight.1"));
        ok(resumed.optimizer.set_grads([(absent, None)]));
        resumed.load(&bytes);
        let frozen = ok(resumed.optimizer.param("bias"));
        assert!(ok(resumed.optimizer.is_frozen(frozen)), "{index}");
        for scene in [&mut unbroken, &mut resumed] {
            scene.run(8..10);
            let frozen = ok(scene.optimizer.param("bias"));
            ok(scene.optimizer.unfreeze(frozen));
            scene.run(10..13);
        }
        resumed.assert_equals(&mut unbroken, "clocks");
    }
}

/// A loss scale that is to begin anew after the next step does so, also after a load.
#[test]
fn a_loss_scale_that_begins_anew_resumes() {
    let scale = |init| LossScale::Dynamic { init, growth: 2.0, backoff: 0.5, interval: 3 };
    let control = Control { loss_scale: scale(8.0), ..Control::default() };
    let case = Case { control, ..Case::new(wgpu_optim::Group::adam(1e-2)) };
    let mut unbroken = Scene::new(&case, LAYOUTS[0]);
    unbroken.run(0..5);
    ok(unbroken.optimizer.set_control(Control { loss_scale: scale(64.0), ..control }));
    let bytes = unbroken.bytes();
    let mut resumed = Scene::new(&case, LAYOUTS[1]);
    resumed.run(0..1);
    resumed.load(&bytes);
    for scene in [&mut unbroken, &mut resumed] {
        scene.run(5..7);
    }
    resumed.assert_equals(&mut unbroken, "a scale that begins anew");
    let [one, two] = [&unbroken, &resumed].map(|scene| stats(&scene.gpu, &scene.optimizer));
    assert_eq!(one, two);
    assert!(one.loss_scale >= 32.0, "{one:?}");
}

/// A clock that was stopped since the last step has skipped what the clock that it comes from has.
#[test]
fn clocks_that_the_gpu_has_not_met_resume() {
    let control = Control { skip_nonfinite: true, ..Control::default() };
    let case = Case { control, ..Case::new(wgpu_optim::Group::adam(1e-2)) };
    let mut unbroken = Scene::new(&case, LAYOUTS[0]);
    unbroken.run(0..7); // of which two are skipped
    let id = ok(unbroken.optimizer.param("embed"));
    ok(unbroken.optimizer.freeze(id));
    let bytes = unbroken.bytes();
    let mut resumed = Scene::new(&case, LAYOUTS[1]);
    resumed.load(&bytes);
    for scene in [&mut unbroken, &mut resumed] {
        scene.run(7..9);
        let id = ok(scene.optimizer.param("embed"));
        ok(scene.optimizer.unfreeze(id));
        scene.run(9..12);
    }
    resumed.assert_equals(&mut unbroken, "a clock that the GPU has not met");
}
