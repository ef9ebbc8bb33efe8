//! State in blocks from and to torchao's and bitsandbytes' optimizers, by way of `convert`.

use std::path::PathBuf;

use support::{encoded, gpu, ok};
use wgpu_optim::checkpoint::{Container, SaveOptions, Saved};
use wgpu_optim::{Format, Optimizer, StateFormat, config};

use crate::command::{run, text};
use crate::files::{Files, Out, Tensor, f32s, tensor};
use crate::torchao::{STEPS, golden, json, path, trace};

/// The files, their library, the rule that they do not say, and their format.
const FILES: [(&str, &str, Option<&str>, &str); 4] = [
    ("torchao_adamw8bit", "torchao", Some("adamw"), "block8"),
    ("torchao_adamw4bit", "torchao", Some("adamw"), "block4"),
    ("bitsandbytes_adamw8bit", "bitsandbytes", None, "block8"),
    ("bitsandbytes_lion8bit", "bitsandbytes", Some("lion"), "block8"),
];

/// Converts, and returns the words of the command.
#[track_caller]
fn convert(from: &str, to: &str, options: &[&str]) -> String {
    let done = run(&[&["convert", from, to], options].concat(), b"", None);
    let said = text(&done.stderr);
    assert!(done.status.success(), "{from}: {said}");
    said
}

/// The options that say a rule.
fn said(rule: Option<&'static str>) -> Vec<&'static str> {
    rule.map(|rule| vec!["--rule", rule]).unwrap_or_default()
}

fn original(name: &str) -> PathBuf {
    path(name).with_extension("pt")
}

/// The tensors of a file, but for the checksum, which is also that of the metadata.
fn read(files: &Files, name: &str) -> Out {
    let mut all = Out::of(&files.bytes(name));
    all.tensors.remove("checksum");
    all
}

/// Whether two files have the same tensors; an error names the first that differs.
#[track_caller]
fn same(one: &Out, other: &Out, place: &str) {
    assert!(one.tensors.keys().eq(other.tensors.keys()), "{place}");
    for (key, tensor) in &one.tensors {
        assert!(*tensor == other.tensors[key], "{place}: {key}");
    }
}

/// The options of the only group of a checkpoint.
fn options(files: &Files, name: &str) -> serde_json::Map<String, serde_json::Value> {
    let file = ok(Container::open(ok(std::fs::File::open(files.path(name)))));
    let mut saved = Saved::of(&file).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    assert_eq!(saved.groups.len(), 1);
    saved.groups.remove(0).options
}

/// The checkpoint that an optimizer has saved which has loaded another.
fn loaded(files: &Files, name: &str) -> Out {
    let gpu = gpu();
    let group = ok(config::group(options(files, name).into()));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(group));
    // The libraries' files have no model.
    let trace = trace(1);
    for param in ["w", "b"] {
        let numbers = f32s(&trace[&format!("param.{param}")].bytes);
        let [own, grad] = [numbers.clone(), vec![0.0; numbers.len()]]
            .map(|numbers| encoded(gpu, Format::F32, &numbers));
        ok(optimizer.add_param(group, param, own, grad));
    }
    ok(optimizer.load(&gpu.queue, files.path(name)));
    let saved = files.path("loaded.safetensors");
    let options = SaveOptions::default().params(false).shape("w", &[64, 64]);
    ok(optimizer.save_with(&gpu.queue, &saved, &options));
    read(files, "loaded.safetensors")
}

/// Whatever a result has of state, in blocks or not.
fn state(out: &Out) -> Vec<(&String, &Tensor)> {
    out.tensors.iter().filter(|(key, _)| !key.starts_with("param.")).collect()
}

#[test]
fn files_of_the_libraries_come_here_and_go_back_with_their_codes() {
    for (name, library, rule, format) in FILES {
        let files = Files::new(&trace(1), "{}");
        let [here, there, again] =
            ["here.safetensors", "there.pt", "again.safetensors"].map(|name| files.path(name));
        let words = convert(&original(name).to_string_lossy(), &here, &said(rule));
        assert_eq!(words, "", "{name}");
        let expected = golden(name);
        let found = read(&files, "here.safetensors");
        let mut compared = 0;
        for (key, own) in state(&found) {
            let theirs = &expected[&format!("{STEPS}.{key}")];
            assert_eq!(own.bytes, theirs.bytes, "{name}: {key}");
            compared += usize::from(key.starts_with("code."));
        }
        assert_eq!(compared, if rule == Some("lion") { 1 } else { 2 }, "{name}");
        let options = options(&files, "here.safetensors");
        assert_eq!(options["state_format"], format, "{name}");
        assert_eq!(options["block_min_size"], 4096, "{name}");

        same(&loaded(&files, "here.safetensors"), &found, name);

        convert(&here, &there, &["--library", library]);
        convert(&there, &again, &said(rule));
        assert!(ok(std::fs::read(&here)) == ok(std::fs::read(&again)), "{name}");
    }
}

