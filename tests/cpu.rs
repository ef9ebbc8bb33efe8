//! The CPU engine against the reference, every rule and option, under the same bounds as a GPU.

use support::{numbers, ok, slots};
use wgpu_optim::{Cpu, Error, Group, Reference, Trajectory, verify};

#[test]
fn every_rule_is_within_its_bounds() {
    // More than one task, and one that is not full.
    const LEN: usize = 2 * 8192 + 37;
    for group in verify::groups() {
        let mut param = numbers(LEN as u64, 1);
        let mut cpu = ok(Cpu::new(&group, LEN));
        let loaded = |x: &f32| Trajectory::loaded(*x);
        let bounded: Vec<_> = param.iter().map(loaded).collect();
        let mut expected = ok(Reference::starting(&group, &bounded, Trajectory::loaded(0.0)));
        for t in 0..3 {
            let grad = numbers(LEN as u64, 2 + t);
            ok(cpu.step(&mut param, &grad));
            ok(expected.step(&grad.iter().map(loaded).collect::<Vec<_>>()));
        }
        let worst = |bounds: &[Trajectory], numbers: &[f32]| {
            assert_eq!(bounds.len(), numbers.len());
            bounds.iter().zip(numbers).map(|(bound, x)| bound.ratio(*x)).fold(0.0, f64::max)
        };
        let ratio = worst(expected.param(), &param);
        assert!(ratio <= 1.0, "{group:?}: {ratio} bounds off");
        for slot in slots(&group) {
            let state = cpu.state(slot).unwrap_or_default();
            let ratio = worst(&expected.state(slot).unwrap_or_default(), &state);
            assert!(ratio <= 1.0, "{group:?}: {slot} {ratio} bounds off");
        }
    }
}

#[test]
fn other_lengths_are_refused_and_change_nothing() {
    let mut cpu = ok(Cpu::new(&Group::adam(1e-3), 4));
    let mut param = [1.0; 5];
    let said = |result: Result<(), Error>| result.err().map(|e| e.to_string()).unwrap_or_default();
    assert_eq!(
        said(cpu.step(&mut param, &[1.0; 5])),
        "the parameter holds 5 elements, the state 4; make another `Cpu` for it"
    );
    assert_eq!(
        said(cpu.step(&mut param[..4], &[1.0; 3])),
        "the gradient holds 3 elements, the state 4; make another `Cpu` for it"
    );
    assert_eq!(param, [1.0; 5]);
}
