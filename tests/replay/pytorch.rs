//! Configs as PyTorch has them in `optimizer.state_dict()["param_groups"][0]`, against PyTorch's own numbers.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use support::Tensors;
use wgpu_optim::config::config;
use wgpu_optim::{Reference, Trajectory};

use crate::files::{Files, Tensor, f32s, tensor};

/// A golden file with the optimizer's name and its param group.
const ROWS: [(&str, &str, &str); 12] = [
    (
        "torch_adam",
        "Adam",
        r#"{"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0, "amsgrad": false, "maximize": false, "foreach": false, "capturable": false, "differentiable": false, "fused": false, "decoupled_weight_decay": false, "params": [0]}"#,
    ),
    (
        "torch_adam_amsgrad_weight_decay_maximize",
        "adam",
        r#"{"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0.1, "amsgrad": true, "maximize": true, "foreach": null, "capturable": false, "differentiable": false, "fused": null, "decoupled_weight_decay": false, "params": [0]}"#,
    ),
    (
        "torch_adam_lr_schedule",
        "Adam",
        r#"{"lr": "schedule", "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0, "amsgrad": false, "maximize": false, "foreach": false, "capturable": false, "differentiable": false, "fused": false, "decoupled_weight_decay": false, "initial_lr": 0.01, "params": [0]}"#,
    ),
    (
        "torch_adamw",
        "AdamW",
        r#"{"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0.1, "amsgrad": false, "maximize": false, "foreach": false, "capturable": false, "differentiable": false, "fused": false, "decoupled_weight_decay": true, "params": [0]}"#,
    ),
    // As older releases have it, without the decoupling, and with PyTorch's own defaults left out.
    ("torch_adamw", "adamw", r#"{"lr": 0.01, "weight_decay": 0.1, "params": [0]}"#),
    (
        "torch_adamw_amsgrad",
        "ADAMW",
        r#"{"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-08, "weight_decay": 0.1, "amsgrad": true, "foreach": null, "maximize": false, "capturable": false, "differentiable": false, "fused": null, "params": [0]}"#,
    ),
    (
        "torch_rmsprop",
        "RMSprop",
        r#"{"lr": 0.01, "momentum": 0, "alpha": 0.99, "eps": 1e-08, "centered": false, "weight_decay": 0, "capturable": false, "foreach": false, "maximize": false, "differentiable": false, "params": [0]}"#,
    ),
    (
        "torch_rmsprop_all",
        "RMSprop",
        r#"{"lr": 0.01, "momentum": 0.9, "alpha": 0.9, "eps": 0.0001, "centered": true, "weight_decay": 0.1, "capturable": false, "foreach": false, "maximize": true, "differentiable": false, "params": [0]}"#,
    ),
    (
        "torch_sgd",
        "SGD",
        r#"{"lr": 0.001, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": false, "maximize": false, "foreach": false, "differentiable": false, "fused": false, "params": [0]}"#,
    ),
    (
        "torch_sgd_momentum_lr_schedule",
        "SGD",
        r#"{"lr": "schedule", "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": false, "maximize": false, "foreach": false, "differentiable": false, "fused": false, "initial_lr": 0.001, "params": [0]}"#,
    ),
    (
        "torch_adagrad",
        "Adagrad",
        r#"{"lr": 0.01, "lr_decay": 0, "eps": 1e-10, "weight_decay": 0, "initial_accumulator_value": 0, "foreach": false, "maximize": false, "differentiable": false, "fused": false, "params": [0]}"#,
    ),
    (
        "torch_adagrad_lr_decay",
        "Adagrad",
        r#"{"lr": 0.01, "lr_decay": 0.1, "eps": 1e-10, "weight_decay": 0, "initial_accumulator_value": 0, "foreach": false, "maximize": false, "differentiable": false, "fused": false, "params": [0]}"#,
    ),
];

fn golden(file: &str) -> Tensors {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    support::tensors(&directory.join(format!("{file}.safetensors")))
}

/// The trace of the golden files, with parameters of their first steps.
fn trace() -> BTreeMap<String, Tensor> {
    let numbers = golden("trace");
    let f32s = |key: &str| numbers[key].iter().map(|x| *x as f32).collect::<Vec<_>>();
    let (param, grad) = (f32s("param.w"), f32s("grad.w"));
    let steps = grad.len() / param.len();
    BTreeMap::from([
        ("param.w".to_owned(), tensor(&[param.len()], &param)),
        ("grad.w".to_owned(), tensor(&[steps, param.len()], &grad)),
    ])
}

#[test]
fn a_pasted_param_group_gives_pytorchs_numbers() {
    let trace = trace();
    let param = f32s(&trace["param.w"].bytes);
    let grads = f32s(&trace["grad.w"].bytes);
    for (file, name, pasted) in ROWS {
        let expected = golden(file);
        let mut object: Value = support::ok(serde_json::from_str(pasted));
        object["optimizer"] = json!(name);
        if object["lr"] == "schedule" {
            object["lr"] = json!(expected["lr"]);
        }
        let text = object.to_string();
        let last = |key: &str| {
            let all = &expected[key];
            all[all.len() - param.len()..].to_vec()
        };
        let files = Files::new(&trace, &text);
        let cpu = files.replay(true).unwrap_or_else(|e| panic!("{file}: {e}"));
        for (key, tensor) in &cpu.tensors {
            for (i, (x, y)) in tensor.f64s().into_iter().zip(last(key)).enumerate() {
                let size = f64::from(param[i].abs()).max(y.abs()).max(1e-2);
                assert!((x - y).abs() <= 1e-12 * size, "{file}: {key}[{i}]: {x:e} for {y:e}");
            }
        }
        // The GPU is as near as f32 allows.
        let part = support::ok(config(&text)).groups.remove(0);
        let loaded = |x: &f32| Trajectory::loaded(*x);
        let start: Vec<_> = param.iter().map(loaded).collect();
        let mut bounds =
            support::ok(Reference::starting(&part.group, &start, Trajectory::loaded(0.0)));
        for (step, grad) in grads.chunks(param.len()).enumerate() {
            if let Some(lr) = part.rate(step as u64) {
                support::ok(bounds.set_lr(lr));
            }
            support::ok(bounds.step(&grad.iter().map(loaded).collect::<Vec<_>>()));
        }
        let gpu = files.replay(false).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(gpu.metadata, cpu.metadata);
        let found = f32s(&gpu.tensors["param.w"].bytes);
        for (i, ((x, y), bound)) in
            found.iter().zip(last("param.w")).zip(bounds.param()).enumerate()
        {
            let off = (f64::from(*x) - y).abs();
            let allowed = bound.error + 1e-12 * y.abs();
            assert!(!bound.is_bounded() || off <= allowed, "{file}: [{i}]: {x:e} for {y:e}");
        }
    }
}

#[test]
fn keys_that_would_change_something_are_refused() {
    let rows = [
        (
            r#""fused": true"#,
            "`adam`: `fused` is true, but every step here is fused already; set it to false or leave it out",
        ),
        (
            r#""foreach": true"#,
            "`adam`: `foreach` is true, but parameters that lie together share their launches already; set it to false or leave it out",
        ),
        (
            r#""capturable": true"#,
            "`adam`: `capturable` is true, but wgpu captures no graphs; set it to false or leave it out",
        ),
        (
            r#""differentiable": true"#,
            "`adam`: `differentiable` is true, but no gradient passes through a step; set it to false or leave it out",
        ),
        (r#""fused": 1"#, "`adam`: `fused` is a number, it must be false or null"),
        (r#""initial_lr": "x""#, "`adam`: `initial_lr` is the string \"x\", it must be a number"),
        (
            r#""decoupled": true, "decoupled_weight_decay": true"#,
            "`adam`: `decoupled` and `decoupled_weight_decay` are one option; give one of them",
        ),
        (
            r#""decoupled_weight_decay": 1"#,
            "`adam`: `decoupled` is a number, it must be true or false",
        ),
    ];
    for (key, expected) in rows {
        assert_eq!(
            crate::config_error(&format!("{{\"optimizer\": \"Adam\", {key}}}")),
            format!("CONFIG: {expected}")
        );
    }
}
