//! Keras 3.15.1, `keras/src/optimizers/*_test.py`.
//!
//! `test_correctness_with_golden` starts ten elements at 1 and takes a step with gradients of 0.01, then steps with
//! gradients of 0.1, 0.2, …, 1.0. Its numbers are printed with four digits after the decimal point.

use crate::{Run, half_a_unit};

/// Ten elements after each of five steps.
type Rows = [[f64; 10]; 5];

pub(crate) fn runs() -> Vec<Run> {
    let mut all = goldens();
    all.extend(single_steps());
    all.extend(weight_decay());
    all.extend(clipping());
    all.extend(loss_scale());
    all
}

/// One number for all ten elements of each step.
fn alike(steps: [f64; 5]) -> Rows {
    steps.map(|number| [number; 10])
}

fn golden(test: &'static str, config: &str, rows: Rows) -> Run {
    let tenths = (1..=10).map(|tenth| f64::from(tenth) / 10.0).collect();
    let mut grads = vec![tenths; 5];
    grads[0] = vec![0.01; 10];
    let config = config.to_owned();
    let expected = (1..).zip(rows.map(Vec::from)).collect();
    Run { test, config, param: vec![1.0; 10], grads, expected, within: half_a_unit(4) }
}

fn goldens() -> Vec<Run> {
    vec![
        // One printed number stands for ten, which differ by up to 1.3e-4. Keras allows 5e-4 in all these tests.
        Run {
            within: 1.5e-4,
            ..golden(
                "adam_test.py: test_correctness_with_golden",
                r#"{"optimizer": "adam", "convention": "keras", "amsgrad": true, "lr": 1e-3}"#,
                alike([0.999, 0.9982, 0.9974, 0.9965, 0.9955]),
            )
        },
        golden(
            "adamw_test.py: test_correctness_with_golden",
            r#"{"optimizer": "adamw", "convention": "keras", "lr": 1, "weight_decay": 0.5, "eps": 2}"#,
            [
                [0.4998; 10],
                [0.2486, 0.2475, 0.2463, 0.2451, 0.244, 0.2428, 0.2417, 0.2405, 0.2394, 0.2382],
                [0.1223, 0.1198, 0.1174, 0.1149, 0.1124, 0.11, 0.1075, 0.1051, 0.1027, 0.1003],
                [0.0586, 0.0549, 0.0512, 0.0475, 0.0439, 0.0402, 0.0366, 0.033, 0.0294, 0.0258],
                [0.0263, 0.0215, 0.0167, 0.012, 0.0073, 0.0026, -0.0021, -0.0067, -0.0113, -0.0159],
            ],
        ),
        golden(
            "adamax_test.py: test_correctness_with_golden",
            r#"{"optimizer": "adamax", "convention": "keras", "lr": 0.2, "betas": [0.85, 0.95], "eps": 1e-6}"#,
            [
                [0.8; 10],
                [0.6827, 0.6873, 0.6888, 0.6896, 0.6901, 0.6904, 0.6906, 0.6908, 0.6909, 0.691],
                [0.5333, 0.5407, 0.5431, 0.5444, 0.5451, 0.5456, 0.546, 0.5462, 0.5464, 0.5466],
                [0.368, 0.3773, 0.3804, 0.382, 0.3829, 0.3835, 0.384, 0.3843, 0.3846, 0.3848],
                [0.1933, 0.204, 0.2076, 0.2094, 0.2105, 0.2112, 0.2117, 0.2121, 0.2124, 0.2126],
            ],
        ),
        golden(
            "adagrad_test.py: test_correctness_with_golden",
            r#"{"optimizer": "adagrad", "convention": "keras", "lr": 0.2, "initial_accumulator_value": 0.3, "eps_root": 1e-6}"#,
            [
                [0.9963; 10],
                [0.9604, 0.9278, 0.9003, 0.8784, 0.8615, 0.8487, 0.8388, 0.8313, 0.8255, 0.8209],
                [0.9251, 0.8629, 0.8137, 0.7768, 0.7497, 0.7298, 0.7151, 0.704, 0.6956, 0.6891],
                [0.8903, 0.8012, 0.7342, 0.6862, 0.6521, 0.6277, 0.6099, 0.5967, 0.5867, 0.579],
                [0.856, 0.7422, 0.6604, 0.6037, 0.5644, 0.5367, 0.5168, 0.5021, 0.491, 0.4825],
            ],
        ),
        golden(
            "adadelta_test.py: test_correctness_with_golden",
            r#"{"optimizer": "adadelta", "convention": "keras", "lr": 1, "rho": 0.8, "eps": 1e-6}"#,
            alike([0.9978, 0.9947, 0.9915, 0.9882, 0.9849]),
        ),
        golden(
            "rmsprop_test.py: test_correctness_with_golden",
            r#"{"optimizer": "rmsprop", "convention": "keras", "lr": 1e-3, "centered": true}"#,
            alike([0.9967, 0.9933, 0.9908, 0.9885, 0.9864]),
        ),
        // Keras takes Nesterov's momentum of 0, which is none.
        golden(
            "sgd_test.py: test_correctness_with_golden",
            r#"{"optimizer": "sgd", "convention": "keras", "lr": 1e-2}"#,
            [
                [0.9999; 10],
                [0.9989, 0.9979, 0.9969, 0.9959, 0.9949, 0.9939, 0.9929, 0.9919, 0.9909, 0.9899],
                [0.9979, 0.9959, 0.9939, 0.9919, 0.9899, 0.9879, 0.9859, 0.9839, 0.9819, 0.9799],
                [0.9969, 0.9939, 0.9909, 0.9879, 0.9849, 0.9819, 0.9789, 0.9759, 0.9729, 0.9699],
                [0.9959, 0.9919, 0.9879, 0.9839, 0.9799, 0.9759, 0.9719, 0.9679, 0.9639, 0.9599],
            ],
        ),
        golden(
            "nadam_test.py: test_correctness_with_golden",
            r#"{"optimizer": "nadam", "convention": "keras", "lr": 0.5, "betas": [0.5, 0.67], "eps": 1e-5}"#,
            [
                [0.4281; 10],
                [
                    -0.1738, -0.1731, -0.1726, -0.1723, -0.1721, -0.172, -0.1719, -0.1718, -0.1718,
                    -0.1717,
                ],
                [
                    -0.7115, -0.7103, -0.7096, -0.7092, -0.709, -0.7088, -0.7086, -0.7085, -0.7085,
                    -0.7084,
                ],
                [
                    -1.2335, -1.2322, -1.2313, -1.2309, -1.2306, -1.2304, -1.2302, -1.2301, -1.23,
                    -1.2299,
                ],
                [
                    -1.7492, -1.7478, -1.7469, -1.7464, -1.7461, -1.7459, -1.7457, -1.7456,
                    -1.7455, -1.7454,
                ],
            ],
        ),
        golden(
            "lion_test.py: test_correctness_with_golden",
            r#"{"optimizer": "lion", "convention": "keras", "lr": 1e-3}"#,
            alike([0.999, 0.998, 0.997, 0.996, 0.995]),
        ),
    ]
}

