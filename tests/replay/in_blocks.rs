//! State in blocks: the codes and scales beside the numbers that they stand for, on the GPU and as the reference.

use std::collections::BTreeMap;

use safetensors::Dtype;
use support::{numbers, ok};
use wgpu_optim::config::{Config, config};
use wgpu_optim::{Format, Group, Reference, Trajectory, rule};

use crate::files::{Files, Out, Tensor, f32s, tensor};
use crate::resume::part;
use crate::{checkpoint, config_error};

/// Lengths on either side of the ends of blocks.
const LENGTHS: [u64; 7] = [1, 127, 128, 129, 256, 257, 5000];

/// Parameters with so many elements each, and gradients whose magnitude differs from place to place.
fn trace(params: &[(String, u64)], steps: u64) -> BTreeMap<String, Tensor> {
    let mut all = BTreeMap::new();
    for (seed, (name, len)) in (1..).zip(params) {
        let grads: Vec<f32> = numbers(steps * len, 1000 + seed)
            .into_iter()
            .enumerate()
            .map(|(i, x)| x * 0.5_f32.powi((i as u64 % len / 64 % 12) as i32))
            .collect();
        all.insert(format!("param.{name}"), tensor(&[*len as usize], &numbers(*len, seed)));
        all.insert(format!("grad.{name}"), tensor(&[steps as usize, *len as usize], &grads));
    }
    all
}

/// The same trace with parameters in bf16.
fn in_bf16(mut trace: BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    for (_, param) in trace.iter_mut().filter(|(key, _)| key.starts_with("param.")) {
        param.bytes = Format::Bf16.encode_all(&f32s(&param.bytes));
        param.dtype = Dtype::BF16;
    }
    trace
}

/// The same trace with parameters in f32 that bf16 could hold.
fn rounded(trace: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let mut trace = trace.clone();
    for (_, param) in trace.iter_mut().filter(|(_, tensor)| tensor.dtype == Dtype::BF16) {
        param.bytes = Format::F32.encode_all(&Format::Bf16.decode_all(&param.bytes));
        param.dtype = Dtype::F32;
    }
    trace
}

/// One comparison's counts.
#[derive(Debug, Default)]
struct Counts {
    compared: usize,
    unbounded: usize,
    codes: usize,
    flipped: usize,
}

/// The group of each parameter of a config.
fn groups(config: &Config, names: &[&str]) -> Vec<Group> {
    let of = ok(config.assign(names));
    of.into_iter().map(|group| config.groups[group].group.clone()).collect()
}

/// Checks the tensors of a result: their names, types and shapes, and that numbers are those of the codes.
fn check_form(out: &Out, name: &str, group: &Group, cpu: bool) {
    let param = &out.tensors[&format!("param.{name}")];
    let len = param.shape.iter().product::<usize>();
    for slot in support::slots(group) {
        let [state, code, scale] = ["state", "code", "scale"]
            .map(|what| out.tensors.get(&format!("{what}.{name}.{slot}")));
        let state = state.unwrap_or_else(|| panic!("no state.{name}.{slot}"));
        assert_eq!(state.dtype, if cpu { Dtype::F64 } else { Dtype::F32 });
        assert_eq!(state.shape, param.shape);
        let Some(blocks) = group.block_code(slot, len as u64) else {
            assert!(code.is_none() && scale.is_none(), "{name}.{slot}");
            continue;
        };
        let [code, scale] = [code, scale].map(|of| of.unwrap_or_else(|| panic!("{name}.{slot}")));
        assert_eq!((code.dtype, &code.shape), (Dtype::U8, &param.shape));
        assert_eq!(scale.dtype, Dtype::F32);
        assert_eq!(scale.shape, [len.div_ceil(blocks.block() as usize)]);
        let stands = blocks.decode_all(&code.bytes, &f32s(&scale.bytes));
        for (i, (x, y)) in state.f64s().into_iter().zip(stands).enumerate() {
            let is_same = (x as f32).to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
            assert!(is_same, "{name}.{slot}[{i}]: {x:e} and {y:e}");
        }
    }
}

