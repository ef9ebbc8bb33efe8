//! Runs that go on from the state of others.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;

use crate::files::{Files, Out, Tensor, tensor};
use crate::trace;

/// Gradients `from..to` of a trace, and all else.
pub(crate) fn part(
    trace: &BTreeMap<String, Tensor>,
    from: usize,
    to: usize,
) -> BTreeMap<String, Tensor> {
    let mut part = trace.clone();
    for (_, grad) in part.iter_mut().filter(|(key, _)| key.starts_with("grad.")) {
        let step = grad.bytes.len() / grad.shape[0];
        grad.bytes = grad.bytes[from * step..to * step].to_vec();
        grad.shape[0] = to - from;
    }
    part
}

/// The rest of a trace after a run over its first part: that run's result, with the gradients to come.
pub(crate) fn rest(
    trace: &BTreeMap<String, Tensor>,
    out: &Out,
    from: usize,
) -> BTreeMap<String, Tensor> {
    let steps = trace["grad.w"].shape[0];
    let mut rest = part(trace, from, steps);
    rest.extend(out.tensors.clone());
    rest
}

fn config(keys: &str, lr: &str) -> String {
    format!("{{{keys}, \"lr\": {lr}}}")
}

/// The trace with an Inf in its second gradient.
pub(crate) fn with_inf() -> BTreeMap<String, Tensor> {
    let mut trace = trace();
    let grad = trace.get_mut("grad.scale").unwrap_or_else(|| panic!("no gradient"));
    grad.bytes[4..8].copy_from_slice(&f32::INFINITY.to_le_bytes());
    trace
}

/// The trace in another format, cut off.
fn in_16_bits(dtype: Dtype) -> BTreeMap<String, Tensor> {
    let mut trace = trace();
    for tensor in trace.values_mut() {
        let format =
            if dtype == Dtype::F16 { wgpu_optim::Format::F16 } else { wgpu_optim::Format::Bf16 };
        tensor.bytes = format.encode_all(&crate::files::f32s(&tensor.bytes));
        tensor.dtype = dtype;
    }
    trace
}

