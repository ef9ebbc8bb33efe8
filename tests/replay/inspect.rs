//! The command that prints what a checkpoint holds.

use std::io::Cursor;

use crate::files::Files;
use crate::trace;
use wgpu_optim::checkpoint::{Container, Entry, Saved, Writer};

/// Runs a trace on the CPU, and saves where it ends.
fn save(files: &Files, file: &str) {
    let out = files.path("out.safetensors");
    files.run(&["--out", &out, "--cpu", "--save", file]).unwrap_or_else(|e| panic!("{e}"));
}

/// Runs `inspect` as text and as JSON.
fn inspected(file: &str) -> (String, serde_json::Value) {
    let [text, json] = [&["inspect", file][..], &["inspect", file, "--json"]].map(|arguments| {
        let done = crate::command::run(arguments, b"", None);
        assert!(done.status.success(), "{}", crate::command::text(&done.stderr));
        crate::command::text(&done.stdout)
    });
    let json = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e}: {json}"));
    (text, json)
}

#[test]
fn an_inspection_shows_the_config() {
    let rates = "[0.1, 0.1, 0.05, 0.04]";
    for (keys, line) in [
        (r#""lr": 0.1"#.to_owned(), None),
        (
            format!(r#""lr": {rates}, "clip_norm": 1, "accumulate": 2, "loss_scale": "dynamic""#),
            Some("clip_norm 1.0, loss_scale dynamic, accumulate 2"),
        ),
        (
            r#""clip_value": 0.5, "loss_scale": 8, "skip_nonfinite": true, "accumulation": "sum""#
                .to_owned(),
            Some("clip_value 0.5, loss_scale 8.0, skip_nonfinite true, accumulation sum"),
        ),
        (
            r#""loss_scale": {"init": 8, "interval": 3}"#.to_owned(),
            Some(r#"loss_scale {"backoff":0.5,"growth":2.0,"init":8.0,"interval":3}"#),
        ),
    ] {
        let files = Files::new(&trace(), &format!(r#"{{"optimizer": "adam", {keys}}}"#));
        let file = files.path("file.safetensors");
        save(&files, &file);
        let (text, json) = inspected(&file);
        let (_, rest) = text.split_once('\n').unwrap_or_default();
        match line {
            Some(line) => assert!(rest.starts_with(&format!("{line}\n")), "{text}"),
            None => assert!(rest.starts_with("note gradients: 4\n\ngroup 0"), "{text}"),
        }
        let is_listed = keys.contains(rates);
        assert_eq!(text.contains("lr: a list of 4"), is_listed, "{text}");
        assert!(!text.contains("note config"), "{text}");
        let accumulate = if keys.contains("\"accumulate\"") { 2 } else { 1 };
        assert_eq!(json["accumulate"], accumulate);
        let expected = if is_listed { rates } else { "null" };
        assert_eq!(json["groups"][0]["rates"].to_string(), expected.replace(' ', ""));
    }
}

/// Numbers too large for JSON, and texts that would steer a terminal.
#[test]
fn an_inspection_prints_anything() {
    let files = Files::new(&trace(), r#"{"optimizer": "adam"}"#);
    let file = files.path("file.safetensors");
    save(&files, &file);
    let mut container = Container::open(Cursor::new(files.bytes("file.safetensors")))
        .unwrap_or_else(|e| panic!("{e}"));
    let mut saved = Saved::of(&container).unwrap_or_else(|e| panic!("{e:?}"));
    saved.notes = [("config", "my own"), ("place", "Köln\u{1b}[2J\n\u{9b}\u{202e}\"e\u{301}\"")]
        .map(|(key, note)| (key.to_owned(), note.to_owned()))
        .into();
    let name = |name: &str| name.replace("scale", "sc\u{1b}ale");
    saved.params.iter_mut().for_each(|param| param.name = name(&param.name));
    let entries = container.entries();
    let named: Vec<Entry> =
        entries.iter().map(|entry| Entry { name: name(&entry.name), ..entry.clone() }).collect();
    let json = saved.to_json().unwrap_or_else(|e| panic!("{e}"));
    let metadata = [(wgpu_optim::checkpoint::KEY.to_owned(), json)].into();
    let mut writer = Writer::new(Vec::new(), &metadata, &named).unwrap_or_else(|e| panic!("{e}"));
    for entry in &entries {
        let mut data = vec![0; entry.bytes() as usize];
        container.read(&entry.name, 0, &mut data).unwrap_or_else(|e| panic!("{e}"));
        let large = match &*entry.name {
            "state.w.exp_avg" => 1e308,
            "state.w.exp_avg_sq" => 1e307,
            _ => 0.0,
        };
        if large > 0.0 {
            data = (0..data.len() / 8).flat_map(|_| f64::to_le_bytes(large)).collect();
        }
        writer.write(&data).unwrap_or_else(|e| panic!("{e}"));
    }
    files.write("file.safetensors", &writer.finish().unwrap_or_else(|e| panic!("{e}")));
    let (text, json) = inspected(&file);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
    for part in [
        "note config: my own\n",
        "note place: Köln\\u{1b}[2J\\n\\u{9b}\\u{202e}\"e\u{301}\"\n",
        "  sc\\u{1b}ale [",
        "norm inf          largest 1.000000e308",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert_eq!(json["accumulate"], serde_json::Value::Null);
    assert_eq!(json["groups"][0]["rates"], serde_json::Value::Null);
    let of = |slot: &str| {
        let params = json["groups"][0]["params"].as_array().into_iter().flatten();
        let mut tensors = params.flat_map(|param| param["tensors"].as_array()).flatten();
        let found = tensors.find(|tensor| tensor["name"] == format!("state.w.{slot}"));
        found.map(|tensor| tensor["norm"].clone()).unwrap_or_default()
    };
    assert_eq!(of("exp_avg"), "inf");
    let norm = of("exp_avg_sq").as_f64().unwrap_or_default();
    // Six numbers, whose squares are larger than any f64.
    assert!((norm / (1e307 * 6_f64.sqrt()) - 1.0).abs() < 1e-12, "{norm}");
}
