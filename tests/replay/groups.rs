//! Groups by pattern, and learning rates by step.

use std::collections::BTreeMap;

use crate::files::{Files, Out, Tensor};
use crate::{config_error, trace};

fn run(trace: &BTreeMap<String, Tensor>, config: &str, cpu: bool) -> Out {
    Files::new(trace, config).replay(cpu).unwrap_or_else(|e| panic!("{config}: {e}"))
}

/// The tensors of some parameters.
fn of(out: &Out, names: &[&str]) -> BTreeMap<String, Tensor> {
    let is_of = |key: &str| {
        names.iter().any(|name| {
            key == format!("param.{name}") || key.starts_with(&format!("state.{name}."))
        })
    };
    out.tensors.iter().filter(|(key, _)| is_of(key)).map(|(k, t)| (k.clone(), t.clone())).collect()
}

/// Each group gives what its options give alone: `w` and `scale` in one, the bias in another.
#[test]
fn groups_take_their_parameters_by_pattern() {
    let top = r#""optimizer": "AdamW", "lr": 1e-2, "amsgrad": true, "eps": 1e-6"#;
    let rows = [
        // The default is the top level.
        (
            format!(
                r#"{{{top}, "params": ["*"], "groups": [{{"params": ["*.bias"], "weight_decay": 0, "lr": 1e-3}}]}}"#
            ),
            format!("{{{top}}}"),
            format!(r#"{{{}, "weight_decay": 0}}"#, top.replace("1e-2", "1e-3")),
        ),
        // The last match wins; ε at its other place is alone there.
        (
            format!(
                r#"{{{top}, "groups": [{{"params": ["w", "*"]}}, {{"params": ["layer.?.*"], "eps_root": 1e-12}}]}}"#
            ),
            format!("{{{top}}}"),
            format!("{{{}}}", top.replace(r#""eps": 1e-6"#, r#""eps_root": 1e-12"#)),
        ),
        // Another rule takes the learning rate and no option of the first rule.
        (
            format!(
                r#"{{{top}, "groups": [{{"params": ["w", "scale"]}}, {{"params": ["*bias"], "optimizer": "SGD", "momentum": 0.9}}]}}"#
            ),
            format!("{{{top}}}"),
            r#"{"optimizer": "sgd", "lr": 1e-2, "momentum": 0.9}"#.to_owned(),
        ),
        (
            format!(
                r#"{{{top}, "convention": "keras", "params": ["*"], "groups": [{{"params": ["*.bias"], "optimizer": "lion", "lr": 1e-4}}]}}"#
            ),
            format!(r#"{{{top}, "convention": "keras"}}"#),
            r#"{"optimizer": "lion"}"#.to_owned(),
        ),
    ];
    let trace = trace();
    for cpu in [false, true] {
        for (config, first, second) in &rows {
            let both = run(&trace, config, cpu);
            let (first, second) = (run(&trace, first, cpu), run(&trace, second, cpu));
            let (weights, bias) = (["w", "scale"], ["layer.0.bias"]);
            assert_eq!(of(&both, &weights), of(&first, &weights), "{config}");
            assert_eq!(of(&both, &bias), of(&second, &bias), "{config}");
        }
    }
}

/// A list of one rate is that rate, and other rates are other numbers.
#[test]
fn the_learning_rate_may_be_a_list() {
    let trace = trace();
    for cpu in [false, true] {
        let config =
            |lr: &str| format!(r#"{{"optimizer": "rmsprop", "momentum": 0.9, "lr": {lr}}}"#);
        let same = run(&trace, &config("[1e-2, 1e-2, 1e-2, 1e-2, 5]"), cpu);
        assert_eq!(same, run(&trace, &config("1e-2"), cpu));
        assert_ne!(same, run(&trace, &config("[1e-2, 1e-2, 1e-2, 2e-2]"), cpu));
        // With half as many steps, half as many rates are enough.
        let half = r#"{"optimizer": "sgd", "accumulate": 2, "lr": [1e-2, 1e-3]}"#;
        assert_eq!(run(&trace, half, cpu).metadata["steps"], "2");
        let groups = r#"{"optimizer": "sgd", "lr": [1, 0, 0, 0], "params": ["*"],
            "groups": [{"params": ["w"], "lr": 0}, {"params": ["scale"], "lr": [0, 0, 0, 1]}]}"#;
        let out = run(&trace, groups, cpu);
        let values = |key: &str| out.tensors[key].f64s();
        assert_eq!(values("param.w"), trace["param.w"].f64s());
        for (name, step) in [("layer.0.bias", 0), ("scale", 3)] {
            let (param, grad) =
                (trace[&format!("param.{name}")].f64s(), trace[&format!("grad.{name}")].f64s());
            let grad = &grad[step * param.len()..];
            for ((x, p), g) in values(&format!("param.{name}")).into_iter().zip(&param).zip(grad) {
                assert!((x - (p - g)).abs() <= 1e-6, "{name}: {x} {p} {g}");
            }
        }
    }
}

#[test]
#[rustfmt::skip]
fn wrong_groups() {
    let rows = [
        (r#""groups": []"#, "`groups` is a list of 0 numbers; it must be a list of objects, as [{\"params\": [\"*.bias\"], \"weight_decay\": 0}]"),
        (r#""groups": {}"#, "`groups` is an object; it must be a list of objects, as [{\"params\": [\"*.bias\"], \"weight_decay\": 0}]"),
        (r#""groups": [1]"#, "`groups[0]`: it is a number; it must be an object with `params`"),
        (r#""groups": [{"lr": 1}]"#, "`groups[0]`: `params` is missing; it must be a list of patterns over names, as [\"*.weight\"]"),
        (r#""groups": [{"params": [0, 1]}]"#, "`groups[0]`: `params` is a list of 2 numbers; it must be a list of patterns over names, as [\"*.weight\"]"),
        (r#""groups": [{"params": ["*"]}, {"params": "w"}]"#, "`groups[1]`: `params` is the string \"w\"; it must be a list of patterns over names, as [\"*.weight\"]"),
        (r#""params": "w""#, "`params` is the string \"w\"; it must be a list of patterns over names, as [\"*.weight\"], or PyTorch's positions"),
        (r#""groups": [{"params": ["*"], "clip_norm": 1}]"#, "`groups[0]`: `clip_norm` counts for all groups together; give it outside of `groups`"),
        (r#""groups": [{"params": ["*"], "clip_value": 1}]"#, "`groups[0]`: `clip_value` counts for all groups together; give it outside of `groups`"),
        (r#""groups": [{"params": ["*"], "loss_scale": 1}]"#, "`groups[0]`: `loss_scale` counts for all groups together; give it outside of `groups`"),
        (r#""groups": [{"params": ["*"], "skip_nonfinite": true}]"#, "`groups[0]`: `skip_nonfinite` counts for all groups together; give it outside of `groups`"),
        (r#""groups": [{"params": ["*"], "accumulate": 2}]"#, "`groups[0]`: `accumulate` counts for all groups together; give it outside of `groups`"),
        (r#""groups": [{"params": ["*"], "accumulation": "sum"}]"#, "`groups[0]`: `accumulation` counts for all groups together; give it outside of `groups`"),
        (r#""groups": [{"params": ["*"], "momentum": -1}]"#, "`groups[0]`: `sgd`: momentum is -1; it must be a finite f32 number, 0 or more"),
        (r#""groups": [{"params": ["*"], "betas": [0, 0]}]"#, "`groups[0]`: unknown key `betas` for `sgd`; known are `optimizer`, `block_min_size`, `cautious_weight_decay`, `convention`, `dampening`, `decoupled`, `ema`, `lr`, `lr_in_momentum`, `master`, `maximize`, `momentum`, `nesterov`, `params`, `state_format`, `stochastic_rounding`, `stochastic_state`, `weight_decay`"),
        (r#""groups": [{"params": ["w"]}]"#, "no pattern matches `layer.0.bias`, `scale`; add \"params\": [\"*\"] outside of `groups`, whose options are then the default"),
        (r#""params": ["w", "scale"]"#, "no pattern matches `layer.0.bias`; add \"params\": [\"*\"] outside of `groups`, whose options are then the default"),
        (r#""params": ["*"], "groups": [{"params": ["w", "*.wieght"]}]"#, "`groups[0]`: the pattern `*.wieght` matches no parameter; there are `layer.0.bias`, `scale`, `w`"),
        (r#""params": ["*", "x"]"#, "`params`: the pattern `x` matches no parameter; there are `layer.0.bias`, `scale`, `w`"),
        (r#""lr": []"#, "`sgd`: `lr` is a list of 0 numbers, it must be a number, a list of numbers, one a step, or an object with `schedule`"),
        (r#""lr": [1, "x"]"#, "`sgd`: `lr` is a list of 2 values, it must be a number, a list of numbers, one a step, or an object with `schedule`"),
        (r#""lr": [1, 0.1, -1, 1]"#, "lr[2]: `sgd`: lr is -1; it must be a finite f32 number, 0 or more"),
        (r#""lr": [1, 1, 1]"#, "`lr` is a list of 3 for 4 steps; give one value a step"),
        (r#""params": ["*"], "groups": [{"params": ["w"], "lr": [1]}]"#, "`groups[0]`: `lr` is a list of 1 for 4 steps; give one value a step"),
    ];
    for (keys, expected) in rows {
        let said = config_error(&format!("{{\"optimizer\": \"SGD\", {keys}}}"));
        assert_eq!(said, format!("CONFIG: {expected}"), "{keys}");
    }
}
