//! Learning rates by schedule, and the command that prints them.

use std::collections::BTreeMap;

use wgpu_optim::Schedule;

use crate::command;
use crate::files::{Files, Out, Tensor};
use crate::resume::{part, rest, with_inf};
use crate::{config_error, trace};

/// A schedule whose every step differs, as CONFIG has it and as the library does.
const WARMUP: &str = r#"{"schedule": "warmup", "steps": 2, "from": 1e-3, "then":
    {"schedule": "cosine", "start": 1e-2, "end": 1e-4, "steps": 3}}"#;

fn warmup() -> Schedule {
    Schedule::warmup(2, 1e-3, Schedule::cosine(1e-2, 1e-4, 3))
}

/// The list of the rates of some steps.
fn rates(steps: &[u64]) -> String {
    let rates: Vec<_> = steps.iter().map(|t| warmup().at(*t).to_string()).collect();
    format!("[{}]", rates.join(", "))
}

fn run(trace: &BTreeMap<String, Tensor>, config: &str, cpu: bool) -> Out {
    Files::new(trace, config).replay(cpu).unwrap_or_else(|e| panic!("{config}: {e}"))
}

#[test]
fn a_schedule_is_the_list_of_its_rates() {
    let adam = |lr: &str| format!(r#"{{"optimizer": "adam", "amsgrad": true, "lr": {lr}}}"#);
    let groups = |first: &str, second: &str| {
        format!(
            r#"{{"optimizer": "sgd", "lr": {first}, "params": ["*"], "groups": [{{"params": ["*.bias"], "lr": {second}}}, {{"params": ["scale"], "momentum": 0.9}}]}}"#
        )
    };
    let list = rates(&[1, 2, 3, 4]);
    let step = r#"{"schedule": "step", "start": 0.5, "gamma": 0.5, "every": 2.0}"#;
    for cpu in [false, true] {
        let run = |config: &str| run(&trace(), config, cpu);
        assert_eq!(run(&adam(WARMUP)), run(&adam(&list)));
        assert_ne!(run(&adam(WARMUP)), run(&adam(&rates(&[1, 2, 3, 3]))));
        let expected = run(&groups(&list, "[0.5, 0.5, 0.25, 0.25]"));
        assert_eq!(run(&groups(WARMUP, step)), expected);
        let constant = r#"{"schedule": "constant", "value": 1e-2}"#;
        assert_eq!(run(&adam(constant)), run(&adam("1e-2")));
        // A step counts once, however many gradients it has.
        let halved = |lr: &str| adam(lr).replacen('{', r#"{"accumulate": 2, "#, 1);
        assert_eq!(run(&halved(WARMUP)), run(&halved(&rates(&[1, 2]))));
    }
}

/// A run that goes on takes the schedule on from the step that it has reached.
#[test]
fn a_schedule_goes_on_with_the_run() {
    let config = |keys: &str| format!(r#"{{"optimizer": "adam", {keys}"lr": {WARMUP}}}"#);
    let skipping = config(r#""skip_nonfinite": true, "#);
    for (trace, config) in [(trace(), config("")), (with_inf(), skipping)] {
        for cpu in [false, true] {
            let whole = run(&trace, &config, cpu);
            for cut in 1..4 {
                let first = run(&part(&trace, 0, cut), &config, cpu);
                let metadata = Some(first.metadata.clone());
                let second = Files::with(&rest(&trace, &first, cut), metadata, &config);
                let second = second.replay(cpu).unwrap_or_else(|e| panic!("{config}: {e}"));
                assert_eq!(second, whole, "{config}, cut at {cut}, cpu {cpu}");
            }
        }
    }
}

/// The second of four steps is skipped, so that the third has the second rate.
#[test]
fn a_skipped_step_does_not_advance_a_schedule() {
    let config =
        |lr: &str| format!(r#"{{"optimizer": "adam", "skip_nonfinite": true, "lr": {lr}}}"#);
    for cpu in [false, true] {
        let found = run(&with_inf(), &config(WARMUP), cpu);
        assert_eq!(found.metadata["steps_skipped"], "1");
        assert_eq!(found, run(&with_inf(), &config(&rates(&[1, 9, 2, 3])), cpu));
    }
}

#[test]
#[rustfmt::skip]
fn wrong_schedules() {
    let names = "`constant`, `linear`, `polynomial`, `cosine`, `cosine_restarts`, `exponential`, `step`, `multi_step`, `one_cycle`, `cyclic`, `inverse_sqrt`, `wsd`, `piecewise`, `warmup`, `sequence`";
    let rows = [
        ("{}", format!("`lr.schedule` is missing; it must be one of {names}")),
        (r#"{"schedule": 1}"#, format!("`lr.schedule` is a number; it must be one of {names}")),
        (r#"{"schedule": "cos"}"#, format!("`lr`: unknown schedule `cos`; known are {names}")),
        (r#"{"schedule": "Cosine"}"#, format!("`lr`: unknown schedule `Cosine`; known are {names}")),
        (r#"{"schedule": "cosine", "start": 1, "end": 0, "step": 5}"#, "schedule `cosine`: unknown key `lr.step`; known are `schedule`, `start`, `end`, `steps`".into()),
        (r#"{"schedule": "cosine", "start": 1, "steps": 5}"#, "schedule `cosine`: `lr.end` is missing; it needs `start`, `end`, `steps`".into()),
        (r#"{"schedule": "cosine", "start": 1, "end": 0, "steps": 5, "for": 5}"#, "schedule `cosine`: unknown key `lr.for`; known are `schedule`, `start`, `end`, `steps`".into()),
        (r#"{"schedule": "cosine", "start": "1", "end": 0, "steps": 5}"#, "schedule `cosine`: `lr.start` is the string \"1\"; it must be a number".into()),
        (r#"{"schedule": "cosine", "start": -1e-3, "end": 0, "steps": 5}"#, "schedule `cosine`: `lr.start` is -0.001; it must be a finite f32 number, 0 or more".into()),
        (r#"{"schedule": "cosine", "start": 1e39, "end": 0, "steps": 5}"#, "schedule `cosine`: `lr.start` is 1000000000000000000000000000000000000000; it must be a finite f32 number, 0 or more".into()),
        (r#"{"schedule": "cosine", "start": 1, "end": 0, "steps": 2.5}"#, "schedule `cosine`: `lr.steps` is 2.5; it must be a whole number".into()),
        (r#"{"schedule": "cosine", "start": 1, "end": 0, "steps": -3}"#, "schedule `cosine`: `lr.steps` is -3; it must be a whole number".into()),
        (r#"{"schedule": "cosine", "start": 1, "end": 0, "steps": 1e300}"#, "schedule `cosine`: `lr.steps` is 1e+300; it must be a whole number".into()),
        (r#"{"schedule": "cosine", "start": 1, "end": 0, "steps": true}"#, "schedule `cosine`: `lr.steps` is true or false; it must be a whole number".into()),
        (r#"{"schedule": "cosine", "start": 1, "end": 0, "steps": 0}"#, "schedule `cosine`: `lr.steps` is 0; it must be a whole number, 1 or more".into()),
        (r#"{"schedule": "cosine_restarts", "start": 1, "end": 0, "steps": 5, "factor": 1.5}"#, "schedule `cosine_restarts`: `lr.factor` is 1.5; it must be a whole number".into()),
        (r#"{"schedule": "multi_step", "start": 1, "gamma": 0.1, "milestones": 5}"#, "schedule `multi_step`: `lr.milestones` is a number; it must be a list, each a whole number".into()),
        (r#"{"schedule": "multi_step", "start": 1, "gamma": 0.1, "milestones": [5, 6.5]}"#, "schedule `multi_step`: `lr.milestones[1]` is 6.5; it must be a whole number".into()),
        (r#"{"schedule": "multi_step", "start": 1, "gamma": 0.1, "milestones": [5, 5]}"#, "schedule `multi_step`: `lr.milestones[1]` is 5; it must be above `lr.milestones[0]`, which is 5".into()),
        (r#"{"schedule": "piecewise", "boundaries": [5], "values": [1]}"#, "schedule `piecewise`: `lr.values` is a list of 1 numbers; it must be a list of 2, one more than `lr.boundaries`".into()),
        (r#"{"schedule": "piecewise", "boundaries": [5], "values": [1, "x"]}"#, "schedule `piecewise`: `lr.values[1]` is the string \"x\"; it must be a number".into()),
        (r#"{"schedule": "warmup", "steps": 5, "from": 0, "then": 1e-3}"#, "`lr.then` is a number; it must be an object with `schedule`".into()),
        (r#"{"schedule": "warmup", "steps": 5, "from": 0, "then": {"schedule": "linear", "start": 1, "end": 0}}"#, "schedule `linear`: `lr.then.steps` is missing; it needs `start`, `end`, `steps`".into()),
        (r#"{"schedule": "warmup", "steps": 5, "from": 0, "then": {"schedule": "linear", "start": 1, "end": 0, "steps": 0}}"#, "schedule `linear`: `lr.then.steps` is 0; it must be a whole number, 1 or more".into()),
        (r#"{"schedule": "sequence", "parts": {}}"#, "schedule `sequence`: `lr.parts` is an object; it must be a list of schedules".into()),
        (r#"{"schedule": "sequence", "parts": []}"#, "schedule `sequence`: `lr.parts` is an empty list; it must be a list of schedules".into()),
        (r#"{"schedule": "sequence", "parts": [1]}"#, "`lr.parts[0]` is a number; it must be an object with `schedule`".into()),
        (r#"{"schedule": "sequence", "parts": [{"schedule": "constant", "value": 1}, {"schedule": "constant", "value": 1}]}"#, "schedule `sequence`: `lr.parts[0].for` is missing; it must be a whole number, 1 or more; only the last part has no end".into()),
        (r#"{"schedule": "sequence", "parts": [{"for": 2, "schedule": "constant", "value": 1}]}"#, "schedule `sequence`: `lr.parts[0].for` is 2; it must be left out, because the last part has no end".into()),
        (r#"{"schedule": "sequence", "parts": [{"for": 2, "schedule": "constant", "vaule": 1}, {"schedule": "constant", "value": 1}]}"#, "schedule `constant`: unknown key `lr.parts[0].vaule`; known are `schedule`, `value`, `for`".into()),
        (r#"{"schedule": "sequence", "parts": [{"for": 2.5, "schedule": "constant", "value": 1}, {"schedule": "constant", "value": 1}]}"#, "schedule `constant`: `lr.parts[0].for` is 2.5; it must be a whole number".into()),
        (r#"{"schedule": "sequence", "parts": [{"for": 2, "schedule": "constant", "value": 1}, {"schedule": "step", "start": 1, "gamma": 0.5, "every": 0}]}"#, "schedule `step`: `lr.parts[1].every` is 0; it must be a whole number, 1 or more".into()),
    ];
    for (lr, expected) in rows {
        let config = |place: &str| format!("{{\"optimizer\": \"sgd\", {place}}}");
        let said = config_error(&config(&format!("\"lr\": {lr}")));
        assert_eq!(said, format!("CONFIG: {expected}"), "{lr}");
        let said = config_error(&config(&format!("\"groups\": [{{\"params\": [\"*\"], \"lr\": {lr}}}]")));
        assert_eq!(said, format!("CONFIG: `groups[0]`: {expected}"), "{lr}");
    }
    // The decay is checked with the largest rate.
    let said = config_error(r#"{"optimizer": "sgd", "weight_decay": 1e10, "lr": {"schedule": "linear", "start": 0, "end": 1e30, "steps": 5}}"#);
    assert_eq!(said, "CONFIG: `sgd`: lr × weight_decay is 10000000000000000000000000000000000000000; it must be a finite f32 number, 0 or more");
}

/// Runs `schedule` with CONFIG on its standard input: the exit code, and all that it says.
fn schedule(config: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let arguments = [&["schedule", "-"], arguments].concat();
    let done = command::run(&arguments, config.as_bytes(), Some("no-backend-is-needed"));
    (done.status.code(), command::text(&done.stdout), command::text(&done.stderr))
}

/// The lines are the numbers, in digits that give the same numbers when they are read.
#[test]
fn the_command_prints_each_step() {
    let config = format!(r#"{{"optimizer": "adam", "lr": {WARMUP}}}"#);
    let (code, out, said) = schedule(&config, &["--steps", "7", "--csv"]);
    assert_eq!((code, &*said), (Some(0), ""));
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("t,lr"));
    for t in 1..=7 {
        let line = lines.next().unwrap_or_default();
        let (step, lr) = line.split_once(',').unwrap_or_else(|| panic!("{line}"));
        assert_eq!(step, t.to_string());
        assert_eq!(lr.parse(), Ok(warmup().at(t)), "{line}");
        assert!(lr.bytes().all(|c| c.is_ascii_digit() || c == b'.'), "{line}");
    }
    assert_eq!(lines.next(), None);
    assert!(out.starts_with("t,lr\n1,0.001\n2,0.0055\n3,0.01\n"), "{out}");

    // A number, none, a list, and groups, of which each has its column.
    let csv = |config: &str| {
        let (code, out, said) = schedule(config, &["--steps", "2", "--csv"]);
        assert_eq!(code, Some(0), "{said}");
        out
    };
    assert_eq!(csv(r#"{"optimizer": "adam", "lr": 0.5}"#), "t,lr\n1,0.5\n2,0.5\n");
    assert_eq!(csv(r#"{"optimizer": "adam"}"#), "t,lr\n1,0.001\n2,0.001\n");
    assert_eq!(
        csv(r#"{"optimizer": "adam", "lr": [1, 1e-20, 3]}"#),
        "t,lr\n1,1\n2,0.00000000000000000001\n"
    );
    let groups = r#"{"optimizer": "sgd", "lr": [3, 4], "params": ["*"], "groups": [{"params": ["a"]},
        {"params": ["b"], "lr": {"schedule": "exponential", "start": 1, "gamma": 0.25}}]}"#;
    assert_eq!(csv(groups), "t,lr,groups[0].lr,groups[1].lr\n1,3,3,1\n2,4,4,0.25\n");
    let only = groups.replace("\"params\": [\"*\"], ", "");
    assert_eq!(csv(&only), "t,groups[0].lr,groups[1].lr\n1,3,1\n2,4,0.25\n");
}

#[test]
fn the_command_prints_a_table() {
    let config = r#"{"optimizer": "adam", "lr": {"schedule": "linear", "start": 1, "end": 0.5, "steps": 2}}"#;
    let (code, out, _) = schedule(config, &["--steps", "3"]);
    assert_eq!((code, &*out), (Some(0), "t  lr\n1  1\n2  0.75\n3  0.5\n"));
    // The first and the last of many, with both ends of all.
    let config = r#"{"optimizer": "adam", "lr": {"schedule": "cyclic", "low": 0.125, "high": 1, "up": 50, "down": 50}}"#;
    let (_, out, _) = schedule(config, &["--steps", "1000"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 24, "{out}");
    assert_eq!(
        [lines[1], lines[11], lines[21]],
        ["1         0.125", "…         …", "1000      0.1425"]
    );
    assert_eq!(lines[22..], ["least     0.125", "greatest  1"]);
}

#[test]
fn the_command_draws_a_plot() {
    let files = Files::new(&trace(), "{}");
    let path = files.path("curve.png");
    let two = r#"{"optimizer": "sgd", "params": ["*"], "groups": [{"params": ["a"], "lr": 0}]}"#;
    let one = format!(r#"{{"optimizer": "sgd", "lr": {WARMUP}}}"#);
    for (config, steps) in [(two, "1"), (two, "30"), (&*one, "100000")] {
        let (code, out, said) = schedule(config, &["--steps", steps, "--plot", &path]);
        assert_eq!(code, Some(0), "{said}");
        assert!(out.starts_with("t "));
        let decoder = png::Decoder::new(std::io::Cursor::new(files.bytes("curve.png")));
        let mut reader = support::ok(decoder.read_info());
        let mut pixels = vec![0; reader.output_buffer_size()];
        support::ok(reader.next_frame(&mut pixels));
        // The first curve has this color; two curves have a legend, too.
        let curve = pixels.chunks(3).filter(|pixel| *pixel == [213, 94, 0]).count();
        let least = if steps == "1" { 110 } else { 500 };
        assert!(curve > least, "{curve} pixels at {steps} steps");
        files.remove("curve.png");
    }
}

#[test]
fn the_command_refuses_what_is_wrong() {
    let right = r#"{"optimizer": "adam"}"#;
    let files = Files::new(&trace(), "{}");
    let text = files.path("curve.txt");
    let nowhere = files.path("none/curve.png");
    let rows: [(&str, &[&str], String); 5] = [
        (
            r#"{"optimizer": "adam", "lr": [1, 2]}"#,
            &["--steps", "3"],
            "standard input: `lr` is a list of 2 for 3 steps; give one value a step".into(),
        ),
        (
            r#"{"optimizer": "sgd", "groups": [{"params": ["a"], "lr": {"schedule": "constant"}}]}"#,
            &["--steps", "3"],
            "standard input: `groups[0]`: schedule `constant`: `lr.value` is missing; it needs `value`".into(),
        ),
        ("[]", &["--steps", "3"], "standard input: a config is one JSON object, this is a list of 0 numbers".into()),
        (
            right,
            &["--steps", "3", "--plot", &text],
            format!("{text}: a plot is a PNG; name a file in .png"),
        ),
        (
            right,
            &["--steps", "3", "--plot", &nowhere],
            format!("{nowhere}: No such file or directory (os error 2)"),
        ),
    ];
    for (config, arguments, expected) in rows {
        let (code, out, said) = schedule(config, arguments);
        assert_eq!((code, &*out, &*said), (Some(2), "", &*format!("wgpu-optim: {expected}\n")));
    }
    for steps in ["0", "-1", "1.5", "x"] {
        let (code, out, said) = schedule(right, &[&format!("--steps={steps}")]);
        assert_eq!((code, &*out), (Some(2), ""));
        assert!(said.contains("--steps <N>"), "{said}");
    }
    let done = command::run(&["schedule", &files.path("none.json"), "--steps", "1"], b"", None);
    let said = command::text(&done.stderr);
    assert_eq!(done.status.code(), Some(2));
    assert!(said.starts_with("wgpu-optim: ") && said.contains("none.json: "), "{said}");
}

/// Every CONFIG of the document is right, and its table has every schedule with its keys.
#[test]
fn the_document_is_right() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SCHEDULES.md");
    let document = support::ok(std::fs::read_to_string(path));
    let blocks = document.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let configs: Vec<&str> = blocks.collect();
    assert_eq!(configs.len(), 2);
    for config in configs {
        let (code, _, said) = schedule(config, &["--steps", "1000", "--csv"]);
        assert_eq!(code, Some(0), "{said}");
    }
    let known = schedule(r#"{"optimizer": "sgd", "lr": {}}"#, &["--steps", "1"]).2;
    let mut names = known.split("one of ").nth(1).unwrap_or_default().trim().split(", ");
    for row in
        document.lines().filter(|line| line.starts_with("| `") && !line.contains("\"schedule\""))
    {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(names.next(), Some(cells[0]), "{row}");
        let config = format!(
            r#"{{"optimizer": "sgd", "lr": {{"schedule": "{}"}}}}"#,
            cells[0].trim_matches('`')
        );
        let said = schedule(&config, &["--steps", "1"]).2;
        let needs = said.split("it needs ").nth(1).unwrap_or_default();
        assert_eq!(needs.trim().replace('`', ""), cells[1], "{row}");
    }
    assert_eq!(names.next(), None);
}
