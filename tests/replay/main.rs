//! `wgpu-optim replay` from outside: what it writes, what it refuses, and whatever else it is fed.

mod blocks;
mod checkpoint;
mod command;
mod conventions;
mod files;
mod groups;
mod in_blocks;
mod inspect;
mod libraries;
mod pytorch;
mod random;
mod resume;
mod schedules;
mod torchao;

use std::collections::BTreeMap;

use files::{Files, Tensor, f32s, tensor};
use safetensors::Dtype;
use wgpu_optim::{Adam, Group, Reference, Trajectory, rule};

const ADAM: &str = r#"{"optimizer": "adam", "lr": 1e-2, "betas": [0.9, 0.99], "eps": 1e-8, "eps_root": 0.0,
    "amsgrad": true, "weight_decay": 0.1, "decoupled": true, "maximize": false}"#;

/// Two parameters of several dimensions, one without any, four steps.
fn trace() -> BTreeMap<String, Tensor> {
    let numbers = |len, seed| support::numbers(len, seed);
    BTreeMap::from([
        ("param.w".to_owned(), tensor(&[2, 3], &numbers(6, 1))),
        ("grad.w".to_owned(), tensor(&[4, 2, 3], &numbers(24, 2))),
        ("param.scale".to_owned(), tensor(&[], &numbers(1, 3))),
        ("grad.scale".to_owned(), tensor(&[4], &numbers(4, 4))),
        ("param.layer.0.bias".to_owned(), tensor(&[5], &numbers(5, 5))),
        ("grad.layer.0.bias".to_owned(), tensor(&[4, 5], &numbers(20, 6))),
    ])
}