/// A run that goes on from a file of a library has every bit of one that never stopped.
#[test]
fn runs_go_on_by_way_of_the_libraries() {
    for (format, library, rule) in [
        ("block8", "torchao", Some("adamw")),
        ("block8", "bitsandbytes", None),
        ("block4", "torchao", Some("adamw")),
    ] {
        let place = format!("{format} {library}");
        let files = Files::new(&trace(8), &json("torchao_adamw8bit", format));
        let [out, here, there, again] =
            ["out.safetensors", "here.safetensors", "there.pt", "again.safetensors"]
                .map(|name| files.path(name));
        ok(files.run(&["--out", &out]));
        let expected = read(&files, "out.safetensors");
        ok(files.run(&["--out", &out, "--steps", "..5", "--save", &here]));
        convert(&here, &there, &["--library", library]);
        convert(&there, &again, &said(rule));
        let [first, second] =
            ["here.safetensors", "again.safetensors"].map(|name| read(&files, name));
        same(&first, &second, &place);
        ok(files.run(&["--out", &out, "--resume", &again]));
        same(&read(&files, "out.safetensors"), &expected, &place);
    }
}

#[test]
fn the_library_must_be_clear_and_able_and_safetensors_files_have_numbers() {
    let files = Files::new(&trace(2), &json("torchao_adamw8bit", "block8"));
    let [out, here, there, named] =
        ["out.safetensors", "here.safetensors", "there.pt", "named.safetensors"]
            .map(|name| files.path(name));
    ok(files.run(&["--out", &out, "--save", &here]));
    let done = run(&["convert", &here, &there], b"", None);
    let must = "say which is to go on with --library torchao or --library bitsandbytes";
    assert!(text(&done.stderr).contains(must), "{}", text(&done.stderr));
    // No library chooses codes at random.
    let random =
        json("torchao_adamw8bit", "block8").replacen('{', r#"{"stochastic_state": 3, "#, 1);
    files.write("config.json", random.as_bytes());
    let random = files.path("random.safetensors");
    ok(files.run(&["--out", &out, "--save", &random]));
    for library in ["torchao", "bitsandbytes"] {
        let done = run(&["convert", &random, &there, "--library", library], b"", None);
        let must = "`stochastic_state` is 3, which";
        assert!(text(&done.stderr).contains(must), "{}", text(&done.stderr));
    }
    convert(&random, &there, &["--library", "torch"]);
    files.write("config.json", json("torchao_adamw8bit", "block8").as_bytes());
    ok(files.run(&["--out", &out]));

    convert(&here, &named, &[]);
    let (decoded, out) = (read(&files, "named.safetensors"), read(&files, "out.safetensors"));
    for slot in ["exp_avg", "exp_avg_sq"] {
        let key = format!("optimizer.state.1.{slot}");
        assert_eq!(decoded.tensors[&key], out.tensors[&format!("state.w.{slot}")], "{slot}");
    }
}

/// torchao keeps a parameter in f32 if its last block would be shorter, whatever its size.
#[test]
fn larger_parameters_without_blocks_are_rounded_and_named() {
    let len = 4100;
    let mut trace = trace(2);
    for key in ["param", "grad"] {
        let numbers = support::numbers(2 * len, 5);
        let own = match key {
            "param" => tensor(&[len as usize], &numbers[..len as usize]),
            _ => tensor(&[2, len as usize], &numbers),
        };
        trace.insert(format!("{key}.c"), own);
    }
    let files = Files::new(&trace, &json("torchao_adamw8bit", "block8"));
    let [out, here, there, again] =
        ["out.safetensors", "here.safetensors", "there.pt", "again.safetensors"]
            .map(|name| files.path(name));
    ok(files.run(&["--out", &out, "--save", &here]));
    convert(&here, &there, &["--library", "torchao"]);
    let words = convert(&there, &again, &["--rule", "adamw"]);
    for (slot, name) in [("exp_avg", "block8_signed"), ("exp_avg_sq", "block8_unsigned")] {
        let must = format!("convert: `{slot}` of `c` is rounded to {name}, because other");
        assert!(words.contains(&must), "{words}");
    }
    assert_eq!(words.lines().count(), 2, "{words}");
    let [mut first, mut second] =
        ["here.safetensors", "again.safetensors"].map(|name| read(&files, name));
    for (slot, signed) in [("exp_avg", true), ("exp_avg_sq", false)] {
        let code = StateFormat::Block8.code(signed).unwrap_or_else(|| panic!("no code"));
        let [one, two] = [&mut first, &mut second].map(|out| {
            let [codes, scales] = ["code", "scale"].map(|kind| {
                let found = out.tensors.remove(&format!("{kind}.c.{slot}"));
                found.unwrap_or_else(|| panic!("{kind}.c.{slot}")).bytes
            });
            (code.decode_all(&codes, &f32s(&scales)), f32s(&scales))
        });
        assert_eq!((one.0.len(), two.0.len()), (len as usize, len as usize));
        // A block whose scale was that of a number below 0 has a smaller one now.
        for (i, (x, y)) in one.0.iter().zip(&two.0).enumerate() {
            let scale = one.1[i / code.block() as usize];
            assert!((x - y).abs() <= 0.01 * scale, "{slot}[{i}]: {x:e} and {y:e}");
        }
    }
    same(&first, &second, "again");
}
