//! Steps over NaN and infinity: nothing hides a NaN, and nothing finite becomes one.

use support::ByName;
use support::{Case, cases, encoded, gpu, ok, read, set, slots};
use wgpu_optim::{Format, Optimizer, Reference, StateFormats, View};

/// The parameter and everything that is written of it, after each of these gradients in turn, for four
/// elements alike. A gradient that is added up comes as often as the case says.
fn after(case: &Case, grads: &[f32]) -> Vec<Vec<f32>> {
    let gpu = gpu();
    let [param, grad] = [(case.param, 1.0), (case.grad, 0.0)]
        .map(|(format, number)| encoded(gpu, format, &[number; 4]));
    let copy = case.copy.map(|format| encoded(gpu, format, &[0.0; 4]));
    let mut optimizer = Optimizer::new(&gpu.device);
    ok(optimizer.set_control(case.control));
    let group = ok(optimizer.add_group(case.group.clone()));
    let id = ok(optimizer.add_param(group, "w", param.clone(), grad.clone()));
    ok(optimizer.set_copy(id, copy.clone()));
    let slots = slots(&case.group).into_iter().map(|slot| ok(optimizer.state_of("w", slot)));
    let slots: Vec<View> = slots.collect();
    let average = ok(optimizer.ema_of("w"));
    let written: Vec<View> = [param].into_iter().chain(slots).chain(copy).chain(average).collect();
    let mut all = Vec::new();
    for number in grads {
        for _ in 0..case.accumulate {
            set(gpu, &grad, &[*number; 4]);
            support::record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
        }
        set(gpu, &grad, &[*number; 4]);
        gpu.step(&mut optimizer);
        all.push(written.iter().map(|view| read(gpu, view)[0]).collect());
    }
    all
}

/// Whether each number that `after` returns is a NaN in exact arithmetic. A rule may keep the last gradient alone, or
/// the first parameter.
fn is_nan(case: &Case, grads: &[f32]) -> Vec<Vec<bool>> {
    let mut reference = ok(Reference::new(&case.group, &[1.0]));
    let slots = slots(&case.group);
    let mut all = Vec::new();
    for number in grads {
        ok(reference.step(&[f64::from(*number)]));
        let param = reference.param()[0];
        let state = slots.iter().map(|slot| reference.state(slot).unwrap_or_default()[0]);
        let copy = case.copy.map(|_| param);
        let average = reference.ema().map(|ema| ema[0]);
        let written = std::iter::once(param).chain(state).chain(copy).chain(average);
        all.push(written.map(f64::is_nan).collect());
    }
    all
}

#[test]
fn a_nan_stays_in_the_parameter_and_in_all_that_is_written_of_it() {
    const GRADS: [f32; 4] = [0.5, f32::NAN, 0.5, 0.25];
    for case in cases().iter().filter(|case| !case.control.skip_nonfinite) {
        let expected = is_nan(case, &GRADS);
        for (now, expected) in after(case, &GRADS).iter().zip(&expected) {
            let found: Vec<bool> = now.iter().map(|x| x.is_nan()).collect();
            assert_eq!(found, *expected, "{case:?}: {now:?}");
        }
        // The sign of a NaN is 0 for Signum, which without momentum has nowhere to keep the NaN.
        let keeps = case.group.rule.name() != "signum" || !slots(&case.group).is_empty();
        assert_eq!(expected[1].contains(&true), keeps, "{case:?}: {expected:?}");
    }
}

#[test]
fn a_gradient_whose_square_overflows_makes_nothing_nan() {
    const LARGE: f32 = 1e21;
    let holds = |format: Format| format.decode(format.encode(LARGE)).is_finite();
    for mut case in cases() {
        // An f16 has no such gradient: it is infinite to begin with.
        // In a block with an infinite number, zeros become NaN: 0 · ∞.
        let StateFormats::All(state) = case.group.state_format else { continue };
        let Some(state) = state.plain() else { continue };
        if ![case.param, case.grad, state].into_iter().all(holds) {
            continue;
        }
        // Averages become infinite and stay so, as in other implementations; a step is then 0. But
        // where nothing is kept of the old average, 0 · ∞ is NaN, there as here.
        case.group = case.group.weight_decay(0.0);
        let options = format!("{:?}", case.group.rule);
        if ["alpha: 0.0", "rho: 0.0"].iter().any(|forgets| options.contains(forgets)) {
            continue;
        }
        // A sum of them is no larger, so that centering has no infinity to subtract.
        let large = LARGE / case.accumulate.max(1) as f32;
        for now in after(&case, &[0.5, large, 0.5, 0.25, -1.0]) {
            assert!(now.iter().all(|x| !x.is_nan()), "{case:?}: {now:?}");
            assert!(now[0].is_finite(), "{case:?}: {now:?}");
        }
    }
}

/// The product of two gradients may be too small or too large for an f32.
#[test]
fn gradients_of_any_size_have_signs() {
    let all = cases();
    let rprop = all.iter().find(|case| case.group.rule.name() == "rprop");
    let case = rprop.unwrap_or_else(|| panic!("no Rprop"));
    let sizes = |grads: [f32; 3]| after(case, &grads).iter().map(|now| now[2]).collect::<Vec<_>>();
    for size in [1e-30, 1e30] {
        assert_eq!(sizes([size, size, -size]), sizes([1.0, 1.0, -1.0]), "{size:e}");
    }
}
