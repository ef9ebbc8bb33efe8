//! State in blocks against what torchao's own code computed (`tools/golden_blocks.py` made the files).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use support::ok;
use wgpu_optim::config::config;
use wgpu_optim::{BlockCode, Reference, StateFormat, Trajectory};

use crate::files::{Files, Out, Tensor, f32s, tensor};

/// torchao's smallest scale.
const LEAST: f32 = 1e-12;

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden_blocks/{name}.safetensors"))
}

pub(crate) fn golden(name: &str) -> BTreeMap<String, Tensor> {
    let path = path(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Out::of(&bytes).tensors
}

/// Every code with its name in the files.
fn codes() -> Vec<(String, BlockCode)> {
    let formats = [StateFormat::Block8, StateFormat::Block4].into_iter();
    let all = formats.flat_map(|format| {
        [("signed", true), ("unsigned", false)].map(|(sign, signed)| {
            let code = format.code(signed).unwrap_or_else(|| panic!("{format}"));
            (format!("{format}.{sign}"), code)
        })
    });
    all.collect()
}

#[test]
fn the_numbers_of_codes_are_those_of_torchao() {
    let tables = golden("tables");
    assert_eq!(tables.len(), codes().len());
    for (name, code) in codes() {
        let bits = |all: &[f32]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(code.numbers()), bits(&f32s(&tables[&name].bytes)), "{name}");
    }
}

/// torchao divides by the scale before it compares, so that a code may be the other one of two as near.
#[test]
fn codes_are_those_of_torchao_but_for_numbers_in_the_middle() {
    let golden = golden("codes");
    let input = f32s(&golden["input"].bytes);
    for (name, code) in codes() {
        let numbers = match code.is_signed() {
            true => input.clone(),
            false => input.iter().map(|x| x.abs()).collect(),
        };
        let (own, scales) = code.encode_all(&numbers);
        let theirs = &golden[&format!("code.{name}")].bytes;
        let (mut compared, mut differ, mut small) = (0, 0, 0);
        for (block, (scale, their)) in
            scales.iter().zip(f32s(&golden[&format!("scale.{name}")].bytes)).enumerate()
        {
            assert_eq!(scale.max(LEAST).to_bits(), their.to_bits(), "{name}: scale {block}");
            if *scale < LEAST {
                small += 1;
                continue;
            }
            let len = code.block() as usize;
            for i in block * len..(block + 1) * len {
                compared += 1;
                let [one, two] = [own[i], theirs[i]].map(usize::from);
                if one != two {
                    differ += 1;
                    assert_eq!(one.abs_diff(two), 1, "{name}[{i}]");
                    let middle = [one, two].map(|code_of| f64::from(code.numbers()[code_of]));
                    let middle = (middle[0] + middle[1]) / 2.0;
                    let is = f64::from(numbers[i]) / f64::from(*scale);
                    let off = (is - middle).abs() / middle.abs();
                    assert!(off <= f64::from(f32::EPSILON), "{name}[{i}]: {is:e}, {middle:e}");
                }
            }
        }
        assert!(differ <= 2, "{name}: {differ} of {compared}");
        // The file has two rows of such blocks: of numbers near 1e-20, and of zeros.
        assert_eq!(small, 2 * 256 / code.block() as usize, "{name}");
    }
}

/// The numbers of step 1 and so on, or of step 0 the parameter, as `tools/golden_blocks.py` has them.
fn numbers(step: u32, count: u32) -> Vec<f32> {
    let number = |i: u32| {
        let mut h = i.wrapping_mul(0x9e37_79b1).wrapping_add(step.wrapping_mul(0x85eb_ca77));
        for (shift, factor) in [(15, 0x2c1b_3c6d), (12, 0x297a_2d39)] {
            h = (h ^ h >> shift).wrapping_mul(factor);
        }
        h ^= h >> 15;
        let exponent = if step == 0 { 0 } else { i / 128 % 16 };
        let zero = step > 0 && (i.wrapping_add(step)).is_multiple_of(64);
        if zero {
            0.0
        } else {
            ((h >> 8) as f32 - 8_388_608.0) * 0.5_f32.powi(23 + exponent as i32)
        }
    };
    (0..count).map(number).collect()
}

pub(crate) const STEPS: usize = 50;

/// The trainings, with the format of each.
pub(crate) const TRAININGS: [(&str, &str); 2] =
    [("torchao_adamw8bit", "block8"), ("torchao_adamw4bit", "block4")];