/// One step at lr 0.5 and all defaults.
fn single_steps() -> Vec<Run> {
    let rows = [
        ("adam", "adam_test.py: test_single_step", [0.5, 1.5, 2.5, 3.5]),
        ("adamw", "adamw_test.py: test_single_step", [0.4980, 1.4960, 2.494, 3.492]),
        ("adamax", "adamax_test.py: test_single_step", [0.5, 1.5, 2.5, 3.5]),
        ("adagrad", "adagrad_test.py: test_single_step", [0.5233, 1.5007, 2.5005, 3.5061]),
        ("adadelta", "adadelta_test.py: test_single_step", [0.9993, 1.9993, 2.9993, 3.9993]),
        ("rmsprop", "rmsprop_test.py: test_single_step", [-0.5811, 0.4189, 1.4189, 2.4189]),
        ("sgd", "sgd_test.py: test_single_step", [0.5, -1.0, -0.5, 3.0]),
        ("nadam", "nadam_test.py: test_single_step", [0.4686, 1.4686, 2.4686, 3.4686]),
        ("lion", "lion_test.py: test_single_step", [0.5, 1.5, 2.5, 3.5]),
    ];
    let run = |(rule, test, expected): (&str, &'static str, [f64; 4])| Run {
        test,
        config: keras(rule, r#""lr": 0.5"#),
        param: vec![1.0, 2.0, 3.0, 4.0],
        grads: vec![vec![1.0, 6.0, 7.0, 2.0]],
        expected: vec![(1, expected.into())],
        within: half_a_unit(4),
    };
    rows.into_iter().map(run).collect()
}

/// CONFIG of a rule with Keras's defaults and some more options.
fn keras(rule: &str, more: &str) -> String {
    let defaults = match rule {
        "adamw" => r#""convention": "keras", "weight_decay": 0.004"#,
        _ => r#""convention": "keras""#,
    };
    format!(r#"{{"optimizer": "{rule}", {defaults}, {more}}}"#)
}

/// Three steps without a gradient, each by an optimizer of its own in Keras: decay alone moves the parameter.
fn weight_decay() -> Vec<Run> {
    let rows = [
        ("adam", "adam_test.py: test_weight_decay"),
        ("adamw", "adamw_test.py: test_weight_decay"),
        ("adamax", "adamax_test.py: test_weight_decay"),
        ("adagrad", "adagrad_test.py: test_weight_decay"),
        ("adadelta", "adadelta_test.py: test_weight_decay"),
        ("rmsprop", "rmsprop_test.py: test_weight_decay"),
        ("sgd", "sgd_test.py: test_weight_decay"),
        ("nadam", "nadam_test.py: test_weight_decay"),
        ("lion", "lion_test.py: test_weight_decay"),
    ];
    let run = |(rule, test): (&str, &'static str)| {
        let config = match rule {
            "adamw" => keras(rule, r#""lr": 1"#),
            _ => keras(rule, r#""lr": 1, "weight_decay": 0.004, "decoupled": true"#),
        };
        Run {
            test,
            config,
            param: vec![2.0],
            grads: vec![vec![0.0]; 3],
            expected: vec![(3, vec![1.9760959])],
            within: half_a_unit(7),
        }
    };
    rows.into_iter().map(run).collect()
}

/// A clipped gradient, as the step that SGD takes with it. A norm of one parameter is that of all.
fn clipping() -> Vec<Run> {
    let root = 0.5f64.sqrt();
    let norm = 50f64.hypot(100.0);
    let rows = [
        ("optimizer_test.py: test_clip_norm", r#""clip_norm": 1"#, [100.0, 100.0], [root, root]),
        ("optimizer_test.py: test_clip_value", r#""clip_value": 1"#, [100.0, 100.0], [1.0, 1.0]),
        (
            "optimizer_test.py: test_global_clip_norm",
            r#""clip_norm": 1"#,
            [50.0, 100.0],
            [50.0 / norm, 100.0 / norm],
        ),
    ];
    let run = |(test, clip, grad, clipped): (&'static str, &str, [f64; 2], [f64; 2])| Run {
        test,
        config: format!(r#"{{"optimizer": "sgd", "lr": 1, {clip}}}"#),
        param: vec![0.0; 2],
        grads: vec![grad.into()],
        expected: vec![(1, clipped.map(|g| -g).into())],
        // The 1e-6 that PyTorch, and with it this crate, adds to the norm.
        within: 1e-7,
    };
    rows.into_iter().map(run).collect()
}

/// Steps of SGD with scaled gradients. One with an infinite gradient is not taken, and halves the scale.
fn loss_scale() -> Vec<Run> {
    let grad = [1.0, 6.0, 7.0, 2.0];
    let scaled = |scale: f64| grad.map(|g| g * scale).to_vec();
    let (start, moved) = (vec![1.0, 2.0, 3.0, 4.0], vec![0.5, -1.0, -0.5, 3.0]);
    let run = |test, scale: &str, grads: Vec<Vec<f64>>, expected| Run {
        test,
        config: format!(r#"{{"optimizer": "sgd", "lr": 0.5, "loss_scale": {scale}}}"#),
        param: start.clone(),
        grads,
        expected,
        within: half_a_unit(4),
    };
    let infinite = vec![f64::INFINITY; 4];
    vec![
        run(
            "loss_scale_optimizer_test.py: test_finite_step",
            r#"{"init": 32768, "growth": 2, "backoff": 0.5, "interval": 2000}"#,
            vec![scaled(32768.0)],
            vec![(1, moved.clone())],
        ),
        run(
            "loss_scale_optimizer_test.py: test_infinite_step",
            r#"{"init": 32768, "growth": 2, "backoff": 0.5, "interval": 2000}"#,
            vec![infinite.clone()],
            vec![(1, start.clone())],
        ),
        // Keras expects a scale of 25, at which these gradients are those of the first test.
        run(
            "loss_scale_optimizer_test.py: test_downscaling",
            r#"{"init": 400, "growth": 2, "backoff": 0.5, "interval": 2000}"#,
            vec![infinite.clone(), infinite.clone(), infinite.clone(), infinite, scaled(25.0)],
            vec![(4, start.clone()), (5, moved.clone())],
        ),
        // Keras expects a scale of 32 after eight steps. These have no gradient; the ninth is that of the first test.
        run(
            "loss_scale_optimizer_test.py: test_upscaling",
            r#"{"init": 2, "growth": 2, "backoff": 0.5, "interval": 2}"#,
            [vec![vec![0.0; 4]; 8], vec![scaled(32.0)]].concat(),
            vec![(8, start.clone()), (9, moved)],
        ),
    ]
}