/// Replays on the GPU and as the reference, and compares both with the bounds.
fn check(trace: &BTreeMap<String, Tensor>, json: &str) -> Counts {
    let files = Files::new(trace, json);
    let [gpu, cpu] = [false, true].map(|cpu| files.replay(cpu).unwrap_or_else(|e| panic!("{e}")));
    let names: Vec<&str> = trace.keys().filter_map(|key| key.strip_prefix("param.")).collect();
    let mut counts = Counts::default();
    let config = ok(config(json));
    for (name, group) in names.iter().zip(groups(&config, &names)) {
        check_form(&gpu, name, &group, false);
        check_form(&cpu, name, &group, true);
        let param = f32s(&trace[&format!("param.{name}")].bytes);
        let loaded = |x: &f32| Trajectory::loaded(*x);
        let bounded: Vec<_> = param.iter().map(loaded).collect();
        let mut bounds = ok(Reference::starting(&group, &bounded, Trajectory::loaded(0.0)));
        for grad in f32s(&trace[&format!("grad.{name}")].bytes).chunks(param.len()) {
            ok(bounds.step(&grad.iter().map(loaded).collect::<Vec<_>>()));
        }
        bounds.eval();
        let mut hold = |key: &str, bounds: &[Trajectory]| {
            let exact = cpu.tensors[key].f64s();
            for (i, (bound, x)) in bounds.iter().zip(f32s(&gpu.tensors[key].bytes)).enumerate() {
                // One text for all arithmetics: the bound is around the reference itself.
                assert!(bound.value == exact[i] || bound.value.is_nan(), "{key}[{i}]");
                counts.compared += 1;
                counts.unbounded += usize::from(!bound.is_bounded());
                let ratio = bound.ratio(x);
                assert!(!bound.is_bounded() || ratio <= 1.0, "{key}[{i}]: {x:e} is not {bound:?}");
            }
        };
        hold(&format!("param.{name}"), bounds.param());
        for slot in support::slots(&group) {
            hold(&format!("state.{name}.{slot}"), &bounds.state(slot).unwrap_or_default());
        }
        for slot in support::slots(&group) {
            let key = format!("code.{name}.{slot}");
            let (Some(gpu), Some(cpu)) = (gpu.tensors.get(&key), cpu.tensors.get(&key)) else {
                continue;
            };
            let pairs = gpu.bytes.iter().zip(&cpu.bytes);
            counts.codes += gpu.bytes.len();
            counts.flipped += pairs.filter(|(one, two)| one != two).count();
        }
    }
    counts
}

