//! The example `landscape`: its functions, its settings, and the page about it. `tests/examples.rs` runs it.

#[path = "../examples/landscape/descent.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod descent;
#[path = "../examples/landscape/functions.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod functions;
#[path = "../examples/landscape/options.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod options;
#[path = "../examples/landscape/settings.rs"]
#[allow(dead_code, reason = "the example uses the rest")]
mod settings;

use descent::{Field, descend};
use functions::{FUNCTIONS, Function};
use options::Options;
use settings::{Contestant, SETTINGS, STEPS, Setting, contestants};
use support::{gpu, ok};
use wgpu_optim::{View, minimize, rule};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The page whose table has all settings.
const PAGE: &str = "docs/LANDSCAPE.md";

/// The steps within which every rule must converge. Rules without momentum creep along the valley.
const PATIENCE: u64 = 10 * STEPS;

/// The loss that counts as converged. It is 24.2 at the usual start, (−1.2, 1), and about 4 where the valley begins.
const LOSS: f64 = 1e-3;

#[test]
fn every_rule_has_a_row() {
    for entry in rule::ALL {
        let rows = SETTINGS.iter().filter(|setting| setting.rule == entry.name).count();
        let name = entry.name;
        assert_eq!(
            rows, 1,
            "`{name}` has {rows} rows in `SETTINGS`, examples/landscape/settings.rs; give it one, \
             then run the example and put its line into {PAGE}"
        );
    }
    for Setting { rule, .. } in SETTINGS {
        let there = rule::ALL.iter().any(|entry| entry.name == *rule);
        assert!(there, "`{rule}` in `SETTINGS` is no rule of the registry");
    }
    let all = ok(contestants(STEPS));
    assert!(all.iter().map(|c| c.rule).eq(rule::ALL.iter().map(|entry| entry.name)));
}

#[test]
fn every_rule_converges_on_rosenbrock() {
    let starts = [[-1.2, 1.0], [0.0, 0.0], [1.2, -0.4], [-0.6, 1.6]];
    let rosenbrock = |params: &[f32], gradient: &mut [f32]| {
        for (p, g) in params.chunks_exact(2).zip(gradient.chunks_exact_mut(2)) {
            let valley = p[1] - p[0] * p[0];
            g[0] = 2.0 * (p[0] - 1.0) - 400.0 * p[0] * valley;
            g[1] = 200.0 * valley;
        }
        0.0
    };
    let mut wrong = Vec::new();
    for contestant in ok(contestants(PATIENCE)) {
        let mut params = starts.concat();
        if let Err(error) = minimize(&contestant.group, &mut params, PATIENCE, rosenbrock) {
            wrong.push(format!("{}: {error}", contestant.rule));
            continue;
        }
        let value = FUNCTIONS[0].value;
        let loss = |p: &[f32]| value(p[0].into(), p[1].into());
        let losses: Vec<f64> = params.chunks_exact(2).map(loss).collect();
        if !losses.iter().all(|loss| *loss < LOSS) {
            wrong.push(format!("{}: {losses:?}", contestant.rule));
        }
    }
    assert!(
        wrong.is_empty(),
        "not all losses are below {LOSS} after {PATIENCE} steps; change the row in `SETTINGS`, \
         examples/landscape/settings.rs, or the rule:\n{}",
        wrong.join("\n")
    );
}

/// The derivative of a value along an axis, from its neighbours.
fn slope(function: &Function, [x, y]: [f64; 2], axis: usize) -> f64 {
    let value = function.value;
    let step = 1e-5;
    let at = |by: f64| if axis == 0 { value(x + by, y) } else { value(x, y + by) };
    (at(step) - at(-step)) / (2.0 * step)
}

#[test]
fn the_kernel_has_the_gradients_of_the_functions() {
    const COUNT: u32 = 100;
    let gpu = gpu();
    let field = ok(Field::new(gpu, 2, COUNT));
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    field.record_gradients(&mut encoder);
    gpu.queue.submit([encoder.finish()]);
    let read = ok(gpu.download_all(&[&field.points, &field.gradients].map(View::f32)));
    let pairs = |i: usize| read[i].chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    for (i, (point, gradient)) in pairs(0).zip(pairs(1)).enumerate() {
        let function = &FUNCTIONS[i / COUNT as usize % FUNCTIONS.len()];
        assert_eq!(point, function.start(i as u32 % COUNT));
        for axis in 0..2 {
            let expected = slope(function, point.map(f64::from), axis);
            let off = (f64::from(gradient[axis]) - expected).abs();
            // Terms of up to some thousands cancel.
            let name = function.name;
            assert!(off < 1e-2 + 1e-5 * expected.abs(), "{name} at {point:?}: {gradient:?}");
        }
    }
}

