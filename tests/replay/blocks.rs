//! Checkpoints with state in blocks: `inspect` shows their codes and scales, and `convert` decodes them for PyTorch.

use safetensors::SafeTensors;
use support::{encoded, gpu, numbers, ok};
use wgpu_optim::checkpoint::{Container, SaveOptions, Saved, Writer};
use wgpu_optim::{Adam, Format, Group, Optimizer, StateFormat};

use crate::command::{run, text};
use crate::files::Files;
use crate::trace;

/// Writes a checkpoint after two steps of ADAM.
fn save(path: &str) {
    let gpu = gpu();
    let formats = [("exp_avg", StateFormat::Block4), ("exp_avg_sq", StateFormat::Block8)];
    let rule = Adam { eps: 1e-8, eps_root: 0.0, ..Adam::default() }; // PyTorch's
    let group =
        Group::new(1e-2, rule).state_format(formats).block_min_size(100).stochastic_state(4);
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(group));
    for (name, len) in [("w", 300), ("b", 20)] {
        let [param, grad] = [1, 2].map(|seed| encoded(gpu, Format::F32, &numbers(len, seed)));
        ok(optimizer.add_param(group, name, param, grad));
    }
    gpu.step(&mut optimizer);
    gpu.step(&mut optimizer);
    let options = SaveOptions::default().shape("w", &[3, 100]);
    ok(optimizer.save_with(&gpu.queue, path, &options));
}

/// The bytes of a tensor of a checkpoint.
fn bytes(path: &str, name: &str) -> Vec<u8> {
    let mut file = ok(Container::open(ok(std::fs::File::open(path))));
    let entry = file.entry(name).unwrap_or_else(|| panic!("no `{name}`"));
    let mut bytes = vec![0; entry.bytes() as usize];
    ok(file.read(name, 0, &mut bytes));
    bytes
}

/// The codes, the scales and the numbers of a slot of `w`.
fn slot(
    path: &str,
    name: &str,
    format: StateFormat,
    signed: bool,
) -> (Vec<u8>, Vec<f32>, Vec<f32>) {
    let code = format.code(signed).unwrap_or_else(|| panic!("{format} has no blocks"));
    let codes = bytes(path, &format!("code.w.{name}"));
    let scales = Format::F32.decode_all(&bytes(path, &format!("scale.w.{name}")));
    let numbers = code.decode_all(&codes, &scales);
    (codes, scales, numbers)
}

