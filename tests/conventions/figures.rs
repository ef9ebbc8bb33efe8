//! The figures of the document: the sentence of each with `{}` for the figure, and the figure itself.

use support::ok;
use wgpu_optim::Reference;

use crate::group;

/// A number in few digits.
fn figure(x: f64, digits: usize) -> String {
    let rounded = format!("{x:.0$e}", digits - 1);
    let exponent: i32 = rounded.split('e').nth(1).and_then(|e| e.parse().ok()).unwrap_or_default();
    if (-2..5).contains(&exponent) {
        let decimals = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
        format!("{x:.decimals$}")
    } else {
        rounded
    }
}

/// The steps that these gradients make at these learning rates, from 0, each in units of the last learning rate.
fn steps(config: &str, runs: &[(usize, f64, f64)]) -> Vec<f64> {
    let mut reference = ok(Reference::new(&group(config).group, &[0.0]));
    let mut steps = Vec::new();
    let unit = runs.last().map_or(1.0, |(_, lr, _)| *lr);
    for (count, lr, grad) in runs {
        ok(reference.set_lr(*lr));
        for _ in 0..*count {
            let before = reference.param()[0];
            ok(reference.step(&[*grad]));
            steps.push((before - reference.param()[0]) / unit);
        }
    }
    steps
}

/// The last step with one gradient all along, in units of the learning rate.
fn after(count: usize, config: &str, grad: f64) -> f64 {
    steps(config, &[(count, 1e-3, grad)]).last().copied().unwrap_or_default()
}

/// The first step, in units of the learning rate.
fn first(config: &str, grad: f64) -> f64 {
    after(1, config, grad)
}

/// Every figure.
pub(crate) fn all() -> Vec<(&'static str, String)> {
    let all = [
        sgd(),
        adagrad(),
        rmsprop(),
        adam(),
        nadam(),
        radam(),
        adamax(),
        adadelta(),
        adabelief(),
        yogi(),
        adan(),
        asgd(),
        rprop(),
        ademamix(),
        adopt(),
        madgrad(),
        adam_atan2(),
        laprop(),
        schedule_free(),
        averages(),
    ];
    all.concat()
}

fn sgd() -> Vec<(&'static str, String)> {
    let burn = r#"{"optimizer": "sgd", "momentum": 0.9, "dampening": 0.1}"#;
    let pytorch = r#"{"optimizer": "sgd", "momentum": 0.9}"#;
    let keras = r#"{"optimizer": "sgd", "convention": "keras", "momentum": 0.9}"#;
    let settled = after(1000, burn, 1.0) / after(1000, pytorch, 1.0);
    let falls = [(1000, 1e-2, 1.0), (1, 1e-3, 1.0)];
    let last = |config| steps(config, &falls).last().copied().unwrap_or_default();
    vec![
        ("the step after is {} times PyTorch's", figure(last(keras) / last(pytorch), 2)),
        ("settled steps are {} times PyTorch's", figure(settled, 1)),
    ]
}