#[test]
fn minima_are_the_lowest_points_and_lie_in_the_view() {
    for function in &FUNCTIONS {
        for [x, y] in function.minima {
            let value = (function.value)(*x, *y);
            assert!((value - function.lowest).abs() < 1e-12, "{}: {value}", function.name);
            for axis in 0..2 {
                assert!(slope(function, [*x, *y], axis).abs() < 1e-4, "{}", function.name);
            }
            let [[left, right], [bottom, top]] = function.view;
            assert!((left..right).contains(x) && (bottom..top).contains(y), "{}", function.name);
        }
        for i in 0..5000 {
            let [x, y] = function.start(i).map(f64::from);
            assert!((function.value)(x, y) > function.lowest, "{} at {x}, {y}", function.name);
        }
    }
}

#[test]
fn paths_go_from_the_starts_to_the_ends() {
    let groups: Vec<_> = ok(contestants(5)).into_iter().map(|c| c.group).collect();
    let outcomes = ok(descend(gpu(), &groups, 3, 5));
    assert_eq!(outcomes.len(), groups.len());
    for (outcomes, group) in outcomes.iter().zip(&groups) {
        assert_eq!(outcomes.len(), FUNCTIONS.len());
        for (outcome, function) in outcomes.iter().zip(&FUNCTIONS) {
            assert_eq!((outcome.paths.len(), outcome.ends.len()), (3, 3));
            for ((i, path), end) in (0..).zip(&outcome.paths).zip(&outcome.ends) {
                assert_eq!(path.len(), 6);
                assert_eq!((path[0], path[5]), (function.start(i), *end), "{group:?}");
                assert_ne!(path[0], path[5], "{group:?}");
            }
        }
    }
}

#[test]
fn arguments_are_understood_or_refused() {
    let parse = |words: &[&str]| Options::parse(words.iter().map(|word| (*word).into()));
    let given = ok(parse(&["--points", "9", "--steps", "5", "--out", "a.png", "--config", "{}"]));
    assert_eq!((given.points, given.steps, given.configs), (9, 5, vec!["{}".to_owned()]));
    assert_eq!(ok(parse(&[])), Options::default());
    for (words, said) in [
        (&["--fast"][..], "unknown argument `--fast`"),
        (&["--out"], "`--out` needs a file"),
        (&["--points", "0"], "`--points`: `0` is no whole number from 1 to 1048576"),
        (&["--steps", "many"], "`--steps`: `many` is no whole number from 1 to 1048576"),
    ] {
        let message = parse(words).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.starts_with(said) && message.contains("usage:"), "{words:?}: {message}");
    }
}

#[test]
fn a_config_is_said_in_words_or_refused() {
    let said = |json: &str| Contestant::given(json).map(|c| (c.rule, c.said));
    let words = |lr: &str, options: &str| [lr.to_owned(), options.to_owned()];
    let adam = r#"{"optimizer": "adam", "betas": [0.8, 0.9]}"#;
    assert_eq!(said(adam), Ok(("adam", words("0.001", "betas: [0.8,0.9]"))));
    let lr = r#"{"schedule": "linear", "start": 1, "end": 0, "steps": 9}"#;
    let sgd = format!(r#"{{"optimizer": "sgd", "lr": {lr}, "convention": "optax"}}"#);
    assert_eq!(said(&sgd), Ok(("sgd", words("linear", "convention: optax"))));
    assert!(said("{}").is_err_and(|e| e.starts_with("`optimizer` is missing")));
    let list = r#"{"optimizer": "sgd", "lr": [0.1, 0.2]}"#;
    assert_eq!(said(list), Err("give one group, and a number or a schedule for `lr`".to_owned()));
}

#[test]
fn the_page_has_the_settings() {
    let page = ok(std::fs::read_to_string(PAGE));
    for contestant in ok(contestants(STEPS)) {
        let [lr, options] = &contestant.said;
        let line = format!("| `{}` | {lr} | {options} |", contestant.rule);
        let there = page.lines().filter(|text| text.starts_with(&line)).count();
        assert_eq!(there, 1, "{PAGE} needs the line `{line}`; the example prints it");
    }
    for Function { name, formula, .. } in &FUNCTIONS {
        assert!(page.contains(&format!("| {name} | {formula} |")), "{PAGE}: {name}, {formula}");
    }
}