#[test]
fn an_inspection_shows_codes_and_scales() {
    let files = Files::new(&trace(), r#"{"optimizer": "adam"}"#);
    let path = files.path("blocks.safetensors");
    save(&path);
    let [shown, json] = [&["inspect", &path][..], &["inspect", &path, "--json"]].map(|arguments| {
        let done = run(arguments, b"", None);
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    });
    let json: serde_json::Value = ok(serde_json::from_str(&json));
    let params = &json["groups"][0]["params"];
    for (i, name, format, signed) in
        [(1, "exp_avg", StateFormat::Block4, true), (2, "exp_avg_sq", StateFormat::Block8, false)]
    {
        let (codes, scales, numbers) = slot(&path, name, format, signed);
        let tensor = &params[0]["tensors"][i];
        let named = format.code(signed).map(wgpu_optim::BlockCode::name).unwrap_or_default();
        let blocks = &tensor["blocks"];
        assert_eq!(tensor["slot"], name);
        assert_eq!(
            (&blocks["format"], &blocks["scales"]),
            (&named.clone().into(), &format!("scale.w.{name}").into())
        );
        let range = [codes.iter().min(), codes.iter().max()].map(|code| code.copied().unwrap_or(0));
        assert_eq!(blocks["codes"], serde_json::json!(range));
        let scales: Vec<f64> = scales.into_iter().map(f64::from).collect();
        let [low, high] = [f64::min, f64::max].map(|f| scales.iter().copied().fold(scales[0], f));
        assert_eq!(blocks["finite_scales"], serde_json::json!([low, high]));
        assert_eq!((&blocks["zero_scales"], &blocks["nonfinite_scales"]), (&0.into(), &0.into()));
        assert_eq!(tensor["largest"], serde_json::json!(high));
        let squares: f64 = numbers.iter().map(|x| f64::from(*x).powi(2)).sum();
        let norm = tensor["norm"].as_f64().unwrap_or_default();
        assert!((norm / squares.sqrt() - 1.0).abs() < 1e-12, "{norm} {squares}");
        let line = format!(
            "codes {} to {}; scales of {} elements: {low:.6e} to {high:.6e}, zero 0, non-finite 0",
            range[0],
            range[1],
            if signed { 128 } else { 256 }
        );
        assert!(shown.contains(&line), "{line} is not in: {shown}");
        assert!(shown.contains(&format!("{name:<16} {named} norm ")), "{shown}");
    }
    // Few elements are in f32.
    assert_eq!(params[1]["tensors"][1]["name"], "state.b.exp_avg");
    assert!(params[1]["tensors"][1].get("blocks").is_none());
    // All bytes are counted.
    let (w, b) = (300 * 4 + 2 * 300 + (3 + 2) * 4, 3 * 20 * 4);
    assert_eq!(json["groups"][0]["bytes"], w + b);
    assert_eq!(json["bytes"], w + b);
}

#[test]
fn blocks_are_decoded_for_pytorch() {
    let files = Files::new(&trace(), r#"{"optimizer": "adam"}"#);
    let [path, named, back] = ["blocks.safetensors", "named.safetensors", "back.safetensors"]
        .map(|name| files.path(name));
    save(&path);
    for [from, to] in [[&path, &named], [&named, &back]] {
        let rule: &[&str] = if from == &named { &["--rule", "adam"] } else { &[] };
        let done = run(&[&["convert", from, to], rule].concat(), b"", None);
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    let data = ok(std::fs::read(&named));
    let tensors = ok(SafeTensors::deserialize(&data));
    for (name, format, signed) in
        [("exp_avg", StateFormat::Block4, true), ("exp_avg_sq", StateFormat::Block8, false)]
    {
        let (_, _, numbers) = slot(&path, name, format, signed);
        let tensor = ok(tensors.tensor(&format!("optimizer.state.0.{name}")));
        assert_eq!(tensor.shape(), [3, 100]);
        assert_eq!(Format::F32.decode_all(tensor.data()), numbers, "{name}");
        let plain = Format::F32.decode_all(&bytes(&back, &format!("state.w.{name}")));
        assert_eq!(plain, numbers, "{name}");
        let few = ok(tensors.tensor(&format!("optimizer.state.1.{name}")));
        assert_eq!(few.data(), bytes(&path, &format!("state.b.{name}")), "{name}");
    }
}

/// Nothing in a file tells the signs of a rule from outside this crate.
#[test]
fn an_inspection_shows_blocks_of_unknown_signs() {
    let files = Files::new(&trace(), r#"{"optimizer": "adam"}"#);
    let path = files.path("blocks.safetensors");
    save(&path);
    let mut file = ok(Container::open(ok(std::fs::File::open(&path))));
    let mut saved = Saved::of(&file).unwrap_or_else(|e| panic!("{e:?}"));
    let group = &mut saved.groups[0];
    group.foreign = Some("Own".to_owned());
    group.options.insert("optimizer".to_owned(), "own".into());
    let metadata = [(wgpu_optim::checkpoint::KEY.to_owned(), ok(saved.to_json()))].into();
    let entries = file.entries();
    let mut writer = ok(Writer::new(Vec::new(), &metadata, &entries));
    for entry in &entries {
        ok(file.pieces(&entry.name, |_, bytes| writer.write(bytes)));
    }
    files.write("blocks.safetensors", &ok(writer.finish()));
    let done = run(&["inspect", &path, "--json"], b"", None);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let json: serde_json::Value = ok(serde_json::from_str(&text(&done.stdout)));
    let tensor = &json["groups"][0]["params"][0]["tensors"][1];
    assert_eq!((&tensor["norm"], &tensor["blocks"]["format"]), (&"NaN".into(), &"block4".into()));
    assert_eq!(tensor["largest"], tensor["blocks"]["finite_scales"][1]);
}
