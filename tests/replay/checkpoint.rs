//! Runs that stop and go on: the same bits of everything as one that never stopped.

use std::collections::BTreeMap;

use crate::files::{Files, Out, Tensor, tensor};
use crate::resume::with_inf;
use crate::trace;
use wgpu_optim::Format;
use wgpu_optim::rule;

/// The trace with more gradients: as many as there are, `times` over with other numbers.
fn long(of: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let mut all = of.clone();
    for (key, grad) in all.iter_mut().filter(|(key, _)| key.starts_with("grad.")) {
        let more = support::numbers(grad.bytes.len() as u64 / 4, key.len() as u64 + 40);
        grad.shape[0] *= 2;
        grad.bytes.extend(more.iter().flat_map(|x| x.to_le_bytes()));
    }
    all
}

/// The parameters of a trace in 16 bits.
fn halves(of: &BTreeMap<String, Tensor>, format: Format) -> BTreeMap<String, Tensor> {
    let mut all = of.clone();
    for (_, param) in all.iter_mut().filter(|(key, _)| key.starts_with("param.")) {
        param.bytes = format.encode_all(&crate::files::f32s(&param.bytes));
        param.dtype = match format {
            Format::F16 => safetensors::Dtype::F16,
            _ => safetensors::Dtype::BF16,
        };
    }
    all
}

fn run(files: &Files, cpu: bool, arguments: &[&str]) -> Result<Out, String> {
    let out = files.path("out.safetensors");
    let cpu: &[&str] = if cpu { &["--cpu"] } else { &[] };
    files.run(&[&["--out", &out], cpu, arguments].concat())?;
    Ok(Out::of(&files.bytes("out.safetensors")))
}

fn same(one: &Out, two: &Out, what: &str) {
    let keys = one.tensors.keys().chain(two.tensors.keys());
    let differ: Vec<_> =
        keys.filter(|key| one.tensors.get(*key) != two.tensors.get(*key)).collect();
    assert!(differ.is_empty(), "{what}: {differ:?}");
    assert_eq!(one.metadata, two.metadata, "{what}");
}

/// Runs a whole trace, and the same in two parts.
pub(crate) fn check(trace: &BTreeMap<String, Tensor>, config: &str, cpu: bool, cut: u64) {
    let what = format!("{config}, cut at {cut}, cpu {cpu}");
    let files = Files::new(trace, config);
    let whole = run(&files, cpu, &[]).unwrap_or_else(|e| panic!("{what}: {e}"));
    let bytes = files.bytes("out.safetensors");
    let file = files.path("file.safetensors");
    let steps = format!("0..{cut}");
    run(&files, cpu, &["--steps", &steps, "--save", &file])
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let resumed = run(&files, cpu, &["--resume", &file]).unwrap_or_else(|e| panic!("{what}: {e}"));
    same(&resumed, &whole, &what);
    assert!(files.bytes("out.safetensors") == bytes, "{what}: the files differ");
}

#[test]
fn every_rule_goes_on() {
    let trace = long(&trace());
    for (i, entry) in rule::ALL.iter().enumerate() {
        let config = format!("{{\"optimizer\": \"{}\"}}", entry.name);
        check(&trace, &config, i % 2 == 0, 3);
    }
}