/// The optimizers of the tests, a group each, with these formats for all slots or for each.
fn five(all: Option<&str>) -> String {
    let rows = [
        ("adam", "", r#"{"exp_avg": "block4", "exp_avg_sq": "block8"}"#),
        ("adamw", "", r#"{"exp_avg": "block8", "exp_avg_sq": "block4"}"#),
        ("lion", "", r#"{"exp_avg": "block4"}"#),
        (
            "rmsprop",
            r#""momentum": 0.9, "centered": true, "#,
            r#"{"square_avg": "block4", "momentum_buffer": "block8"}"#,
        ),
        ("sgd", r#""momentum": 0.9, "#, r#"{"momentum_buffer": "block4"}"#),
    ];
    let group = |(name, options, each): (&str, &str, &str)| {
        let formats = all.map_or_else(|| each.to_owned(), |all| format!("\"{all}\""));
        format!(
            r#"{{"params": ["{name}.*"], "optimizer": "{name}", {options}"state_format": {formats}}}"#
        )
    };
    let groups: Vec<String> = rows.into_iter().map(group).collect();
    format!(r#"{{"optimizer": "adam", "lr": 1e-3, "groups": [{}]}}"#, groups.join(", "))
}

fn params_of_five() -> Vec<(String, u64)> {
    let names = ["adam", "adamw", "lion", "rmsprop", "sgd"].into_iter();
    names.flat_map(|name| LENGTHS.map(|len| (format!("{name}.{len}"), len))).collect()
}

#[test]
fn gpu_and_reference_agree() {
    let trace = trace(&params_of_five(), 6);
    for all in [Some("block8"), Some("block4"), None] {
        let counts = check(&trace, &five(all));
        // A code that may be another one leaves nothing without a bound but quotients by it.
        assert!(counts.unbounded * 50 < counts.compared, "{all:?}: {counts:?}");
        assert!(counts.flipped * 1000 < counts.codes, "{all:?}: {counts:?}");
    }
}

/// With a master, the state, the codes and the master are those of a run in f32.
#[test]
fn parameters_in_bf16_have_the_blocks_of_those_in_f32() {
    let halves = in_bf16(trace(&params_of_five(), 4));
    for (all, master) in [(Some("block8"), "f32"), (Some("block4"), "remainder"), (None, "f32")] {
        let config = five(all);
        let of = |trace: &BTreeMap<String, Tensor>, config: &str| {
            Files::new(trace, config).replay(false).unwrap_or_else(|e| panic!("{e}")).tensors
        };
        let whole = of(&rounded(&halves), &config);
        let mastered = config.replacen('{', &format!("{{\"master\": \"{master}\", "), 1);
        let mut coded = 0;
        for (key, tensor) in of(&halves, &mastered) {
            coded += usize::from(key.starts_with("code."));
            if let Some(name) = key.strip_prefix("master.") {
                assert_eq!(tensor, whole[&format!("param.{name}")], "{key}");
            } else if !key.starts_with("param.") {
                assert_eq!(tensor, whole[&key], "{key}");
            }
        }
        assert!(coded > 0);
        // Without a master, each step adds half a unit of bf16's last place to a parameter. The gradients, and so the
        // state, do not follow from parameters here.
        for (key, tensor) in of(&halves, &config) {
            if key.starts_with("param.adamw.") || !key.starts_with("param.") {
                assert!(key.starts_with("param.") || tensor == whole[&key], "{key}");
                continue;
            }
            let pairs = Format::Bf16.decode_all(&tensor.bytes).into_iter().zip(whole[&key].f64s());
            for (x, y) in pairs {
                // No parameter goes farther than 0.1 in all.
                let most = 4.0 * (y.abs() + 0.1) / 256.0;
                assert!((f64::from(x) - y).abs() <= most, "{key}: {x:e} and {y:e}");
            }
        }
    }
}

#[test]
fn every_rule_runs_in_blocks() {
    let names = rule::ALL.iter().map(|entry| entry.name).chain(["adamw"]);
    let names: Vec<&str> = names.collect();
    let trace = trace(&names.iter().map(|name| ((*name).to_owned(), 300)).collect::<Vec<_>>(), 3);
    for format in ["block8", "block4"] {
        let group = |name: &&str| format!(r#"{{"params": ["{name}"], "optimizer": "{name}"}}"#);
        let groups: Vec<String> = names.iter().map(group).collect();
        let json = format!(
            r#"{{"optimizer": "adam", "state_format": "{format}", "groups": [{}]}}"#,
            groups.join(", ")
        );
        let counts = check(&trace, &json);
        assert!(counts.codes > 300 * names.len(), "{counts:?}");
    }
}

#[test]
fn slots_that_cannot_be_in_blocks_are_numbers() {
    let trace = trace(&[("w".to_owned(), 300)], 2);
    for (json, coded) in [
        (r#"{"optimizer": "madgrad", "state_format": "block8"}"#, vec![]),
        (r#"{"optimizer": "adam", "state_format": {"exp_avg": "block4"}}"#, vec!["exp_avg"]),
        (r#"{"optimizer": "adam", "state_format": "block8", "block_min_size": 301}"#, vec![]),
        (
            r#"{"optimizer": "adam", "state_format": "block8", "block_min_size": 300}"#,
            vec!["exp_avg", "exp_avg_sq"],
        ),
    ] {
        for cpu in [false, true] {
            let out = Files::new(&trace, json).replay(cpu).unwrap_or_else(|e| panic!("{e}"));
            let group = ok(config(json)).groups.remove(0).group;
            check_form(&out, "w", &group, cpu);
            let found: Vec<&str> =
                out.tensors.keys().filter_map(|key| key.strip_prefix("code.w.")).collect();
            assert_eq!(found, coded, "{json}");
        }
    }
}

#[test]
fn zeros_have_no_scale_and_nans_stay() {
    let len = 300_usize;
    let mut trace = trace(&[("nan".to_owned(), 300), ("zero".to_owned(), 300)], 3);
    let grad = |at: &str| format!("grad.{at}");
    trace.insert(grad("zero"), tensor(&[3, len], &vec![0.0; 3 * len]));
    let mut numbers = f32s(&trace[&grad("nan")].bytes);
    numbers[7] = f32::NAN; // at the first step, in the first block
    trace.insert(grad("nan"), tensor(&[3, len], &numbers));
    for (format, block, zeros) in [("block8", 256, [127, 0]), ("block4", 128, [7, 0])] {
        let json = format!(r#"{{"optimizer": "adam", "state_format": "{format}"}}"#);
        let group = ok(config(&json)).groups.remove(0).group;
        for cpu in [false, true] {
            let out = Files::new(&trace, &json).replay(cpu).unwrap_or_else(|e| panic!("{e}"));
            for (slot, zero) in ["exp_avg", "exp_avg_sq"].into_iter().zip(zeros) {
                let of = |what: &str, name: &str| &out.tensors[&format!("{what}.{name}.{slot}")];
                let code = group.block_code(slot, 300).unwrap_or_else(|| panic!("{slot}"));
                assert_eq!(code.zero(), zero, "{format} {slot}");
                assert!(of("code", "zero").bytes.iter().all(|own| *own == zero), "{format}");
                assert!(f32s(&of("scale", "zero").bytes).iter().all(|scale| *scale == 0.0));
                assert!(of("state", "zero").f64s().iter().all(|x| *x == 0.0));

                let scales = f32s(&of("scale", "nan").bytes);
                assert!(scales[0].is_nan() && scales[1..].iter().all(|x| x.is_normal()), "{slot}");
                let state = of("state", "nan").f64s();
                let (first, others) = state.split_at(block);
                assert!(first.iter().all(|x| x.is_nan()), "{format} {slot}");
                assert!(others.iter().all(|x| x.is_finite()), "{format} {slot}");
            }
        }
    }
}

/// The reference goes on from its own checkpoints, which have codes and scales in place of numbers.
#[test]
fn the_reference_resumes_blocks() {
    let trace = trace(&[("w".to_owned(), 300), ("x".to_owned(), 5)], 5);
    for format in [r#""block8""#, r#""block4""#, r#"{"exp_avg": "block4"}"#] {
        for more in ["", r#", "stochastic_state": 7"#, r#", "block_min_size": 6"#] {
            let json = format!(r#"{{"optimizer": "adam", "state_format": {format}{more}}}"#);
            checkpoint::check(&trace, &json, true, 2);
            checkpoint::check(&trace, &json, false, 2);
            // From the GPU's checkpoint to the reference.
            let files = Files::new(&trace, &json);
            let file = files.path("file.safetensors");
            let out = files.path("out.safetensors");
            ok(files.run(&["--out", &out, "--steps", "..2", "--save", &file]));
            let taken = Out::of(&files.bytes("out.safetensors"));
            ok(files.run(&["--out", &out, "--cpu", "--resume", &file, "--steps", "2..2"]));
            let resumed = Out::of(&files.bytes("out.safetensors"));
            for (key, tensor) in taken
                .tensors
                .iter()
                .filter(|(key, _)| !key.starts_with("state") && !key.starts_with("param"))
            {
                assert_eq!(tensor, &resumed.tensors[key], "{key}");
            }
        }
    }
}

/// A result in one format goes on in any other: codes that do not fit are made anew of the numbers.
#[test]
fn a_result_goes_on_in_other_formats() {
    let whole = trace(&[("w".to_owned(), 130)], 4);
    let json = |format: &str| {
        format!(r#"{{"optimizer": "adam", "lr": 1e-3, "state_format": "{format}"}}"#)
    };
    let metadata = |out: &Out| Some(out.metadata.clone());
    for cpu in [false, true] {
        let run = |files: Files| files.replay(cpu).unwrap_or_else(|e| panic!("{e}"));
        for (from, to) in ["f32", "block8", "block4"].map(|from| (from, "block8")) {
            let first = run(Files::new(&part(&whole, 0, 2), &json(from)));
            // No further step shows what was taken.
            let mut rest = part(&whole, 2, 2);
            rest.extend(first.tensors.clone());
            let taken = run(Files::with(&rest, metadata(&first), &json(to)));
            let group = ok(config(&json(to))).groups.remove(0).group;
            check_form(&taken, "w", &group, cpu);
            for slot in ["exp_avg", "exp_avg_sq"] {
                let numbers: Vec<f32> = first.tensors[&format!("state.w.{slot}")]
                    .f64s()
                    .into_iter()
                    .map(|x| x as f32)
                    .collect();
                let code = group.block_code(slot, 130).unwrap_or_else(|| panic!("{slot}"));
                let codes = &taken.tensors[&format!("code.w.{slot}")];
                match from == to {
                    true => assert_eq!(codes, &first.tensors[&format!("code.w.{slot}")]),
                    false => assert_eq!(codes.bytes, code.encode_all(&numbers).0, "{from}"),
                }
            }
        }
    }
}

#[test]
#[rustfmt::skip]
fn wrong_codes_in_a_trace_are_refused() {
    let whole = trace(&[("w".to_owned(), 300)], 2);
    let json = r#"{"optimizer": "adam", "state_format": "block8"}"#;
    let out = Files::new(&whole, json).replay(true).unwrap_or_else(|e| panic!("{e}"));
    let error = |key: &str, new: Option<Tensor>| {
        let mut rest = whole.clone();
        rest.extend(out.tensors.clone());
        rest.remove(key);
        rest.extend(new.map(|tensor| (key.to_owned(), tensor)));
        let files = Files::with(&rest, Some(out.metadata.clone()), json);
        let error = files.replay(true).expect_err(key);
        error.replace(&files.path("trace.safetensors"), "TRACE")
    };
    let bytes = |shape: &[usize]| Tensor { dtype: Dtype::U8, shape: shape.to_vec(), bytes: vec![0; shape.iter().product()] };
    let rows = [
        (error("scale.w.exp_avg", None), "`code.w.exp_avg` has no `scale.w.exp_avg`; add it or leave this out"),
        (error("state.w.exp_avg", None), "`code.w.exp_avg` has no `state.w.exp_avg`; add it or leave this out"),
        (error("code.w.exp_avg", None), "`scale.w.exp_avg` has no `code.w.exp_avg`; add it or leave this out"),
        (error("code.w.exp_avg", Some(bytes(&[3, 100]))), "`code.w.exp_avg` is U8 of shape [3, 100]; it must be U8 of its parameter's shape [300]"),
        (error("code.w.exp_avg", Some(tensor(&[300], &[0.0; 300]))), "`code.w.exp_avg` is F32 of shape [300]; it must be U8 of its parameter's shape [300]"),
        (error("scale.w.exp_avg", Some(bytes(&[2]))), "`scale.w.exp_avg` is U8 of shape [2]; it must be F32 with one number a block"),
        (error("code.x.exp_avg", Some(bytes(&[300]))), "`code.x.exp_avg` has no `param.x`; add it or leave this out"),
    ];
    for (error, expected) in rows {
        assert_eq!(error, format!("TRACE: {expected}"));
    }
}

#[test]
fn codes_chosen_at_random_differ_by_one_and_follow_the_seed() {
    let trace = trace(&[("w".to_owned(), 700)], 1);
    let codes = |more: &str, cpu| {
        let json = format!(r#"{{"optimizer": "adam", "state_format": "block8"{more}}}"#);
        let out = Files::new(&trace, &json).replay(cpu).unwrap_or_else(|e| panic!("{e}"));
        out.tensors["code.w.exp_avg"].bytes.clone()
    };
    let nearest = codes("", true);
    let [one, same, other] = [3, 3, 4].map(|seed| {
        let more = format!(r#", "stochastic_state": {seed}"#);
        // The only parameter begins where its buffer does.
        let [gpu, cpu] = [false, true].map(|cpu| codes(&more, cpu));
        let flipped = gpu.iter().zip(&cpu).filter(|(one, two)| one != two).count();
        assert!(flipped <= 2, "{flipped} of 700 codes on the GPU are not the reference's");
        cpu
    });
    assert_eq!(one, same);
    assert_ne!(one, other);
    assert_ne!(one, nearest);
    assert!(one.iter().zip(&nearest).all(|(one, two)| one.abs_diff(*two) <= 1));
}

#[test]
#[rustfmt::skip]
fn wrong_formats_are_refused() {
    let formats = r#""f32" or "f16" or "bf16" or "block8" or "block4""#;
    for (keys, expected) in [
        (r#""state_format": "int8""#, format!("`state_format` is the string \"int8\", it must be {formats}, or an object with one of these a slot")),
        (r#""state_format": 8"#, format!("`state_format` is a number, it must be {formats}, or an object with one of these a slot")),
        (r#""state_format": {"exp_avg": "int8"}"#, format!("`state_format.exp_avg` is the string \"int8\", it must be {formats}")),
        (r#""state_format": {"momentum": "block8"}"#, "`state_format` names `momentum`, which is no slot of it; name one of `exp_avg`, `exp_avg_sq` or leave it out".to_owned()),
        (r#""block_min_size": 0.5"#, "`block_min_size` is 0.5, it must be a whole number of elements, 0 or more".to_owned()),
        (r#""block_min_size": -1"#, "`block_min_size` is -1, it must be a whole number of elements, 0 or more".to_owned()),
        (r#""block_min_size": "all""#, "`block_min_size` is the string \"all\", it must be a whole number of elements, 0 or more".to_owned()),
        (r#""stochastic_state": -1"#, "`stochastic_state` is -1, it must be a whole number, the seed, or null".to_owned()),
    ] {
        let json = format!(r#"{{"optimizer": "adam", {keys}}}"#);
        assert_eq!(config_error(&json), format!("CONFIG: `adam`: {expected}"), "{json}");
    }
    let stateless = config_error(r#"{"optimizer": "sgd", "state_format": {"momentum_buffer": "block8"}}"#);
    assert_eq!(stateless, "CONFIG: `sgd`: `state_format` names `momentum_buffer`, which is no slot of it; name no slot, as it keeps no state, or leave it out");
}
