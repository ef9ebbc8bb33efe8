//! A config can express every convention that the library has.

use wgpu_optim::{
    AdEMAMix, AdaBelief, Adagrad, Adam, AdamAtan2, Adan, Adopt, Grams, Group, LaProp, Lion,
    Madgrad, Reference, RmsProp, Sgd, Yogi,
};

use crate::files::{Files, f32s};

#[test]
fn forms_of_pytorch_and_keras_are_those_of_the_library() {
    let rows = [
        (
            r#"{"optimizer": "adam", "eps": 1e-7, "eps_root": 0, "eps_hat": true}"#,
            Group::new(1e-3, Adam::keras()),
        ),
        (
            r#"{"optimizer": "rmsprop", "alpha": 0.9, "eps_root": 1e-7, "momentum": 0.5,
            "lr_in_momentum": true}"#,
            Group::new(1e-2, RmsProp { momentum: 0.5, ..RmsProp::keras() }),
        ),
        (
            r#"{"optimizer": "adagrad", "eps": 1e-10, "eps_root": 0, "initial_accumulator_value": 0.1}"#,
            Group::new(1e-2, Adagrad { initial_accumulator_value: 0.1, ..Adagrad::pytorch() }),
        ),
        // One place of ε alone, and both left open.
        (r#"{"optimizer": "adam", "eps": 1e-8}"#, Group::new(1e-3, Adam::pytorch())),
        (
            r#"{"optimizer": "adam", "convention": "pytorch", "eps_root": 1e-16}"#,
            Group::new(1e-3, Adam::default()),
        ),
        (r#"{"optimizer": "Adam"}"#, Group::adam(1e-3)),
        (
            r#"{"optimizer": "adamw"}"#,
            Group::new(1e-3, Adam::pytorch()).weight_decay(0.01).decoupled(true),
        ),
        // The constructors by their names.
        (r#"{"optimizer": "adam", "convention": "pytorch"}"#, Group::new(1e-3, Adam::pytorch())),
        (r#"{"optimizer": "adam", "convention": "Optax"}"#, Group::new(1e-3, Adam::optax())),
        (r#"{"optimizer": "adam", "convention": "keras"}"#, Group::new(1e-3, Adam::keras())),
        (r#"{"optimizer": "adam", "convention": "apex"}"#, Group::new(1e-3, Adam::apex())),
        (
            r#"{"optimizer": "adam", "convention": "bitsandbytes"}"#,
            Group::new(1e-3, Adam::bitsandbytes()),
        ),
        (r#"{"optimizer": "adam", "convention": "burn"}"#, Group::new(1e-3, Adam::burn())),
        (
            r#"{"optimizer": "AdamW", "convention": "keras", "weight_decay": 0.1}"#,
            Group::new(1e-3, Adam::keras()).weight_decay(0.1).decoupled(true),
        ),
        (
            r#"{"optimizer": "rmsprop", "convention": "pytorch"}"#,
            Group::new(1e-2, RmsProp::pytorch()),
        ),
        (r#"{"optimizer": "rmsprop", "convention": "optax"}"#, Group::new(1e-2, RmsProp::optax())),
        (
            r#"{"optimizer": "RMSProp", "convention": "keras", "momentum": 0.5}"#,
            Group::new(1e-2, RmsProp { momentum: 0.5, ..RmsProp::keras() }),
        ),
        (
            r#"{"optimizer": "rmsprop", "convention": "tf1", "momentum": 0.5}"#,
            Group::new(1e-2, RmsProp { momentum: 0.5, ..RmsProp::tf1() }),
        ),
        (r#"{"optimizer": "rmsprop", "convention": "burn"}"#, Group::new(1e-2, RmsProp::burn())),
        (
            r#"{"optimizer": "adagrad", "convention": "pytorch"}"#,
            Group::new(1e-2, Adagrad::pytorch()),
        ),
        // Both places of ε are the rule's, and one of them is given.
        (
            r#"{"optimizer": "AdaBelief", "convention": "optax", "eps": 1e-8}"#,
            Group::new(1e-3, AdaBelief { eps: 1e-8, ..AdaBelief::optax() }),
        ),
        (r#"{"optimizer": "yogi", "convention": "optax"}"#, Group::new(1e-2, Yogi::optax())),
        (
            r#"{"optimizer": "adan", "convention": "optax", "eps_root": 0}"#,
            Group::new(1e-3, Adan { eps_root: 0.0, ..Adan::optax() }),
        ),
        // An option that is null by default.
        (
            r#"{"optimizer": "AdEMAMix", "convention": "optax", "t_alpha": null, "t_beta3": 6}"#,
            Group::new(1e-3, AdEMAMix { t_beta3: Some(6.0), ..AdEMAMix::optax() }),
        ),
        (r#"{"optimizer": "adopt", "convention": "optax"}"#, Group::new(1e-3, Adopt::optax())),
        (
            r#"{"optimizer": "madgrad", "convention": "pytorch_optimizer"}"#,
            Group::new(1e-3, Madgrad::pytorch_optimizer()),
        ),
        (
            r#"{"optimizer": "grams", "convention": "pytorch_optimizer"}"#,
            Group::new(1e-3, Grams::pytorch_optimizer()),
        ),
        (
            r#"{"optimizer": "adam_atan2", "convention": "adam_atan2_pytorch"}"#,
            Group::new(1e-4, AdamAtan2::adam_atan2_pytorch()),
        ),
        (
            r#"{"optimizer": "laprop", "convention": "pytorch_optimizer"}"#,
            Group::new(4e-4, LaProp::pytorch_optimizer()),
        ),
        (r#"{"optimizer": "Lion", "convention": "optax"}"#, Group::new(1e-4, Lion::default())),
        (
            r#"{"optimizer": "sgd", "convention": "keras", "momentum": 0.5}"#,
            Group::new(1e-3, Sgd { momentum: 0.5, ..Sgd::keras() }),
        ),
        (r#"{"optimizer": "SGD", "convention": "pytorch"}"#, Group::sgd(1e-3)),
    ];
    let trace = crate::trace();
    let numbers =
        |key: &str| f32s(&trace[key].bytes).into_iter().map(f64::from).collect::<Vec<_>>();
    for (config, group) in rows {
        let out = Files::new(&trace, config).replay(true).unwrap_or_else(|e| panic!("{e}"));
        let param = numbers("param.w");
        let mut reference = Reference::new(&group, &param).unwrap_or_else(|e| panic!("{e}"));
        for grad in numbers("grad.w").chunks(param.len()) {
            reference.step(grad).unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!(out.tensors["param.w"].f64s(), reference.param(), "{config}");
        for slot in group.rule.slots() {
            let found = out.tensors[&format!("state.w.{}", slot.name)].f64s();
            assert_eq!(Some(found), reference.state(slot.name), "{config}");
        }
    }
}

#[test]
fn an_unknown_convention_is_answered_with_those_there_are() {
    let rows = [
        (
            r#""adam", "convention": "jax""#,
            "`adam`: unknown convention `jax`; known are `pytorch`, `optax`, `keras`, `apex`, `bitsandbytes`, `burn`",
        ),
        (
            r#""Lion", "convention": "pytorch""#,
            "`lion`: unknown convention `pytorch`; known are `optax`, `keras`, `lion_pytorch`",
        ),
        (
            r#""adagrad", "convention": "jax""#,
            "`adagrad`: unknown convention `jax`; known are `pytorch`, `optax`, `keras`, `burn`",
        ),
        (
            r#""adam", "convention": 3"#,
            "`adam`: `convention` is a number; it must be one of `pytorch`, `optax`, `keras`, `apex`, `bitsandbytes`, `burn`",
        ),
    ];
    for (config, expected) in rows {
        let said = crate::config_error(&format!("{{\"optimizer\": {config}}}"));
        assert_eq!(said, format!("CONFIG: {expected}"));
    }
}