fn adagrad() -> Vec<(&'static str, String)> {
    let of =
        |convention: &str| format!(r#"{{"optimizer": "adagrad", "convention": "{convention}"}}"#);
    let [pytorch, keras, burn] = ["pytorch", "keras", "burn"].map(of);
    vec![
        (
            "The first step is {} lr in PyTorch, for any g far above ε",
            figure(first(&pytorch, 0.01), 1),
        ),
        ("and {} lr in Optax and Keras with g = 0.01", figure(first(&keras, 0.01), 2)),
        ("the first step with g = 1e-5 is {} lr", figure(first(&burn, 1e-5), 2)),
    ]
}

fn rmsprop() -> Vec<(&'static str, String)> {
    let of =
        |convention: &str| format!(r#"{{"optimizer": "rmsprop", "convention": "{convention}"}}"#);
    let [pytorch, keras, optax, tf1] = ["pytorch", "keras", "optax", "tf1"].map(of);
    let burn = r#"{"optimizer": "rmsprop", "convention": "burn"}"#;
    let momentum = r#"{"optimizer": "rmsprop", "convention": "keras", "momentum": 0.9}"#;
    let outside = r#"{"optimizer": "rmsprop", "convention": "keras", "momentum": 0.9, "lr_in_momentum": false}"#;
    let falls = [(1000, 1e-2, 1.0), (1, 1e-3, 1.0)];
    let last = |config| steps(config, &falls).last().copied().unwrap_or_default();
    vec![
        ("The first step is {} lr with PyTorch's α", figure(first(&pytorch, 1.0), 2)),
        ("and {} lr with ρ = 0.9", figure(first(&keras, 1.0), 2)),
        ("the first step with g = 0.01 is {} lr", figure(first(&tf1, 0.01), 2)),
        ("settled steps with g = 1e-4 are {} lr in Keras", figure(after(1000, &keras, 1e-4), 2)),
        ("{} lr in Optax", figure(after(1000, &optax, 1e-4), 2)),
        ("and {} lr in PyTorch", figure(after(4000, &pytorch, 1e-4), 4)),
        ("settled steps are {} times those without momentum", figure(after(4000, burn, 1.0), 2)),
        ("the next step is {} times", figure(last(momentum) / last(outside), 2)),
    ]
}

fn adam() -> Vec<(&'static str, String)> {
    let of = |convention: &str| format!(r#"{{"optimizer": "adam", "convention": "{convention}"}}"#);
    let [pytorch, keras, burn] = ["pytorch", "keras", "burn"].map(of);
    let weight = 1.0 / (1.0 - 0.999f64).sqrt();
    let amsgrad =
        r#"{"optimizer": "adam", "convention": "pytorch", "betas": [0, 0.999], "amsgrad": true}"#;
    let corrected = r#"{"optimizer": "adam", "convention": "optax", "betas": [0, 0.999], "amsgrad_corrected": true}"#;
    let spike = [(1, 1e-3, 1.0), (998, 1e-3, 0.0), (1, 1e-3, 1e-3)];
    let last = |config| steps(config, &spike).last().copied().unwrap_or_default();
    let nesterov = r#"{"optimizer": "adam", "convention": "optax", "nesterov": true}"#;
    let decayed = |convention: &str| {
        let json = format!(
            r#"{{"optimizer": "adamw", "convention": "{convention}", "lr": 1e-3, "weight_decay": 0.01}}"#
        );
        let mut reference = ok(Reference::new(&group(&json).group, &[1.0]));
        ok(reference.step(&[1.0]));
        reference.param()[0]
    };
    let apart = (decayed("bitsandbytes") - decayed("pytorch")).abs();
    vec![
        ("with g = 1e-7 the first step is {} lr in PyTorch", figure(first(&pytorch, 1e-7), 2)),
        ("{} lr in Keras", figure(first(&keras, 1e-7), 2)),
        ("{} lr in Burn", figure(first(&burn, 1e-7), 2)),
        (
            "and {} lr with this crate's defaults",
            figure(first(r#"{"optimizer": "adam"}"#, 1e-7), 3),
        ),
        ("At the first step ε̂ weighs {} times as much as ε", figure(weight, 3)),
        ("the step is {} times as long as Optax's", figure(last(amsgrad) / last(corrected), 3)),
        ("the first step is {} lr in place of 1 lr", figure(first(nesterov, 1.0), 3)),
        ("the parameter is {} apart after one step", figure(apart, 2)),
    ]
}

fn nadam() -> Vec<(&'static str, String)> {
    let of =
        |convention: &str| format!(r#"{{"optimizer": "nadam", "convention": "{convention}"}}"#);
    let [pytorch, keras] = ["pytorch", "keras"].map(of);
    let mu = |decay: f64| 0.9 * (1.0 - 0.5 * 0.96f64.powf(1000.0 * decay));
    vec![
        ("The first step is {} lr in PyTorch", figure(first(&pytorch, 1.0), 4)),
        ("{} lr in Keras", figure(first(&keras, 1.0), 4)),
        ("At step 1 000, μ is {} in PyTorch", figure(mu(4e-3), 3)),
        ("and {} in Keras", figure(mu(1.0), 3)),
    ]
}

fn radam() -> Vec<(&'static str, String)> {
    let pytorch = r#"{"optimizer": "radam", "convention": "pytorch"}"#;
    let weight = 1.0 / (1.0 - 0.999f64.powi(6)).sqrt();
    vec![
        ("each of the first five steps with g = 1e-3 is {} lr", figure(after(5, pytorch, 1e-3), 1)),
        ("the sixth is {} lr", figure(after(6, pytorch, 1e-3), 2)),
        ("at the sixth step ε weighs {} times as much", figure(weight, 3)),
    ]
}

fn adamax() -> Vec<(&'static str, String)> {
    let of =
        |convention: &str| format!(r#"{{"optimizer": "adamax", "convention": "{convention}"}}"#);
    let [pytorch, keras] = ["pytorch", "keras"].map(of);
    let keras_eps = r#"{"optimizer": "adamax", "convention": "keras", "eps": 1e-8}"#;
    // One gradient, then almost none for so long that β₂ to that power is 0.37.
    let spike = [(1, 1e-3, 1e-8), (1000, 1e-3, 1e-12)];
    let last = |config: &str| steps(config, &spike).last().copied().unwrap_or_default();
    vec![
        ("the first step with g = 1e-8 is {} lr in PyTorch", figure(first(&pytorch, 1e-8), 2)),
        ("and {} lr in Keras", figure(first(&keras, 1e-8), 2)),
        ("its step is {} times PyTorch's", figure(last(keras_eps) / last(&pytorch), 2)),
    ]
}

fn adadelta() -> Vec<(&'static str, String)> {
    let pytorch = r#"{"optimizer": "adadelta", "convention": "pytorch", "lr": 1}"#;
    let keras = r#"{"optimizer": "adadelta", "convention": "keras", "lr": 1e-3}"#;
    let moved = |config, lr| steps(config, &[(1, lr, 1.0)])[0] * lr;
    let (there, here) = (moved(pytorch, 1.0), moved(keras, 1e-3));
    vec![
        ("the first step with g = 1 moves a parameter by {} in PyTorch", figure(there, 2)),
        ("and by {} in Keras", figure(here, 2)),
        ("which is {} times less", figure(there / here, 2)),
    ]
}

fn adabelief() -> Vec<(&'static str, String)> {
    let optax = r#"{"optimizer": "adabelief", "convention": "optax"}"#;
    vec![("settled steps with g = 1e-8 are {} lr", figure(after(20_000, optax, 1e-8), 2))]
}

fn yogi() -> Vec<(&'static str, String)> {
    let optax = r#"{"optimizer": "yogi", "convention": "optax"}"#;
    vec![("the first step with g = 0 is {} lr", figure(first(optax, 0.0), 2))]
}

fn adan() -> Vec<(&'static str, String)> {
    let second = |convention: &str| {
        let json = format!(r#"{{"optimizer": "adan", "convention": "{convention}"}}"#);
        steps(&json, &[(1, 1e-3, 1.0), (1, 1e-3, -1.0)])[1].abs()
    };
    vec![
        (
            "After a gradient of 1, the step with g = −1 is {} lr in Optax",
            figure(second("optax"), 2),
        ),
        ("and {} lr in the others", figure(second("pytorch_optimizer"), 2)),
    ]
}

fn asgd() -> Vec<(&'static str, String)> {
    let json = r#"{"optimizer": "asgd", "convention": "pytorch"}"#;
    let mut reference = ok(Reference::new(&group(json).group, &[0.0]));
    ok(reference.set_lr(1e-2));
    reference.set_steps(1_000_000);
    ok(reference.step(&[1.0]));
    let fallen = -reference.param()[0] / 1e-2;
    vec![("after a million steps the step is {} lr · g", figure(fallen, 2))]
}

fn rprop() -> Vec<(&'static str, String)> {
    let json = r#"{"optimizer": "rprop", "convention": "pytorch"}"#;
    let tenth = steps(json, &[(10, 1e-2, 1.0)]).last().copied().unwrap_or_default();
    vec![("the tenth step in one direction is {} lr", figure(tenth, 2))]
}

fn ademamix() -> Vec<(&'static str, String)> {
    let optax = r#"{"optimizer": "ademamix", "convention": "optax"}"#;
    vec![
        ("The first step is {} lr, and", figure(first(optax, 1.0), 5)),
        ("settled steps are {} lr.", figure(after(200_000, optax, 1.0), 2)),
    ]
}

fn adopt() -> Vec<(&'static str, String)> {
    let limit = |t: f64| t.sqrt().sqrt();
    vec![("at the second step the limit is {} times Optax's", figure(limit(2.0) / limit(1.0), 3))]
}

fn madgrad() -> Vec<(&'static str, String)> {
    let json = r#"{"optimizer": "madgrad", "convention": "pytorch_optimizer"}"#;
    let first = |lr: f64| steps(json, &[(1, lr, 1.0)])[0];
    vec![
        ("the first step with g = 1 is {} lr with lr = 1e-3", figure(first(1e-3), 2)),
        ("and {} lr with lr = 1e-2", figure(first(1e-2), 2)),
    ]
}

fn adam_atan2() -> Vec<(&'static str, String)> {
    let json = r#"{"optimizer": "adam_atan2", "convention": "adam_atan2_pytorch"}"#;
    let most = 1.27 * std::f64::consts::FRAC_PI_2;
    vec![
        ("the first step is {} lr for every g", figure(first(json, 1e-5), 3)),
        ("No step is longer than a · π / 2 = {} lr", figure(most, 3)),
    ]
}

fn laprop() -> Vec<(&'static str, String)> {
    let second = |json: &str| steps(json, &[(1, 1e-3, 1.0), (1, 1e-3, 1e-3)])[1];
    let laprop = second(r#"{"optimizer": "laprop", "convention": "pytorch_optimizer"}"#);
    let adam = second(r#"{"optimizer": "adam", "convention": "pytorch"}"#);
    vec![("the second step is {} lr", figure(laprop, 2)), ("and {} lr in Adam", figure(adam, 2))]
}

fn schedule_free() -> Vec<(&'static str, String)> {
    let schedulefree = r#"{"optimizer": "schedule_free_sgd", "warmup_steps": 5, "lr": 1}"#;
    let squares: f64 = (1..=10).map(|t| f64::from(t * t)).sum();
    vec![
        ("the tenth step has {} of the average", figure(100.0 / squares, 2)),
        ("and {} in Keras, which does not weigh", figure(0.1, 1)),
        (
            "the first step of a warm-up of five steps is {} lr there",
            figure(first(schedulefree, 1.0), 1),
        ),
    ]
}

fn averages() -> Vec<(&'static str, String)> {
    let decay = 0.9f64;
    vec![("the new parameter has {} of it", figure((1.0 - decay) / (1.0 - decay * decay), 2))]
}
