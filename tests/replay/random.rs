//! Random configs and traces: whatever comes in, replay succeeds or says why not. It never panics.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;
use serde_json::{Value, json};
use wgpu_optim::rule;

use crate::files::{Files, Tensor, tensor};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0.0..1.0f64).prop_map(|x| json!(x)),
        2 => any::<f64>().prop_map(|x| json!(x)),
        2 => any::<bool>().prop_map(|x| json!(x)),
        1 => any::<i64>().prop_map(|x| json!(x)),
        1 => Just(Value::Null),
        1 => ".{0,6}".prop_map(|x| json!(x)),
        1 => Just(json!("dynamic")),
        3 => prop::collection::vec(0.0..1.1f64, 0..4).prop_map(|x| json!(x)),
        1 => Just(json!({"a": [1, {"b": null}]})),
    ]
}

/// Every key that some rule has, by what a wrong one is told.
fn keys() -> BTreeSet<String> {
    let of = |entry: &rule::Entry| {
        let wrong = json!({"optimizer": entry.name, "no such key": 0}).to_string();
        let message = wgpu_optim::config::config(&wrong).expect_err("there is no such key");
        let (_, known) = message.split_once("known are ").expect("the keys there are");
        known.split(", ").map(|key| key.trim_matches('`').to_owned()).collect::<Vec<_>>()
    };
    rule::ALL.iter().flat_map(of).filter(|key| key != "optimizer").collect()
}

fn config() -> impl Strategy<Value = String> {
    let unknown = ["", "unknown"].map(str::to_owned);
    let key = prop::sample::select(keys().into_iter().chain(unknown).collect::<Vec<_>>());
    let names = rule::ALL.iter().map(|entry| entry.name).chain(["no-such-rule"]);
    let name = prop::sample::select(names.collect::<Vec<_>>());
    let object =
        (name, prop::collection::btree_map(key, value(), 0..5)).prop_map(|(name, keys)| {
            let mut object = json!(keys);
            object["optimizer"] = json!(name);
            object.to_string()
        });
    prop_oneof![8 => object, 1 => ".{0,40}"]
}

/// Mostly well-formed traces of strange numbers.
fn trace() -> impl Strategy<Value = BTreeMap<String, Tensor>> {
    let number = prop_oneof![any::<f32>(), -1.0..1.0f32, Just(f32::NAN), Just(f32::INFINITY)];
    let shape = prop::collection::vec(0usize..5, 0..4);
    let one = (shape, 0usize..4, prop::collection::vec(number, 1..9));
    (prop::collection::vec(one, 0..4), 0usize..4, 0..8u8).prop_map(|(all, steps, odd)| {
        let mut trace = BTreeMap::new();
        for (i, (shape, own_steps, pool)) in all.into_iter().enumerate() {
            let steps = if odd == 0 { own_steps } else { steps };
            // Mostly without empty dimensions, which are an error of their own.
            let shape: Vec<usize> =
                shape.into_iter().map(|n| if odd == 1 { n } else { n + 1 }).collect();
            let numbers = |len: usize| pool.iter().copied().cycle().take(len).collect::<Vec<_>>();
            let len: usize = shape.iter().product();
            trace.insert(format!("param.p{i}"), tensor(&shape, &numbers(len)));
            let grads = [&[steps][..], &shape].concat();
            let name = if odd == 2 { format!("grads.p{i}") } else { format!("grad.p{i}") };
            trace.insert(name, tensor(&grads, &numbers(steps * len)));
        }
        trace
    })
}

/// Tensors beside the parameters, often of the right name and shape, and metadata.
fn beside() -> impl Strategy<Value = (Vec<(String, usize)>, HashMap<String, String>)> {
    let slots = ["exp_avg", "exp_avg_sq", "square_avg", "momentum_buffer", "sum", "nothing", ""];
    let key =
        (0usize..4, prop::sample::select(slots.to_vec()), 0..9u8).prop_map(|(i, slot, odd)| {
            match odd {
                0 => format!("ema.p{i}"),
                1 => format!("master.p{i}"),
                2 => format!("state.{slot}"),
                _ => format!("state.p{i}.{slot}"),
            }
        });
    let count = prop_oneof![3 => "[0-9]{1,3}", 1 => "[0-9]{1,12}", 1 => ".{0,3}"];
    let name = prop::sample::select(vec!["steps", "steps_taken", "steps_skipped", "other"]);
    let metadata = prop::collection::hash_map(name.prop_map(str::to_owned), count, 0..3);
    (prop::collection::vec((key, 0usize..4), 0..6), metadata)
}

/// Replays without a panic; a failure has a message, leaves no result and no other file.
fn check(files: &Files, cpu: bool) {
    let names = files.names();
    match files.replay(cpu) {
        Ok(out) => assert!(!out.tensors.is_empty()),
        Err(message) => {
            assert!(!message.is_empty());
            assert_eq!(files.names(), names, "{message}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_config_and_trace_on_the_cpu(config in config(), trace in trace()) {
        check(&Files::new(&trace, &config), true);
    }

    #[test]
    fn any_damage_to_a_trace(at in 0usize..600, byte in any::<u8>(), cut in 0usize..600) {
        let files = Files::new(&crate::trace(), crate::ADAM);
        let mut bytes = files.bytes("trace.safetensors");
        let len = bytes.len();
        bytes[at % len] = byte;
        bytes.truncate(len - cut.saturating_sub(300) % len);
        files.write("trace.safetensors", &bytes);
        check(&files, true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_state(config in config(), trace in trace(), (more, metadata) in beside(), gpu in 0..5u8) {
        let mut trace = trace;
        for (key, i) in more {
            // Mostly of the parameter that the name is of.
            let own = (0..4).find(|p| key.contains(&format!("p{p}"))).unwrap_or(i);
            let Some(param) = trace.get(&format!("param.p{own}")).cloned() else { continue };
            trace.insert(key, param);
        }
        check(&Files::with(&trace, Some(metadata), &config), gpu > 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn any_config_and_trace_on_the_gpu(config in config(), trace in trace()) {
        check(&Files::new(&trace, &config), false);
    }
}