#[test]
fn two_runs_are_one() {
    let groups = r#""optimizer": "adamw", "groups": [{"params": ["*"]}, {"params": ["*.bias"], "optimizer": "SGD", "momentum": 0.9, "dampening": 0.5}]"#;
    let rows = [
        (trace(), r#""optimizer": "sgd""#),
        (trace(), r#""optimizer": "sgd", "momentum": 0.9, "dampening": 0.5, "maximize": true"#),
        (trace(), r#""optimizer": "adagrad", "lr_decay": 0.1, "initial_accumulator_value": 0.5"#),
        (trace(), r#""optimizer": "lion", "weight_decay": 0.1, "decoupled": true"#),
        (
            trace(),
            r#""optimizer": "rmsprop", "centered": true, "momentum": 0.9, "lr_in_momentum": true"#,
        ),
        (trace(), r#""optimizer": "adam", "amsgrad": true, "weight_decay": 0.1"#),
        (trace(), r#""optimizer": "adamw", "convention": "keras", "ema": 0.9, "clip_norm": 0.5"#),
        (trace(), r#""optimizer": "adam", "state_format": "bf16""#),
        (trace(), r#""optimizer": "adam", "state_format": "block8""#),
        (
            trace(),
            r#""optimizer": "adam", "amsgrad": true, "state_format": {"exp_avg": "block4", "exp_avg_sq": "block8"}"#,
        ),
        (
            in_16_bits(Dtype::F16),
            r#""optimizer": "adamw", "master": "f32", "ema": 0.5, "clip_norm": 0.5, "state_format": "block4""#,
        ),
        (
            trace(),
            r#""optimizer": "lion", "ema": 0.9, "stochastic_state": 7, "state_format": "block8""#,
        ),
        (trace(), groups),
        (with_inf(), r#""optimizer": "adam", "skip_nonfinite": true"#),
        (in_16_bits(Dtype::BF16), r#""optimizer": "adam", "master": "remainder""#),
        (
            in_16_bits(Dtype::BF16),
            r#""optimizer": "adam", "stochastic_rounding": 7, "state_format": "bf16""#,
        ),
        (in_16_bits(Dtype::F16), r#""optimizer": "adam", "master": "f32", "ema": 0.5"#),
        (in_16_bits(Dtype::F16), r#""optimizer": "rmsprop", "state_format": "f16""#),
        (trace(), r#""optimizer": "schedule_free_sgd", "warmup_steps": 2"#),
        (
            with_inf(),
            r#""optimizer": "schedule_free_adamw", "weight_decay": 0.1, "skip_nonfinite": true"#,
        ),
        (
            in_16_bits(Dtype::BF16),
            r#""optimizer": "schedule_free_adamw", "master": "remainder", "ema": 0.5"#,
        ),
    ];
    for (trace, keys) in &rows {
        for cpu in [false, true] {
            let run = |files: Files| files.replay(cpu).unwrap_or_else(|e| panic!("{keys}: {e}"));
            let whole = run(Files::new(trace, &config(keys, "[1e-2, 1e-2, 1e-3, 1e-3]")));
            for cut in 1..4 {
                let rates = ["1e-2", "1e-2", "1e-3", "1e-3"];
                let lr = |rates: &[&str]| format!("[{}]", rates.join(", "));
                let first =
                    run(Files::new(&part(trace, 0, cut), &config(keys, &lr(&rates[..cut]))));
                let metadata = Some(first.metadata.clone());
                let second = config(keys, &lr(&rates[cut..]));
                let second = run(Files::with(&rest(trace, &first, cut), metadata, &second));
                let differ: Vec<_> = (whole.tensors.keys().chain(second.tensors.keys()))
                    .filter(|key| whole.tensors.get(*key) != second.tensors.get(*key))
                    .collect();
                assert!(differ.is_empty(), "{keys}, cut at {cut}, cpu {cpu}: {differ:?}");
                assert_eq!(second.metadata, whole.metadata, "{keys}, cut at {cut}, cpu {cpu}");
            }
        }
    }
}

#[test]
#[rustfmt::skip]
fn wrong_states() {
    let steps = |steps: &str| Some(HashMap::from([("steps".to_owned(), steps.to_owned())]));
    let state = |key: &str, shape: &[usize]| (key.to_owned(), tensor(shape, &vec![0.5; shape.iter().product()]));
    let (m, v) = (state("state.w.exp_avg", &[2, 3]), state("state.w.exp_avg_sq", &[2, 3]));
    let rows = [
        (vec![m.clone()], None, "`state.w.exp_avg` is there, but the metadata have no `steps`; add how many lie behind it: save_file(tensors, path, metadata={\"steps\": \"100\"})"),
        (vec![m.clone(), v.clone()], steps("7"), "`state.layer.0.bias.exp_avg` is missing, but the metadata say that 7 steps lie behind it; add it, or leave `steps` out of the metadata to begin anew"),
        (vec![m.clone()], steps("many"), "its metadata have `steps` = \"many\"; it must be a whole number up to 4294967295"),
        (vec![state("state.w.exp_avg", &[6])], steps("7"), "`state.w.exp_avg` has shape [6], `param.w` has [2, 3]; they must be equal"),
        (vec![state("state.w.momentum_buffer", &[2, 3])], steps("7"), "`state.w.momentum_buffer`: `adam` has no slot `momentum_buffer`; its slots are `exp_avg`, `exp_avg_sq`"),
        (vec![state("state.w.max_exp_avg_sq", &[2, 3])], steps("7"), "`state.w.max_exp_avg_sq`: `adam` has no slot `max_exp_avg_sq`; its slots are `exp_avg`, `exp_avg_sq`"),
        (vec![state("state.x.exp_avg", &[2, 3])], steps("7"), "`state.x.exp_avg` has no `param.x`; add it or leave this out"),
        (vec![state("ema.w", &[2, 3])], steps("7"), "`ema.w` is there, but CONFIG asks for no average; add \"ema\" to it or leave the tensor out"),
        (vec![m.clone()], Some(HashMap::from([("steps".to_owned(), "1".to_owned()), ("steps_taken".to_owned(), "2".to_owned())])), "its metadata have 1 `steps` and 2 `steps_taken`; it must be at most as many"),
    ];
    for (more, metadata, expected) in rows {
        let mut trace = trace();
        trace.extend(more);
        for cpu in [false, true] {
            let files = Files::with(&trace, metadata.clone(), r#"{"optimizer": "adam"}"#);
            let said = files.replay(cpu).expect_err(expected);
            assert_eq!(said.replace(&files.path("trace.safetensors"), "TRACE"), format!("TRACE: {expected}"));
        }
    }
    // A rule without slots says so, and F64 is the CPU's.
    let mut with = trace();
    with.extend([m]);
    let files = Files::with(&with, steps("7"), r#"{"optimizer": "sgd"}"#);
    assert!(files.replay(true).expect_err("no slot").ends_with("`sgd` has no slot `exp_avg`; with these options it keeps no state"));
}