/// The config of a training: torchao keeps fewer than 4096 elements in f32.
pub(crate) fn json(file: &str, format: &str) -> String {
    let own = format!(r#"{{"state_format": "{format}", "block_min_size": 4096, "#);
    support::metadata(&path(file))["config"].replacen('{', &own, 1)
}

/// The trace of the trainings, or of more steps.
pub(crate) fn trace(steps: usize) -> BTreeMap<String, Tensor> {
    let shapes: [(&str, &[usize]); 2] = [("w", &[64, 64]), ("b", &[5])];
    let mut all = BTreeMap::new();
    for (name, shape) in shapes {
        let count = shape.iter().product::<usize>() as u32;
        let grads: Vec<f32> = (1..=steps as u32).flat_map(|step| numbers(step, count)).collect();
        all.insert(format!("param.{name}"), tensor(shape, &numbers(0, count)));
        all.insert(format!("grad.{name}"), tensor(&[&[steps], shape].concat(), &grads));
    }
    all
}

/// The result after so many steps.
fn after(files: &Files, step: usize, cpu: bool) -> Out {
    let (out, steps) = (files.path("out.safetensors"), format!("..{step}"));
    let cpu: &[&str] = if cpu { &["--cpu"] } else { &[] };
    ok(files.run(&[&["--out", &out, "--steps", &steps][..], cpu].concat()));
    Out::of(&files.bytes("out.safetensors"))
}

/// Codes after the first and the last step. Numbers and scales are as near as two orders of rounding are, so that a
/// number near a middle may have the other code.
#[test]
fn codes_of_trainings_are_those_of_torchao() {
    for (file, format) in TRAININGS {
        let expected = golden(file);
        let files = Files::new(&trace(STEPS), &json(file, format));
        let cases = [(1, false), (1, true), (STEPS, false), (STEPS, true)];
        for (step, cpu) in cases {
            let found = after(&files, step, cpu);
            for slot in ["exp_avg", "exp_avg_sq"] {
                let what = format!("{file}, step {step}, cpu {cpu}, {slot}");
                let theirs = |of: &str| &expected[&format!("{step}.{of}.{slot}")];
                let ours = |of: &str| &found.tensors[&format!("{of}.{slot}")];
                let pairs = ours("code.w").bytes.iter().zip(&theirs("code.w").bytes);
                let differ = pairs.filter(|(one, two)| one != two).count();
                assert!(differ <= 2, "{what}: {differ} codes");
                // Ten or a hundred steps count in an average, with a few roundings each.
                for (of, least) in [("scale.w", 0.0), ("state.b", 0.1)] {
                    let pairs = ours(of).f64s().into_iter().zip(theirs(of).f64s());
                    for (x, y) in pairs {
                        let most = 1e-6 * y.abs().max(least);
                        assert!((x - y).abs() <= most, "{what}: {of}: {x:e} and {y:e}");
                    }
                }
            }
        }
        // Their own decoding, of every 16th element.
        let group = ok(config(&json(file, format))).groups.remove(0).group;
        for slot in ["exp_avg", "exp_avg_sq"] {
            let code = group.block_code(slot, 4096).unwrap_or_else(|| panic!("{slot}"));
            let theirs = |what: &str| &expected[&format!("{STEPS}.{what}.w.{slot}")].bytes;
            let stands = code.decode_all(theirs("code"), &f32s(theirs("scale")));
            let every: Vec<f32> = stands.iter().step_by(16).copied().collect();
            assert_eq!(every, f32s(theirs("state")), "{file}: {slot}");
        }
    }
}

/// torchao rounds as WGSL allows a kernel to, so that its parameters are within the bound of a kernel's, where there
/// is one: a denominator whose code may be that of 0 has none.
#[test]
fn parameters_of_trainings_are_those_of_torchao() {
    for (file, format) in TRAININGS {
        let expected = golden(file);
        let trace = trace(STEPS);
        let files = Files::new(&trace, &json(file, format));
        let group = ok(config(&json(file, format))).groups.remove(0).group;
        let found = [false, true].map(|cpu| after(&files, STEPS, cpu));
        for name in ["w", "b"] {
            let key = format!("param.{name}");
            let loaded = |x: &f32| Trajectory::loaded(*x);
            let param = f32s(&trace[&key].bytes);
            let start: Vec<_> = param.iter().map(loaded).collect();
            let mut bounds = ok(Reference::starting(&group, &start, Trajectory::loaded(0.0)));
            for grad in f32s(&trace[&format!("grad.{name}")].bytes).chunks(param.len()) {
                ok(bounds.step(&grad.iter().map(loaded).collect::<Vec<_>>()));
            }
            let theirs = f32s(&expected[&format!("{STEPS}.{key}")].bytes);
            let pairs = bounds.param().iter().zip(&theirs);
            let bounded = pairs.filter(|(bound, _)| bound.is_bounded());
            let ratios: Vec<f64> = bounded.map(|(bound, x)| bound.ratio(*x)).collect();
            assert!(ratios.iter().all(|ratio| *ratio <= 1.0), "{file}: {key}");
            assert!(3 * ratios.len() >= 2 * param.len(), "{file}: {key}: {}", ratios.len());
            // Either side rounds a parameter of less than 2 at most three times a step, by 2⁻²⁴ or less. Farther off
            // is only an element one of whose codes was the other one on the way: a gap between codes, by which the
            // 50 steps of 2⁻⁹ are off.
            for found in &found {
                let pairs = found.tensors[&key].f64s().into_iter().zip(&theirs);
                let off = pairs.map(|(x, y)| (x - f64::from(*y)).abs());
                let far = off.filter(|off| *off > 6.0 * STEPS as f64 * 0.5_f64.powi(24));
                let far: Vec<f64> = far.collect();
                assert!(far.len() <= 4 && far.iter().all(|off| *off < 1e-3), "{file}: {far:?}");
            }
        }
    }
}
