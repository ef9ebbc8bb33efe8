use super::{OneStep, TINY, Trajectory};
use crate::num::Number;

/// Numbers around every place where an operation changes its mind.
const VALUES: [f64; 13] =
    [-3.0, -1.0, -1e-3, -TINY, -TINY / 4.0, -0.0, 0.0, TINY / 4.0, TINY, 1e-3, 0.5, 1.0, 3.0];

/// Errors from none to more than any of the values.
const ERRORS: [f64; 6] = [0.0, TINY, 1e-4, 1e-3, 0.25, 4.0];

fn bounded() -> impl Iterator<Item = OneStep> + Clone {
    let of = |value| ERRORS.into_iter().map(move |error| OneStep { value, error });
    VALUES.into_iter().flat_map(of)
}

/// The numbers that a kernel may have in the place of `x`, what a device may flush among them.
fn seen(x: OneStep) -> Vec<f64> {
    let OneStep { value, error } = x;
    let mut all: Vec<f64> = [-1.0, -0.5, 0.0, 0.5, 1.0].map(|share| value + share * error).into();
    if (value - error..=value + error).contains(&0.0) {
        all.push(0.0);
    }
    if all.iter().any(|x| x.abs() < TINY) {
        all.push(0.0);
    }
    all
}

/// The bound of `expected` covers `is`.
fn covers(expected: OneStep, is: f64, of: &dyn std::fmt::Debug) {
    // The rounding of f64 itself is no matter here.
    let off = (is - expected.value).abs();
    assert!(off <= expected.error + 1e-15 * is.abs(), "{of:?}: {is:e}, expected {expected:?}");
}

#[test]
fn sign_covers_every_sign_that_a_kernel_may_find() {
    for x in bounded() {
        let sign = x.sign();
        assert_eq!(sign.value, if x.value == 0.0 { 0.0 } else { x.value.signum() });
        seen(x).into_iter().for_each(|seen| covers(sign, Number::sign(seen), &x));
    }
    // And no more than that.
    let sign = |value, error| OneStep { value, error }.sign().error;
    assert_eq!(sign(1.0, 0.5), 0.0);
    assert_eq!(sign(0.0, 0.0), 0.0);
    assert_eq!(sign(-1.0, 1.0), 1.0);
    assert_eq!(sign(1.0, 1.5), 2.0);
    assert_eq!(sign(0.0, 1e-3), 1.0);
    assert_eq!(sign(TINY / 4.0, 0.0), 1.0);
}

#[test]
fn clamp_covers_every_number_that_a_kernel_may_find() {
    let limits = [(-1.0, 0.5), (0.0, 1.0), (1e-3, 3.0), (0.5, 0.5)];
    for x in bounded() {
        for (low, high) in limits {
            for error in [0.0, 1e-3] {
                let [low, high] = [low, high].map(|value| OneStep { value, error });
                let clamped = x.clamp(low, high);
                for x in seen(x) {
                    for low in seen(low) {
                        for high in seen(high).into_iter().filter(|high| low <= *high) {
                            let is = Number::clamp(x, low, high);
                            covers(clamped, is, &(x, low, high));
                        }
                    }
                }
            }
        }
    }
    let [low, high] = [-1.0, 1.0].map(OneStep::scalar);
    let clamped = |value, error| OneStep { value, error }.clamp(low, high);
    // And no more than that.
    assert_eq!(clamped(5.0, 0.5), OneStep { value: 1.0, error: 0.0 });
    assert_eq!(clamped(1.25, 0.5), OneStep { value: 1.0, error: 0.25 });
    assert_eq!(clamped(-0.5, 0.25), OneStep { value: -0.5, error: 0.25 });
    assert_eq!(clamped(0.5, 100.0), OneStep { value: 0.5, error: 1.5 });
}

#[test]
fn select_ge_covers_both_where_the_comparison_is_uncertain() {
    let [then, otherwise] =
        [(2.0, 0.1), (-1.0, 0.2)].map(|(value, error)| OneStep { value, error });
    let some = || bounded().step_by(5);
    for (x, bound) in some().flat_map(|x| some().map(move |bound| (x, bound))) {
        let selected = x.select_ge(bound, then, otherwise);
        for seen_x in seen(x) {
            for seen_bound in seen(bound) {
                let taken = if seen_x >= seen_bound { then } else { otherwise };
                for is in [taken.value - taken.error, taken.value + taken.error] {
                    covers(selected, is, &(x, bound));
                }
            }
        }
    }
    let exact = |value: f64| OneStep { value, error: 0.0 };
    assert_eq!(exact(1.0).select_ge(exact(1.0), then, otherwise), then);
    assert_eq!(exact(0.5).select_ge(exact(1.0), then, otherwise), otherwise);
    assert_eq!(exact(0.0).select_ge(exact(0.0), then, otherwise), then);
    // Two numbers that a device may both take for zero.
    let flushed = exact(TINY / 4.0).select_ge(exact(TINY / 2.0), then, otherwise);
    assert_eq!(flushed, OneStep { value: -1.0, error: 3.1 });
}

#[test]
fn nothing_is_promised_of_a_nan() {
    let nan = OneStep { value: f64::NAN, error: 0.0 };
    let one = OneStep::scalar(1.0);
    assert!(nan.sign().value.is_nan() && !nan.sign().is_bounded());
    assert!(!nan.clamp(one, one).is_bounded());
    assert!(!nan.select_ge(one, one, one).is_bounded());
    assert!(!one.select_ge(nan, one, one).is_bounded());
    let lost = Trajectory { value: 1.0, error: f64::INFINITY };
    assert!(!lost.sign().is_bounded() && !lost.clamp(lost, lost).is_bounded());
}

#[test]
fn plain_numbers_keep_a_nan() {
    assert!(Number::sign(f64::NAN).is_nan() && Number::sign(f32::NAN).is_nan());
    assert!(Number::clamp(f64::NAN, 0.0, 1.0).is_nan());
    assert!(Number::clamp(f32::NAN, 0.0, 1.0).is_nan());
    assert_eq!([-2.0, -0.0, 0.0, 1e-300].map(Number::sign), [-1.0, 0.0, 0.0, 1.0]);
    assert_eq!([-2.0_f32, -0.0, 0.0, 1e-40].map(Number::sign), [-1.0, 0.0, 0.0, 1.0]);
    assert_eq!([-2.0, 0.5, 7.0].map(|x| Number::clamp(x, 0.0, 1.0)), [0.0, 0.5, 1.0]);
    assert_eq!(Number::select_ge(1.0, 1.0, 2.0, 3.0), 2.0);
}