#[test]
fn the_result_has_pytorchs_names_shapes_and_the_steps() {
    let files = Files::new(&trace(), ADAM);
    for (cpu, dtype) in [(false, Dtype::F32), (true, Dtype::F64)] {
        let out = files.replay(cpu).unwrap_or_else(|e| panic!("{e}"));
        let slots = ["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
        let mut expected = Vec::new();
        for (name, shape) in [("w", &[2, 3][..]), ("scale", &[]), ("layer.0.bias", &[5])] {
            expected.push((format!("param.{name}"), shape.to_vec()));
            expected.extend(slots.map(|slot| (format!("state.{name}.{slot}"), shape.to_vec())));
        }
        expected.sort();
        let shapes: Vec<_> =
            out.tensors.iter().map(|(k, t)| (k.clone(), t.shape.clone())).collect();
        assert_eq!(shapes, expected);
        assert!(out.tensors.values().all(|tensor| tensor.dtype == dtype));
        assert_eq!(out.metadata.get("steps").map(String::as_str), Some("4"));
    }
}

#[test]
fn gpu_and_reference_agree_with_the_library() {
    let trace = trace();
    let files = Files::new(&trace, ADAM);
    let [gpu, cpu] = [false, true].map(|cpu| files.replay(cpu).unwrap_or_else(|e| panic!("{e}")));
    let adam = Adam { betas: [0.9, 0.99], amsgrad: true, ..Adam::pytorch() };
    let group = Group::new(1e-2, adam).weight_decay(0.1).decoupled(true);
    for name in ["w", "scale", "layer.0.bias"] {
        let param = f32s(&trace[&format!("param.{name}")].bytes);
        let loaded = |x: &f32| Trajectory::loaded(*x);
        let bounded: Vec<_> = param.iter().map(loaded).collect();
        let zero = Trajectory::loaded(0.0);
        let mut bounds = support::ok(Reference::starting(&group, &bounded, zero));
        let exact: Vec<f64> = param.iter().map(|x| f64::from(*x)).collect();
        let mut reference = support::ok(Reference::new(&group, &exact));
        for grad in f32s(&trace[&format!("grad.{name}")].bytes).chunks(param.len()) {
            support::ok(bounds.step(&grad.iter().map(loaded).collect::<Vec<_>>()));
            support::ok(reference.step(&grad.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()));
        }
        let key = format!("param.{name}");
        assert_eq!(cpu.tensors[&key].f64s(), reference.param());
        for (bound, x) in bounds.param().iter().zip(f32s(&gpu.tensors[&key].bytes)) {
            assert!(bound.ratio(x) <= 1.0, "{key}: {x:e} is not {bound:?}");
        }
        for slot in support::slots(&group) {
            let key = format!("state.{name}.{slot}");
            assert_eq!(Some(cpu.tensors[&key].f64s()), reference.state(slot));
            let bounds = bounds.state(slot).unwrap_or_default();
            for (bound, x) in bounds.iter().zip(f32s(&gpu.tensors[&key].bytes)) {
                assert!(bound.ratio(x) <= 1.0, "{key}: {x:e} is not {bound:?}");
            }
        }
    }
}

/// Parameters keep their format; with a remainder, a bf16 is the f32 it would be otherwise, rounded.
#[test]
fn sixteen_bits_stay_sixteen_bits() {
    let mut words = trace();
    let upper = |tensor: &Tensor| -> Vec<u8> {
        tensor.bytes.as_chunks().0.iter().flat_map(|[_, _, low, high]| [*low, *high]).collect()
    };
    let mut halves = words.clone();
    for tensor in halves.values_mut() {
        (tensor.dtype, tensor.bytes) = (Dtype::BF16, upper(tensor));
    }
    for tensor in words.values_mut() {
        tensor.bytes = upper(tensor).chunks(2).flat_map(|half| [0, 0, half[0], half[1]]).collect();
    }
    let config = |master: &str| ADAM.replacen('{', &format!("{{\"master\": \"{master}\", "), 1);
    let run = |trace, master| {
        let out = Files::new(trace, &config(master)).replay(false);
        out.unwrap_or_else(|e| panic!("{e}")).tensors
    };
    let (in_f32, in_bf16) = (run(&words, "none"), run(&halves, "remainder"));
    // Either master is the f32 that it would be otherwise.
    for (name, tensor) in in_bf16.iter().chain(&run(&halves, "f32")) {
        if let Some(name) = name.strip_prefix("master.") {
            assert_eq!(tensor, &in_f32[&format!("param.{name}")], "{name}");
        }
    }
    assert!(in_bf16.contains_key("master.w") && !in_f32.contains_key("master.w"));
    for (name, tensor) in in_bf16.into_iter().filter(|(name, _)| !name.starts_with("master.")) {
        let whole = &in_f32[&name];
        if name.starts_with("state.") {
            assert_eq!(&tensor, whole, "{name}");
            continue;
        }
        assert_eq!((tensor.dtype, &tensor.shape), (Dtype::BF16, &whole.shape), "{name}");
        let rounded = f32s(&whole.bytes).into_iter().flat_map(|x| {
            let bits = x.to_bits();
            ((bits + (bits & 0x8000)) >> 16).to_le_bytes().into_iter().take(2)
        });
        assert_eq!(tensor.bytes, rounded.collect::<Vec<u8>>(), "{name}");
    }
}

/// A trace with each gradient in two parts and its first gradient once more, which is half a step, against
/// the trace itself; and the average of the parameters, which the parameters themselves give.
#[test]
fn gradients_are_added_up_and_parameters_averaged() {
    let whole = trace();
    let with = |keys: &str| ADAM.replacen('{', &format!("{{{keys}, "), 1);
    let mut parts = whole.clone();
    for tensor in parts.iter_mut().filter(|(key, _)| key.starts_with("grad.")).map(|(_, t)| t) {
        let all = f32s(&tensor.bytes);
        let len = all.len() / tensor.shape[0];
        let halved = all.chunks(len).flat_map(|g| {
            // These add up without rounding.
            let part = |share: f32| g.iter().map(move |x| x * share).collect::<Vec<_>>();
            [part(2.0), part(-1.0)].concat()
        });
        let numbers: Vec<f32> = halved.chain(all[..len].to_vec()).collect();
        let steps = 2 * tensor.shape[0] + 1;
        let shape = [&[steps], &tensor.shape[1..]].concat();
        *tensor = self::files::tensor(&shape, &numbers);
    }
    for cpu in [false, true] {
        let run = |trace: &BTreeMap<String, Tensor>, config: &str| {
            Files::new(trace, config).replay(cpu).unwrap_or_else(|e| panic!("{e}"))
        };
        let once = run(&whole, &with(r#""accumulate": 1"#));
        assert_eq!(run(&parts, &with(r#""accumulate": 2, "accumulation": "sum""#)), once);
        let mut doubled = parts.clone();
        for (_, tensor) in doubled.iter_mut().filter(|(key, _)| key.starts_with("grad.")) {
            let numbers: Vec<f32> = f32s(&tensor.bytes).iter().map(|x| 2.0 * x).collect();
            *tensor = self::files::tensor(&tensor.shape, &numbers);
        }
        assert_eq!(run(&doubled, &with(r#""accumulate": 2"#)), once);
        assert_eq!(once.metadata["steps"], whole["grad.w"].shape[0].to_string());

        // The average of one step is the parameter, and of many between its first and last.
        let averaged = run(&whole, &with(r#""ema": 0.75"#));
        for (name, tensor) in &once.tensors {
            assert_eq!(&averaged.tensors[name], tensor, "{name}: an average must change nothing");
        }
        let mut expected: Vec<f64> = Vec::new();
        for steps in 1..=whole["grad.w"].shape[0] {
            let mut shorter = whole.clone();
            for tensor in shorter.iter_mut().filter(|(k, _)| k.starts_with("grad.")).map(|t| t.1) {
                let len = f32s(&tensor.bytes).len() / tensor.shape[0];
                let numbers = f32s(&tensor.bytes)[..steps * len].to_vec();
                let shape = [&[steps], &tensor.shape[1..]].concat();
                *tensor = self::files::tensor(&shape, &numbers);
            }
            let after = run(&shorter, ADAM);
            let param = after.tensors["param.w"].f64s();
            expected.resize(param.len(), 0.0);
            let [new, old] = [0.25, 0.75];
            expected.iter_mut().zip(param).for_each(|(e, p)| *e = old * *e + new * p);
        }
        let bias = 1.0 - 0.75_f64.powi(whole["grad.w"].shape[0] as i32);
        let found = averaged.tensors["ema.w"].f64s();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            let expected = expected / bias;
            let bound = if cpu { 1e-12 } else { 1e-5 };
            assert!(
                (found - expected).abs() <= bound * expected.abs().max(1e-2),
                "{found} {expected}"
            );
        }
    }
}

#[test]
fn a_missing_key_takes_the_default() {
    let trace = trace();
    let short = Files::new(&trace, r#"{"optimizer": "adam"}"#);
    let long = Files::new(
        &trace,
        r#"{"optimizer": "adam", "lr": 0.001, "betas": [0.9, 0.999], "eps": 0, "eps_root": 1e-16,
        "amsgrad": false, "weight_decay": 0, "decoupled": false, "maximize": false}"#,
    );
    let [short, long] =
        [short, long].map(|files| files.replay(true).unwrap_or_else(|e| panic!("{e}")));
    assert_eq!(short, long);
}

/// Clipping, scaling and skipping on the GPU and in f64: the same steps, and nearly the same numbers.
#[test]
fn gradients_are_controlled_alike() {
    let mut trace = trace();
    // One bad gradient in the second of four steps.
    let grad = trace.get_mut("grad.layer.0.bias").unwrap_or_else(|| panic!("no gradient"));
    grad.bytes[28..32].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let dynamic = r#"{"init": 4, "growth": 2, "backoff": 0.5, "interval": 2}"#;
    for (options, skipped) in [
        (r#""clip_norm": 0.5, "skip_nonfinite": true"#.to_owned(), "1"),
        (r#""clip_value": 0.3, "skip_nonfinite": true"#.to_owned(), "1"),
        (r#""clip_value": 0.3, "loss_scale": 2.0"#.to_owned(), "0"),
        (r#""loss_scale": "dynamic", "clip_norm": 1e-6"#.to_owned(), "1"),
        (format!(r#""loss_scale": {dynamic}, "clip_norm": 1, "clip_value": 0.2"#), "1"),
    ] {
        let config = format!(r#"{{"optimizer": "adam", "lr": 1e-2, {options}}}"#);
        let files = Files::new(&trace, &config);
        let [gpu, cpu] =
            [false, true].map(|cpu| files.replay(cpu).unwrap_or_else(|e| panic!("{e}")));
        assert_eq!(gpu.metadata, cpu.metadata, "{config}");
        assert_eq!(gpu.metadata["steps_skipped"], skipped, "{config}");
        assert_eq!(gpu.metadata["steps"], "4");
        for (key, tensor) in &gpu.tensors {
            for (x, exact) in tensor.f64s().into_iter().zip(cpu.tensors[key].f64s()) {
                // `tests/control.rs` has the bounds; here it is that the options arrive.
                let off = (x - exact).abs();
                assert!(off <= 1e-5 * exact.abs().max(1e-3), "{config}: {key} {x} {exact}");
            }
        }
    }
}

#[test]
fn no_steps_are_the_initial_values() {
    let trace = BTreeMap::from([
        ("param.w".to_owned(), tensor(&[3], &[1.0, -2.0, 3.0])),
        ("grad.w".to_owned(), tensor(&[0, 3], &[])),
    ]);
    for cpu in [false, true] {
        let out = Files::new(&trace, r#"{"optimizer": "sgd", "momentum": 0.9}"#).replay(cpu);
        let out = out.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(out.tensors["param.w"].f64s(), [1.0, -2.0, 3.0]);
        assert_eq!(out.tensors["state.w.momentum_buffer"].f64s(), [0.0; 3]);
        assert_eq!(out.metadata["steps"], "0");
    }
}

/// The message with which replay refuses a config.
fn config_error(config: &str) -> String {
    let files = Files::new(&trace(), config);
    let error = files.replay(true).expect_err(config);
    error.replace(&files.path("config.json"), "CONFIG")
}

#[test]
#[rustfmt::skip]
fn wrong_configs() {
    let rows = [
        ("", "CONFIG: not JSON: EOF while parsing a value at line 1 column 0"),
        ("[]", "CONFIG: a config is one JSON object, this is a list of 0 numbers"),
        ("{}", "CONFIG: `optimizer` is missing; it must be one of RULES"),
        (r#"{"optimizer": 3}"#, "CONFIG: `optimizer` is a number; it must be one of RULES"),
        (r#"{"optimizer": "no-such-rule"}"#, "CONFIG: unknown optimizer `no-such-rule`; known are RULES"),
        (r#"{"optimizer": "adam", "beta": 0.9}"#, "CONFIG: unknown key `beta` for `adam`; known are `optimizer`, `accumulate`, `accumulation`, `amsgrad`, `amsgrad_corrected`, `betas`, `block_min_size`, `cautious_weight_decay`, `clip_norm`, `clip_value`, `convention`, `decay_after`, `decoupled`, `ema`, `eps`, `eps_hat`, `eps_root`, `groups`, `loss_scale`, `lr`, `master`, `maximize`, `nesterov`, `params`, `skip_nonfinite`, `state_format`, `stochastic_rounding`, `stochastic_state`, `weight_decay`"),
        (r#"{"optimizer": "rmsprop", "betas": [0.9, 0.9]}"#, "CONFIG: unknown key `betas` for `rmsprop`; known are `optimizer`, `accumulate`, `accumulation`, `alpha`, `block_min_size`, `cautious_weight_decay`, `centered`, `clip_norm`, `clip_value`, `convention`, `decoupled`, `ema`, `eps`, `eps_root`, `groups`, `initial_square_avg`, `loss_scale`, `lr`, `lr_in_momentum`, `master`, `maximize`, `momentum`, `nesterov`, `params`, `skip_nonfinite`, `state_format`, `stochastic_rounding`, `stochastic_state`, `weight_decay`"),
        (r#"{"optimizer": "sgd", "eps": 1}"#, "CONFIG: unknown key `eps` for `sgd`; known are `optimizer`, `accumulate`, `accumulation`, `block_min_size`, `cautious_weight_decay`, `clip_norm`, `clip_value`, `convention`, `dampening`, `decoupled`, `ema`, `groups`, `loss_scale`, `lr`, `lr_in_momentum`, `master`, `maximize`, `momentum`, `nesterov`, `params`, `skip_nonfinite`, `state_format`, `stochastic_rounding`, `stochastic_state`, `weight_decay`"),
        (r#"{"optimizer": "adam", "master": "f64"}"#, "CONFIG: `adam`: `master` is the string \"f64\", it must be \"none\" or \"remainder\" or \"f32\""),
        (r#"{"optimizer": "adam", "stochastic_rounding": -1}"#, "CONFIG: `adam`: `stochastic_rounding` is a number, it must be a whole number, the seed, or null"),
        (r#"{"optimizer": "adam", "accumulate": 0}"#, "CONFIG: `adam`: `accumulate` is a number, it must be a whole number from 1 to 16777216, the gradients of a step"),
        (r#"{"optimizer": "adam", "accumulation": "max"}"#, "CONFIG: `adam`: `accumulation` is the string \"max\", it must be \"mean\" or \"sum\""),
        (r#"{"optimizer": "adam", "ema": true}"#, "CONFIG: `adam`: `ema` is true or false, it must be a number or null"),
        (r#"{"optimizer": "ademamix", "t_alpha": false}"#, "CONFIG: `ademamix`: `t_alpha` is true or false, it must be a number or null"),
        (r#"{"optimizer": "ademamix", "t_beta3": -1}"#, "CONFIG: `ademamix`: t_beta3 is -1; it must be a finite f32 number, 0 or more"),
        (r#"{"optimizer": "ademamix", "alpha": null}"#, "CONFIG: `ademamix`: `alpha` is null, it must be a number"),
        (r#"{"optimizer": "adam", "ema": 1}"#, "CONFIG: `adam`: ema is 1; it must be at least 0 and below 1 (also when rounded to f32)"),
        (r#"{"optimizer": "adam", "lr": "fast"}"#, "CONFIG: `adam`: `lr` is the string \"fast\", it must be a number, a list of numbers, one a step, or an object with `schedule`"),
        (r#"{"optimizer": "adam", "betas": [0.9]}"#, "CONFIG: `adam`: `betas` is a list of 1 numbers, it must be a list of 2 numbers"),
        (r#"{"optimizer": "adam", "amsgrad": 1}"#, "CONFIG: `adam`: `amsgrad` is a number, it must be true or false"),
        (r#"{"optimizer": "adam", "lr": null}"#, "CONFIG: `adam`: `lr` is null, it must be a number, a list of numbers, one a step, or an object with `schedule`"),
        (r#"{"optimizer": "adam", "lr": -1}"#, "CONFIG: `adam`: lr is -1; it must be a finite f32 number, 0 or more"),
        (r#"{"optimizer": "adam", "betas": [0.9, 1.0]}"#, "CONFIG: `adam`: betas[1] is 1; it must be at least 0 and below 1 (also when rounded to f32)"),
        (r#"{"optimizer": "adam", "eps": 0, "eps_root": 0}"#, "CONFIG: `adam`: eps is 0 and eps_root is 0, so a gradient of 0 would be divided by 0; make one of them at least 1.2e-38, the smallest normal f32"),
        (r#"{"optimizer": "sgd", "clip_norm": "1"}"#, "CONFIG: `sgd`: `clip_norm` is the string \"1\", it must be a number or null"),
        (r#"{"optimizer": "sgd", "clip_norm": -1}"#, "CONFIG: `clip_norm` is -1; it must be a finite number, 0 or more"),
        (r#"{"optimizer": "sgd", "clip_value": 0}"#, "CONFIG: `clip_value` is 0; it must be a finite f32 number above 0"),
        (r#"{"optimizer": "sgd", "skip_nonfinite": 1}"#, "CONFIG: `sgd`: `skip_nonfinite` is a number, it must be true or false"),
        (r#"{"optimizer": "sgd", "loss_scale": "static"}"#, "CONFIG: `loss_scale` is the string \"static\"; it must be a number, \"dynamic\", or an object of `init`, `growth`, `backoff`, `interval`"),
        (r#"{"optimizer": "sgd", "loss_scale": {"every": 2}}"#, "CONFIG: `loss_scale`: `every` is a number; it must be a number, \"dynamic\", or an object of `init`, `growth`, `backoff`, `interval`"),
        (r#"{"optimizer": "sgd", "loss_scale": {"interval": 0}}"#, "CONFIG: `loss_scale.interval` is 0; it must be at least 1 step"),
        (r#"{"optimizer": "sgd", "nesterov": true}"#, "CONFIG: `sgd`: nesterov needs momentum above 0 and dampening 0; change those or leave nesterov off"),
    ];
    let with_presets = |name: &str| match name {
        "adam" => "`adam`, `adamw`".to_owned(),
        name => format!("`{name}`"),
    };
    let rules: Vec<_> = rule::ALL.iter().map(|entry| with_presets(entry.name)).collect();
    for (config, expected) in rows {
        assert_eq!(config_error(config), expected.replace("RULES", &rules.join(", ")), "{config}");
    }
}

/// The message with which replay refuses a trace.
fn trace_error(change: impl FnOnce(&mut BTreeMap<String, Tensor>)) -> String {
    let mut trace = trace();
    change(&mut trace);
    let files = Files::new(&trace, ADAM);
    let error = files.replay(false).expect_err("a wrong trace must be refused");
    error.replace(&files.path("trace.safetensors"), "TRACE")
}

#[test]
#[rustfmt::skip]
fn wrong_traces() {
    let put = |key: &'static str, new: Tensor| trace_error(move |t| { t.insert(key.to_owned(), new); });
    let drop = |key: &'static str| trace_error(move |t| { t.remove(key); });
    let rows = [
        (drop("grad.w"), "TRACE: `param.w` has no `grad.w`; record one gradient a step"),
        (drop("param.w"), "TRACE: `grad.w` has no `param.w`; record its initial values"),
        (put("lr", tensor(&[1], &[0.1])), "TRACE: `lr` is none of `param.<name>`, `grad.<name>`, `state.<name>.<slot>`, `code.<name>.<slot>`, `scale.<name>.<slot>`, `ema.<name>`, `master.<name>` and `train.<name>`; leave it out"),
        (put("grad.scale", tensor(&[5], &[0.0; 5])), "TRACE: `grad.scale` records 5 steps, `grad.layer.0.bias` 4; all must record as many"),
        (put("grad.w", tensor(&[4, 3, 2], &[0.0; 24])), "TRACE: `grad.w` has shape [4, 3, 2], `param.w` has [2, 3]; a gradient's shape must be [steps] followed by its parameter's"),
        (put("grad.scale", tensor(&[], &[0.0])), "TRACE: `grad.scale` has shape [], `param.scale` has []; a gradient's shape must be [steps] followed by its parameter's"),
        (put("param.w", Tensor { dtype: Dtype::F64, shape: vec![2, 3], bytes: vec![0; 48] }), "TRACE: `param.w` is F64; it must be F32, F16 or BF16, or F64 with --cpu"),
        (put("grad.w", Tensor { dtype: Dtype::I16, shape: vec![4, 2, 3], bytes: vec![0; 48] }), "TRACE: `grad.w` is I16; it must be F32, F16 or BF16, or F64 with --cpu"),
        (trace_error(|t| t.clear()), "TRACE: it holds no parameter; name tensors `param.<name>` and `grad.<name>`"),
        (trace_error(|t| { t.insert("param.e".into(), tensor(&[0], &[])); t.insert("grad.e".into(), tensor(&[4, 0], &[])); }), "TRACE: `param.e` has shape [0] and so no elements"),
    ];
    for (message, expected) in rows {
        assert_eq!(message, expected);
    }
}

#[test]
fn damaged_and_missing_files() {
    let files = Files::new(&trace(), ADAM);
    let whole = files.bytes("trace.safetensors");
    let said = |bytes: &[u8]| {
        files.write("trace.safetensors", bytes);
        let error = files.replay(true).expect_err("a damaged trace must be refused");
        error.replace(&files.path("trace.safetensors"), "TRACE")
    };
    assert_eq!(said(&whole[..5]), "TRACE: it has 5 bytes, a safetensors file at least 8");
    let size = whole.len();
    assert!(said(&whole[..60]).starts_with("TRACE: its header claims "));
    assert_eq!(
        said(&whole[..size - 1]),
        "TRACE: its tensors take 240 bytes, but 239 follow the header; it is truncated or damaged"
    );
    assert!(said(&[whole.as_slice(), b"x"].concat()).ends_with("it is truncated or damaged"));
    let claims = said(b"\xff\xff\xff\xff\xff\xff\xff\xff{}");
    assert!(claims.ends_with("it is truncated or no safetensors file"), "{claims}");
    let mut broken = whole.clone();
    broken[8] = b'[';
    assert!(said(&broken).starts_with("TRACE: its header is not that of a safetensors file: "));

    files.remove("trace.safetensors");
    let missing = files.replay(true).expect_err("there is no trace");
    assert!(missing.contains("trace.safetensors: No such file"), "{missing}");
    files.write("trace.safetensors", &whole);
    files.remove("config.json");
    let missing = files.replay(true).expect_err("there is no config");
    assert!(missing.contains("config.json: No such file"), "{missing}");
}

#[test]
fn nothing_is_written_and_nothing_lost_if_anything_is_wrong() {
    let files = Files::new(&trace(), ADAM);
    files.write("out.safetensors", b"precious");
    files.write("config.json", b"{}");
    assert!(files.replay(true).is_err());
    assert_eq!(files.bytes("out.safetensors"), b"precious");
    assert_eq!(files.names(), ["config.json", "out.safetensors", "trace.safetensors"]);

    files.write("config.json", ADAM.as_bytes());
    let same = files.run(&["--out", &files.path("trace.safetensors"), "--cpu"]);
    assert!(
        same.expect_err("it is the trace")
            .ends_with("the result would overwrite the trace; write elsewhere")
    );
    let nowhere = files.run(&["--out", &files.path("no/such/place"), "--cpu"]);
    assert!(nowhere.expect_err("no such directory").contains("cannot write there"));
    let slash = files.run(&["--out", &files.path("new/"), "--cpu"]);
    assert!(slash.expect_err("a directory").ends_with("is a directory; name a file"));
    #[cfg(unix)]
    {
        let null = files.run(&["--out", "/dev/null", "--cpu"]);
        assert!(null.expect_err("a device").ends_with("no ordinary file; name another"));
    }
    let directory = files.run(&["--out", &files.path(""), "--cpu"]);
    assert!(directory.expect_err("a directory").ends_with("is a directory; name a file"));
    assert!(files.replay(true).is_ok(), "an old result is replaced");
}
