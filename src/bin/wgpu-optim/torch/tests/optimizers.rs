//! PyTorch's optimizers in this crate's terms, and back.

use safetensors::Dtype;
use serde_json::{Value as Json, json};

use super::super::to_torch;
use super::super::value::{Tensor, Value};
use super::{Checkpoint, Hints, NONE, again, checkpoint, value, words};

/// The files of one parameter after three steps: the rule's name in CONFIG, some options, the slots.
const FILES: [(&str, &str, &str, &str); 14] = [
    (
        "adam",
        "adam",
        r#"{"betas": [0.9, 0.999], "eps_root": 0.0, "lr": 0.001}"#,
        "exp_avg exp_avg_sq",
    ),
    (
        "adam_amsgrad",
        "adam",
        r#"{"amsgrad": true, "maximize": true, "weight_decay": 0.1, "decoupled": false}"#,
        "exp_avg exp_avg_sq max_exp_avg_sq",
    ),
    ("adamw", "adamw", r#"{"lr": 0.25, "decoupled": true}"#, "exp_avg exp_avg_sq"),
    ("sgd", "sgd", r#"{"momentum": 0.0}"#, ""),
    ("sgd_momentum", "sgd", r#"{"momentum": 0.9, "dampening": 0.1}"#, "momentum_buffer"),
    ("rmsprop", "rmsprop", r#"{"initial_square_avg": 0.0}"#, "square_avg"),
    ("rmsprop_all", "rmsprop", r#"{"centered": true}"#, "square_avg grad_avg momentum_buffer"),
    ("adagrad", "adagrad", r#"{"lr_decay": 0.01, "eps": 1e-10}"#, "sum"),
    ("adadelta", "adadelta", r#"{"rho": 0.9}"#, "square_avg acc_delta"),
    ("adamax", "adamax", r#"{"eps_outside": false}"#, "exp_avg exp_inf"),
    ("nadam", "nadam", r#"{"decoupled": true, "weight_decay": 0.01}"#, "exp_avg exp_avg_sq"),
    ("radam", "radam", r#"{"eps_corrected": false}"#, "exp_avg exp_avg_sq"),
    ("asgd", "asgd", r#"{"t0": 1.0, "alpha": 0.75}"#, "ax"),
    ("rprop", "rprop", r#"{"etas": [0.5, 1.2], "weight_decay": 0.0}"#, "prev step_size"),
];

fn read(name: &str) -> Checkpoint {
    checkpoint(name, NONE).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The only group's config of a file.
fn config(checkpoint: &mut Checkpoint) -> &mut serde_json::Map<String, Json> {
    match &mut checkpoint.optimizer {
        Some(optimizer) => &mut optimizer.groups[0].config,
        None => panic!("there is no optimizer"),
    }
}

/// Whether two numbers are near, or two values the same but for whole floats.
fn is_near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Tensor(_), Value::Tensor(_)) if words(a) == words(b) => true,
        (Value::Tuple(a), Value::Tuple(b)) => a.iter().zip(b).all(|(a, b)| is_near(a, b)),
        (a, b) => match (a.number(), b.number()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 1e-6 * b.abs(),
            _ => words(a) == words(b),
        },
    }
}

#[test]
fn every_optimizer_is_read_and_written() {
    for (name, rule, options, slots) in FILES {
        let mut found = read(name);
        let options: Json = serde_json::from_str(options).unwrap_or_else(|e| panic!("{e}"));
        let config = config(&mut found);
        assert_eq!(config["optimizer"], rule, "{name}");
        for (key, value) in options.as_object().into_iter().flatten() {
            assert_eq!(&config[key], value, "{name}: {key}");
        }
        let Some(optimizer) = &found.optimizer else { panic!("{name}") };
        let [param] = &optimizer.params[..] else { panic!("{name}") };
        assert_eq!(param.name.as_deref(), Some("weight"), "{name}");
        let kept: Vec<&str> = param.slots.iter().map(|(slot, _)| slot.as_str()).collect();
        assert_eq!(kept.join(" "), slots, "{name}");
        let steps = match rule {
            "sgd" => Some(1).filter(|_| !slots.is_empty()),
            _ => Some(3),
        };
        assert_eq!(param.steps, steps, "{name}");

        let original = value(name);
        let written = to_torch(&found, None).unwrap_or_else(|e| panic!("{name}: {e}"));
        let written = again(&written);
        let part = |value: &Value, path: [&str; 2]| value.get(path[0])?.get(path[1]).cloned();
        let groups = |value: &Value| match part(value, ["optimizer", "param_groups"]) {
            Some(Value::List(groups)) => groups[0].clone(),
            other => panic!("{name}: {other:?}"),
        };
        let (written_group, original_group) = (groups(&written), groups(&original));
        let entries = |value: &Value| match value.entries() {
            Ok(all) => all
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .collect::<Vec<_>>(),
            Err(e) => panic!("{name}: {e}"),
        };
        let (a, b) = (entries(&written_group), entries(&original_group));
        assert_eq!(a.len(), b.len(), "{name}");
        for ((key, a), (other, b)) in a.iter().zip(&b) {
            assert_eq!(key, other, "{name}");
            assert!(is_near(a, b), "{name}: {key}: {a:?} {b:?}");
        }
        let states = |value: &Value| match part(value, ["optimizer", "state"]) {
            Some(Value::Dict(states)) => {
                states.into_iter().map(|(_, state)| entries(&state)).collect::<Vec<_>>()
            }
            other => panic!("{name}: {other:?}"),
        };
        let (a, mut b) = (states(&written), states(&original));
        // PyTorch's SGD without momentum has a state of nothing.
        b.retain(|state| !state.is_empty());
        assert_eq!(a.len(), b.len(), "{name}");
        for ((key, a), (other, b)) in a.iter().flatten().zip(b.iter().flatten()) {
            assert_eq!(key, other, "{name}");
            assert!(is_near(a, b), "{name}: {key}: {a:?} {b:?}");
        }
    }
}

#[test]
fn state_of_16_bits_is_that_of_parameters_of_16_bits() {
    for (name, dtype) in [("bf16", Dtype::BF16), ("f16", Dtype::F16)] {
        for (params, is_written) in [(dtype, true), (Dtype::F32, false)] {
            let mut found = read("adam");
            let shape = found.model[0].1.shape.clone();
            found.model[0].1 = Tensor::filled(params, 0.5, shape.clone());
            config(&mut found).insert("state_format".to_owned(), name.into());
            let Some(optimizer) = &mut found.optimizer else { panic!() };
            for (_, slot) in &mut optimizer.params[0].slots {
                *slot = Tensor::filled(dtype, 0.25, shape.clone());
            }
            match to_torch(&found, None) {
                Ok(_) => assert!(is_written, "{name}"),
                Err(e) => assert!(!is_written && e.contains("cannot express; only"), "{e}"),
            }
        }
    }
}

/// PyTorch would go on from numbers of f32 that it has in f64 itself.
#[test]
fn what_follows_from_f64_is_written_in_f64() {
    let double = |tensor: &mut Tensor| {
        *tensor = Tensor::filled(Dtype::F64, 0.3, tensor.shape.clone());
    };
    for (name, keys) in [("nadam", &["mu_product"][..]), ("asgd", &["eta", "mu"]), ("adam", &[])] {
        for is_double in [false, true] {
            let mut found = read(name);
            let Some(optimizer) = &mut found.optimizer else { panic!("{name}") };
            if is_double {
                optimizer.params[0].slots.iter_mut().for_each(|(_, tensor)| double(tensor));
            }
            let written = to_torch(&found, None).unwrap_or_else(|e| panic!("{name}: {e}"));
            let states = written.get("optimizer").and_then(|optimizer| optimizer.get("state"));
            let Some(Value::Dict(states)) = states else { panic!("{name}") };
            let dtype = |key: &str| match states[0].1.get(key) {
                Some(Value::Tensor(tensor)) => tensor.dtype,
                other => panic!("{name}: {key}: {other:?}"),
            };
            let expected = if is_double { Dtype::F64 } else { Dtype::F32 };
            assert!(keys.iter().all(|key| dtype(key) == expected), "{name}");
            assert_eq!(dtype("step"), Dtype::F32, "{name}");
        }
    }
    // The sum that Adagrad begins with is in the parameter's type.
    let mut found = read("adagrad");
    double(&mut found.model[0].1);
    let config = config(&mut found);
    config.insert("initial_accumulator_value".to_owned(), json!(0.1));
    let Some(optimizer) = &mut found.optimizer else { panic!() };
    (optimizer.params[0].steps, optimizer.params[0].slots) = (None, Vec::new());
    let written = to_torch(&found, None).unwrap_or_else(|e| panic!("{e}"));
    let states = written.get("optimizer").and_then(|optimizer| optimizer.get("state"));
    let Some(Value::Dict(states)) = states else { panic!() };
    let Some(Value::Tensor(sum)) = states[0].1.get("sum") else { panic!() };
    assert_eq!(sum.dtype, Dtype::F64);
    let bytes = sum.bytes().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(bytes, 0.1_f64.to_le_bytes().repeat(6));
}

#[test]
fn names_and_groups_are_found() {
    let error = checkpoint("groups", NONE).err().unwrap_or_default();
    assert!(error.contains("its 2 parameters in 2 groups is not certain"), "{error}");
    let names = ["a", "b"].map(str::to_owned);
    let hints = Hints { names: Some(&names), ..NONE };
    let found = checkpoint("groups", hints).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(found.left_out, ["epoch"]);
    let Some(optimizer) = &found.optimizer else { panic!() };
    let params: Vec<_> =
        optimizer.params.iter().map(|p| (p.name.as_deref(), p.group, p.steps)).collect();
    assert_eq!(params, [(Some("a"), 0, None), (Some("b"), 1, None)]);
    assert_eq!(optimizer.groups[1].config["lr"], 0.5);
    // Adagrad's sum is there before the first step.
    let written = to_torch(&found, None).unwrap_or_else(|e| panic!("{e}"));
    let state = |value: &Value, key: &str| value.get(key).and_then(|o| o.get("state")).map(words);
    assert_eq!(state(&written, "optimizer"), state(&value("groups"), "optimizer_state_dict"));

    for (names, must) in [
        (&["a"][..], "--names has 1 names, but there are 2 parameters"),
        (&["a", "a"], "two parameters are called `a`"),
        (&["a", "c"], "the model has no `c`, but `a`, `b`"),
    ] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let error = checkpoint("groups", Hints { names: Some(&names), ..NONE }).err();
        assert!(error.as_ref().is_some_and(|e| e.contains(must)), "{error:?}");
    }
}

/// The value with the only group, or state, changed.
fn changed(name: &str, part: &str, change: impl Fn(&mut Vec<(Value, Value)>)) -> Value {
    let mut whole = value(name);
    let Value::Dict(all) = &mut whole else { panic!() };
    let Some((_, Value::Dict(optimizer))) = all.last_mut() else { panic!() };
    for (key, value) in optimizer {
        match (key, value) {
            (Value::Str(key), Value::List(groups)) if key == part => match &mut groups[0] {
                Value::Dict(group) => change(group),
                other => panic!("{other:?}"),
            },
            (Value::Str(key), Value::Dict(states)) if key == part => match &mut states[0].1 {
                Value::Dict(state) => change(state),
                other => panic!("{other:?}"),
            },
            _ => {}
        }
    }
    whole
}

#[test]
fn what_does_not_agree_is_refused() {
    let set = |key: &'static str, value: Value| {
        move |all: &mut Vec<(Value, Value)>| {
            all.retain(|(known, _)| !matches!(known, Value::Str(s) if s == key));
            all.push((Value::Str(key.to_owned()), value.clone()));
        }
    };
    let without = |key: &'static str| {
        move |all: &mut Vec<(Value, Value)>| {
            all.retain(|(known, _)| !matches!(known, Value::Str(s) if s == key))
        }
    };
    let error = |value: Value, rule: Option<&str>| {
        let found = super::from_torch(&value, Hints { rule, ..NONE });
        found.err().unwrap_or_else(|| panic!("it was read"))
    };
    let (groups, state) = ("param_groups", "state");
    let rows = [
        (
            changed("adam", groups, set("junk", Value::None)),
            None,
            "unknown key `junk` for Adam; known are lr, betas",
        ),
        (
            changed("adam", groups, without("decoupled_weight_decay")),
            None,
            "may be `adam` or `adamw`; say which with --rule",
        ),
        (
            value("adam"),
            Some("adamw"),
            "`decoupled_weight_decay` is False, but --rule says `adamw`",
        ),
        (value("adam"), Some("sgd"), "unknown key `betas` for SGD"),
        (value("adam"), Some("lion"), "no optimizer for the rule `lion`; it has `adam`"),
        (
            changed("adamax", state, |all| all.clear()),
            None,
            "may be `adamax` or `radam`; say which with --rule",
        ),
        (changed("adadelta", state, without("step")), None, "`step` is missing"),
        (changed("adam", groups, set("lr", Value::None)), None, "`lr`: it is None, not a number"),
        (changed("adam", groups, set("eps", Value::Float(f64::NAN))), None, "`eps`: it is NaN"),
        (
            changed("adam", groups, set("betas", Value::Tuple(vec![Value::Int(1), Value::Int(0)]))),
            None,
            "betas[0]",
        ),
        (
            changed("adam", groups, set("amsgrad", Value::Bool(true))),
            None,
            "`max_exp_avg_sq` is missing",
        ),
        (
            changed("adam_amsgrad", groups, set("amsgrad", Value::Bool(false))),
            None,
            "`max_exp_avg_sq` is there, but Adam",
        ),
        (changed("adam", state, set("step", Value::Float(0.5))), None, "`step` is 0.5"),
        (
            changed("adam", state, set("more", Value::None)),
            None,
            "unknown key `more` for Adam; known are step, exp_avg",
        ),
        (
            changed("nadam", state, set("mu_product", Value::Float(0.5))),
            None,
            "`mu_product` is 0.5, but 3 steps",
        ),
        (
            changed("nadam", state, set("mu_product", Value::Float(f64::NAN))),
            None,
            "`mu_product` is NaN, but 3 steps",
        ),
        (changed("asgd", groups, set("lr", Value::Float(0.5))), None, "`eta` is 0.00"),
        (
            changed("asgd", state, set("mu", Value::Int(1))),
            None,
            "`mu` is 1, but 3 steps with the options of the group make it 0.5",
        ),
        (
            changed(
                "adam",
                state,
                set("exp_avg", Value::Tensor(Tensor::filled(Dtype::F32, 0.0, vec![3, 2]))),
            ),
            None,
            "`exp_avg` of `weight` has shape [3, 2], the parameter [2, 3]",
        ),
    ];
    for (value, rule, must) in rows {
        let found = error(value, rule);
        assert!(found.contains(must), "{found}");
    }
    // Before the first step, and the step as a number.
    for (value, steps) in [
        (changed("sgd_momentum", state, set("momentum_buffer", Value::None)), None),
        (changed("adam", state, set("step", Value::Int(7))), Some(7)),
        (changed("adam", state, set("step", Value::Int(0))), None),
        (changed("adam", state, |all| all.clear()), None),
    ] {
        let found = super::from_torch(&value, NONE).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(found.optimizer.map(|optimizer| optimizer.params[0].steps), Some(steps));
    }
}

#[test]
fn what_pytorch_has_not_is_refused() {
    for (name, key, value, must) in [
        (
            "adam",
            "eps_root",
            json!(1e-16),
            "`eps_root` is 1e-16, which torch.optim.Adam cannot express; only 0.0",
        ),
        (
            "adam",
            "ema",
            json!(0.9),
            "`ema` is 0.9, which torch.optim.Adam cannot express; only null",
        ),
        (
            "adam",
            "master",
            json!("f32"),
            "`master` is \"f32\", which torch.optim.Adam cannot express; only \"none\"",
        ),
        (
            "adam",
            "state_format",
            json!("bf16"),
            "`state_format` is \"bf16\", which torch.optim.Adam cannot express",
        ),
        ("adam", "lr", json!({"schedule": "constant", "value": 1.0}), "PyTorch takes a number"),
        ("adam", "optimizer", json!("lion"), "no optimizer for the rule `lion`"),
        ("sgd_momentum", "decoupled", json!(true), ""),
        (
            "rprop",
            "weight_decay",
            json!(0.1),
            "`weight_decay` is 0.1, but torch.optim.Rprop has none",
        ),
        ("adam", "junk", json!(1), "unknown key `junk` for `adam`"),
    ] {
        let mut found = read(name);
        config(&mut found).insert(key.to_owned(), value);
        match to_torch(&found, None) {
            Ok(_) => assert!(must.is_empty(), "{name}: {key}"),
            Err(e) => assert!(!must.is_empty() && e.contains(must), "{e}"),
        }
    }
    let mut found = read("sgd_momentum");
    config(&mut found)
        .extend([("decoupled".to_owned(), json!(true)), ("weight_decay".to_owned(), json!(0.1))]);
    let error = to_torch(&found, None).err().unwrap_or_default();
    assert!(error.contains("torch.optim.SGD only has the coupled one"), "{error}");
    let mut found = read("adam");
    if let Some(optimizer) = &mut found.optimizer {
        optimizer.params[0].slots.pop();
    }
    let error = to_torch(&found, None).err().unwrap_or_default();
    assert!(error.contains("`weight`: `exp_avg_sq` is missing after 3 steps"), "{error}");
}