#[test]
fn options_controls_and_sums_go_on() {
    let trace = long(&with_inf());
    let schedule = r#"{"schedule": "cosine", "start": 0.1, "end": 0.001, "steps": 6}"#;
    let keys = [
        r#""skip_nonfinite": true, "clip_norm": 0.5"#.to_owned(),
        r#""loss_scale": {"init": 8, "growth": 2, "backoff": 0.5, "interval": 2}, "accumulate": 3"#
            .to_owned(),
        r#""accumulate": 3, "accumulation": "sum", "ema": 0.9, "skip_nonfinite": true"#.to_owned(),
        format!(r#""lr": {schedule}, "skip_nonfinite": true"#),
        r#""lr": [0.1, 0.1, 0.05, 0.04, 0.03, 0.02, 0.01, 0.01]"#.to_owned(),
        r#""params": ["*"], "groups": [{"params": ["*bias"], "lr": 0.5, "optimizer": "madgrad"}]"#
            .to_owned(),
        r#""state_format": "bf16", "loss_scale": "dynamic""#.to_owned(),
    ];
    for (i, keys) in keys.iter().enumerate() {
        let names = ["adam", "schedule_free_adamw", "rmsprop", "laprop"];
        let config = format!("{{\"optimizer\": \"{}\", {keys}}}", names[i % 4]);
        for (cpu, cut) in [(false, 4), (true, 4), (false, 7)] {
            check(&trace, &config, cpu, cut);
        }
    }
    for (format, master) in
        [(Format::Bf16, "remainder"), (Format::F16, "f32"), (Format::Bf16, "none")]
    {
        let trace = halves(&trace, format);
        let config = format!(
            r#"{{"optimizer": "adamw", "master": "{master}", "stochastic_rounding": 7, "ema": 0.9, "skip_nonfinite": true}}"#
        );
        check(&trace, &config, false, 5);
        check(&trace, &config, true, 5);
    }
}

/// A trace that goes on from a result has steps of which its checkpoints know.
#[test]
fn a_trace_that_goes_on_from_a_result_can_stop_as_well() {
    let first = with_inf();
    let configs = [
        r#"{"optimizer": "adamw", "skip_nonfinite": true, "lr": [0.1, 0.1, 0.05, 0.04]}"#,
        r#"{"optimizer": "schedule_free_adamw", "skip_nonfinite": true, "accumulate": 2}"#,
    ];
    for (config, cpu) in configs.into_iter().flat_map(|config| [(config, false), (config, true)]) {
        let what = format!("{config}, cpu {cpu}");
        let out = ok(run(&Files::new(&first, config), cpu, &[]));
        let mut trace = first.clone();
        trace.extend(out.tensors);
        let files = Files::with(&trace, Some(out.metadata), config);
        let whole = ok(run(&files, cpu, &[]));
        let bytes = files.bytes("out.safetensors");
        let file = files.path("file.safetensors");
        ok(run(&files, cpu, &["--steps", "0..1", "--save", &file]));
        ok(run(&files, cpu, &["--resume", &file, "--steps", "..3", "--save", &file]));
        let resumed = ok(run(&files, cpu, &["--resume", &file]));
        same(&resumed, &whole, &what);
        assert!(files.bytes("out.safetensors") == bytes, "{what}");
    }
}

/// A checkpoint after each Nth gradient is the one of a run that ends there.
#[test]
fn checkpoints_are_written_on_the_way() {
    let files = Files::new(&long(&trace()), r#"{"optimizer": "adam", "accumulate": 2}"#);
    let (every, once) = (files.path("every.safetensors"), files.path("once.safetensors"));
    for cpu in [false, true] {
        ok(run(&files, cpu, &["--steps", "..7", "--save", &every, "--save-every", "3"]));
        ok(run(&files, cpu, &["--steps", "0..7", "--save", &once]));
        assert!(files.bytes("every.safetensors") == files.bytes("once.safetensors"), "cpu {cpu}");
        // In three parts, without a config.
        let whole = ok(run(&files, cpu, &[]));
        for part in ["0..3", "3..6", "6.."] {
            let begins: &[&str] = if part.starts_with('0') { &[] } else { &["--resume", &once] };
            let arguments = [&["--steps", part, "--save", &once][..], begins].concat();
            let out = ok(match part {
                "0..3" => run(&files, cpu, &arguments),
                _ => without_config(&files, cpu, &arguments),
            });
            if part == "6.." {
                same(&out, &whole, "three parts");
            }
        }
    }
}

fn ok(result: Result<Out, String>) -> Out {
    result.unwrap_or_else(|e| panic!("{e}"))
}

fn without_config(files: &Files, cpu: bool, arguments: &[&str]) -> Result<Out, String> {
    let (trace, out) = (files.path("trace.safetensors"), files.path("out.safetensors"));
    let cpu: &[&str] = if cpu { &["--cpu"] } else { &[] };
    let all = [&["replay", &trace, "--out", &out], cpu, arguments].concat();
    let done = crate::command::run(&all, b"", None);
    match done.status.code() {
        Some(0) => Ok(Out::of(&files.bytes("out.safetensors"))),
        _ => Err(crate::command::text(&done.stderr)),
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let files = Files::new(&trace(), r#"{"optimizer": "adam", "lr": 0.1}"#);
    let file = files.path("file.safetensors");
    let cpu = true;
    ok(run(&files, cpu, &["--steps", "0..2", "--save", &file]));
    let said = |arguments: &[&str]| run(&files, cpu, arguments).expect_err("refused");
    let found = said(&["--resume", &file, "--steps", "1.."]);
    assert!(found.ends_with("--steps begins at gradient 1, but the checkpoint stopped before gradient 2; write 2.. or leave --steps out"), "{found}");
    let found = said(&["--steps", "0..9"]);
    assert!(found.ends_with("--steps ends at 9, but it records 4 gradients"), "{found}");
    let found = said(&["--steps", "3..2"]);
    assert!(found.contains("begin at gradient 3 and end at 2"), "{found}");
    files.write(
        "config.json",
        br#"{"optimizer": "adam", "lr": 0.2, "eps": 1e-7, "clip_norm": 1.0, "accumulate": 2}"#,
    );
    let found = said(&["--resume", &file]);
    for part in [
        "`accumulate` is 2 here, 1 in the checkpoint",
        "`clip_norm` is 1.0 here, null in the checkpoint",
        "is 0.2 here, 0.1 in the checkpoint",
        "`eps` of the group of `layer.0.bias` is 1e-7 here, 0.0 in the checkpoint",
    ] {
        assert!(found.contains(part), "{found}");
    }
    files.write("config.json", br#"{"optimizer": "rmsprop"}"#);
    let found = said(&["--resume", &file]);
    assert!(found.contains("`optimizer` of the group of `layer.0.bias` is \"rmsprop\" here, \"adam\" in the checkpoint"), "{found}");

    // Other parameters, and another kind of numbers.
    let mut other = trace();
    other.insert("param.w".to_owned(), tensor(&[3, 2], &support::numbers(6, 1)));
    other.insert("grad.w".to_owned(), tensor(&[4, 3, 2], &support::numbers(24, 1)));
    other.remove("param.scale");
    other.remove("grad.scale");
    let others = Files::new(&other, "{}");
    let found = without_config(&others, cpu, &["--resume", &file]).expect_err("refused");
    assert!(found.contains("`w` has shape [2, 3] in it, [3, 2] in the trace"), "{found}");
    assert!(found.contains("it has parameter `scale`, which the trace has not"), "{found}");
    let found = without_config(&files, false, &["--resume", &file]).expect_err("refused");
    assert!(found.contains("is F64, as --cpu writes it; resume it with --cpu"), "{found}");

    // A place that is none, or another file's.
    for (place, expected) in [
        (files.path("nowhere/file.safetensors"), "its directory is not there"),
        (files.path(""), "is a directory"),
        (files.path("out.safetensors"), "the checkpoint would overwrite the result"),
        (files.path("trace.safetensors"), "the checkpoint would overwrite the trace"),
        (files.path("config.json"), "the checkpoint would overwrite CONFIG"),
        ("-".to_owned(), "a checkpoint is a file"),
    ] {
        files.write("config.json", br#"{"optimizer": "adam", "lr": 0.1}"#);
        let found = said(&["--save", &place]);
        assert!(found.contains(expected), "{found}");
    }

    for (out, expected) in [
        ("file.safetensors", "the result would overwrite the checkpoint that it goes on from"),
        ("config.json", "the result would overwrite CONFIG"),
    ] {
        let out = files.path(out);
        let found = files.run(&["--cpu", "--resume", &file, "--out", &out]).expect_err("refused");
        assert!(found.contains(expected), "{found}");
    }

    // A damaged file, and none.
    let mut bytes = files.bytes("file.safetensors");
    let last = bytes.len() - 30; // of the data
    bytes[last] ^= 1;
    files.write("file.safetensors", &bytes);
    let found = without_config(&files, cpu, &["--resume", &file]).expect_err("refused");
    assert!(found.contains("damaged"), "{found}");
    let found = without_config(&files, cpu, &[]).expect_err("refused");
    assert!(found.contains("--optimizer"), "{found}");
}

#[test]
fn a_checkpoint_can_be_inspected() {
    let config = r#"{"optimizer": "adam", "ema": 0.9, "loss_scale": "dynamic",
        "params": ["*"], "groups": [{"params": ["*bias"], "optimizer": "sgd", "lr": 0.25}]}"#;
    let files = Files::new(&with_inf(), config);
    let file = files.path("file.safetensors");
    ok(run(&files, false, &["--save", &file]));
    let said = |arguments: &[&str]| {
        let done = crate::command::run(&[&["inspect", &file], arguments].concat(), b"", None);
        assert!(done.status.success(), "{}", crate::command::text(&done.stderr));
        crate::command::text(&done.stdout)
    };
    let json: serde_json::Value = serde_json::from_str(&said(&["--json"])).unwrap_or_default();
    for (pointer, expected) in [
        ("/version", serde_json::json!(1)),
        ("/steps", serde_json::json!(4)),
        ("/steps_taken", serde_json::json!(3)),
        ("/loss_scale", serde_json::json!(32768.0)),
        ("/growth_tracker", serde_json::json!(2)),
        ("/groups/0/optimizer", serde_json::json!("adam")),
        ("/groups/1/optimizer", serde_json::json!("sgd")),
        ("/groups/1/options/lr", serde_json::json!(0.25)),
        ("/groups/0/params/1/name", serde_json::json!("w")),
        ("/groups/0/params/1/shape", serde_json::json!([2, 3])),
        ("/groups/0/params/1/step", serde_json::json!(3)),
        ("/groups/0/params/1/bytes", serde_json::json!(96)),
        ("/groups/0/params/1/tensors/0/slot", serde_json::json!("param")),
        ("/groups/0/params/1/tensors/2/slot", serde_json::json!("exp_avg_sq")),
        ("/groups/0/params/1/tensors/2/nonfinite", serde_json::json!(0)),
    ] {
        assert_eq!(json.pointer(pointer), Some(&expected), "{pointer} of {json:#}");
    }
    let tensors = Out::of(&files.bytes("file.safetensors")).tensors;
    let numbers = tensors["state.w.exp_avg"].f64s();
    let norm = numbers.iter().map(|x| x * x).sum::<f64>().sqrt();
    let shown =
        json.pointer("/groups/0/params/1/tensors/1/norm").and_then(serde_json::Value::as_f64);
    assert!(shown.is_some_and(|shown| (shown - norm).abs() <= 1e-12 * norm), "{shown:?}, {norm}");
    let text = said(&[]);
    for part in ["group 1: sgd, 4 steps, 1 parameters", "\nloss_scale dynamic\n"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    files.write("file.safetensors", b"nothing");
    let done = crate::command::run(&["inspect", &file], b"", None);
    assert_eq!(done.status.code(), Some(2));
    for (bytes, kind) in [
        (&b"PK\x03\x04\0\0\x08\x08\0\0"[..], "it is a zip archive, as torch.save and numpy.savez"),
        (b"\x80\x02\x8a\x0a", "it is a pickle, as torch.save once wrote"),
    ] {
        files.write("file.safetensors", bytes);
        let done = crate::command::run(&["inspect", &file], b"", None);
        let found = crate::command::text(&done.stderr);
        assert!(found.contains(kind) && found.contains("`wgpu-optim convert`"), "{found}");
        assert_eq!(done.status.code(), Some(2));
    }
}
