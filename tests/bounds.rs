//! The bounds that kernels are held to are those derived on paper, no looser.

use support::numbers;
use wgpu_optim::{Adam, At, Number, OneStep, Oracle};

/// One unit in the last place, relative: what WGSL allows a correctly rounded operation.
const EPS: f64 = 1.0 / (1 << 23) as f64;

/// `docs/NUMERICS.md` derives these for ADAM with ε outside the root, at one step from given state.
#[test]
fn adams_bounds_are_within_their_closed_forms_and_not_far_below() {
    let adam = Adam::pytorch();
    let [beta1, beta2] = adam.betas;
    let (ms, vs) = (numbers(4096, 1), numbers(4096, 2));
    let (ps, gs) = (numbers(4096, 3), numbers(4096, 4));
    let (mut most, mut sum) = ([0.0_f64; 3], [0.0; 3]);
    for i in 0..4096 {
        let (m, v, p, g) = (ms[i], vs[i].abs(), ps[i], gs[i]);
        let at = At::new(1 + i as u64 % 50, 1e-3);
        let mut state = [OneStep::loaded(m), OneStep::loaded(v)];
        let u = adam.one_step(OneStep::loaded(1.0), OneStep::loaded(g), &mut state, at);
        let after = OneStep::loaded(p) - OneStep::scalar(at.lr) * u;

        let [m, p, g] = [m, p, g].map(f64::from);
        let m_bound = 2.0 * EPS * ((beta1 * m).abs() + ((1.0 - beta1) * g).abs());
        let v_bound = 4.0 * EPS * state[1].value;
        let step = at.lr / (1.0 - beta1.powf(at.t as f64));
        let d = (state[1].value / (1.0 - beta2.powf(at.t as f64))).sqrt() + adam.eps;
        let moved = (at.lr * u.value).abs();
        let p_bound = EPS * (p.abs() + after.value.abs()) + 16.0 * EPS * moved + step / d * m_bound;

        let ratios = [state[0].error / m_bound, state[1].error / v_bound, after.error / p_bound];
        for ((most, sum), ratio) in most.iter_mut().zip(&mut sum).zip(ratios) {
            *most = most.max(ratio);
            *sum += ratio / 4096.0;
        }
    }
    println!("bound / closed form for m, v, p: at most {most:.3?}, on average {sum:.3?}");
    assert!(most.iter().all(|ratio| *ratio <= 1.0 + 1e-6), "looser than on paper: {most:?}");
    assert!(sum.iter().all(|ratio| *ratio >= 0.4), "much tighter than on paper: {sum:?}");
}

#[test]
fn what_wgsl_leaves_open_has_no_bound() {
    let x = OneStep::loaded;
    assert!((x(1.0) / x(2.0)).is_bounded());
    assert!(!(x(1.0) / x(1e-39)).is_bounded(), "a subnormal divisor");
    assert!(!(x(1.0) / x(2e38)).is_bounded(), "a divisor past 2^126");
    assert!(!(x(3e38) + x(3e38)).is_bounded(), "overflow");
    assert!(!(x(1.0) / (x(1.0) - x(1.0 + f32::EPSILON) * x(1.0 - f32::EPSILON))).is_bounded());
}

#[test]
fn the_distance_of_nan_is_infinite_and_of_a_flushed_number_within_bounds() {
    let tiny = OneStep::loaded(1e-40);
    assert_eq!(tiny.ratio(1e-40), 0.0);
    assert!(tiny.ratio(0.0) < 1.0, "a device may flush subnormals");
    assert_eq!(tiny.ratio(f32::NAN), f64::INFINITY);
    assert_eq!(OneStep::loaded(1.0).ratio(1.0 + f32::EPSILON), f64::INFINITY, "a load is exact");
}
