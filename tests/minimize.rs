//! `minimize` with every rule: as a loop of one's own, and with errors where numbers fail.

use support::{ok, one_of_each};
use wgpu_optim::{Cpu, Error, Group, Schedule, Target, minimize};

/// Half the squared distance to (1, 2, 3).
fn distance(params: &[f32], gradient: &mut [f32]) -> f32 {
    let targets = [1.0, 2.0, 3.0];
    let parts = params.iter().zip(gradient).zip(targets).map(|((p, g), target)| {
        *g += p - target;
        (p - target).powi(2) / 2.0
    });
    parts.sum()
}

fn said<T>(result: Result<T, Error>) -> String {
    result.err().map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn every_rule_takes_the_steps_of_a_loop() {
    for group in one_of_each() {
        let group = group.schedule(Target::Lr, Schedule::linear(0.1, 0.0, 30));
        let mut params = vec![0.0; 3];
        let losses = ok(minimize(&group, &mut params, 20, distance));

        let (mut by_hand, mut cpu) = (vec![0.0; 3], ok(Cpu::new(&group, 3)));
        for loss in &losses {
            let mut gradient = vec![0.0; 3];
            assert_eq!(*loss, f64::from(distance(&by_hand, &mut gradient)), "{group:?}");
            ok(cpu.step(&mut by_hand, &gradient));
        }
        // The average of a rule that keeps one.
        ok(cpu.eval(&mut by_hand));
        assert_eq!((losses.len(), &params), (20, &by_hand), "{group:?}");
        assert!(losses[0] == 7.0 && losses[19] < 7.0, "{group:?}: {losses:?}");
    }
}

#[test]
fn no_step_changes_nothing() {
    let mut params = vec![1.0, 2.0, 3.0];
    for group in one_of_each() {
        assert!(ok(minimize(&group, &mut params, 0, distance)).is_empty());
        assert_eq!(params, [1.0, 2.0, 3.0], "{group:?}");
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    let group = Group::sgd(0.5);
    let nothing = minimize(&group, &mut [], 1, distance);
    assert_eq!(said(nothing), "the slice of parameters holds 0 elements; it must hold at least 1");
    let wrong = minimize(&Group::sgd(-1.0), &mut [0.0; 3], 1, distance);
    assert_eq!(said(wrong), "`sgd`: lr is -1; it must be a finite f32 number, 0 or more");

    let remedy = "lower the learning rate, or begin elsewhere";
    let start = minimize(&group, &mut [0.0, f32::NAN, 0.0], 1, distance);
    assert_eq!(said(start), format!("parameter 1 is NaN or infinite at step 1; {remedy}"));

    // The third call fails, so the parameters have taken two steps.
    let mut params = vec![0.0; 3];
    let mut calls = 0;
    let loss = minimize(&group, &mut params, 9, |params, gradient| {
        calls += 1;
        let loss = distance(params, gradient);
        if calls == 3 { f32::NAN } else { loss }
    });
    assert_eq!(said(loss), format!("the loss is NaN or infinite at step 3; {remedy}"));
    assert_eq!(params, [0.75, 1.5, 2.25]);

    let gradient = minimize(&group, &mut params, 9, |_, gradient| {
        gradient[2] = f32::INFINITY;
        0.0
    });
    assert_eq!(said(gradient), format!("gradient 2 is NaN or infinite at step 1; {remedy}"));

    let far = minimize(&Group::sgd(1e38), &mut params, 9, |_, gradient| {
        gradient[0] = 1e10;
        0.0
    });
    assert_eq!(said(far), format!("parameter 0 is NaN or infinite at step 1; {remedy}"));
}
