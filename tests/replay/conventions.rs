//! A config can express every convention that the library has.

use wgpu_optim::{Adagrad, Adam, Group, Reference, RmsProp};

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
