//! The example `transformer`: its own tests, among them that of its gradients, and the program as it is run.

#[path = "../examples/transformer/main.rs"]
#[allow(dead_code, reason = "the program itself runs as a process; this is for its tests")]
mod program;

use std::process::Command;

use support::ok;
use support::tools::example;

fn run(arguments: &[&str]) -> String {
    let done = ok(Command::new(example("transformer")).args(arguments).output());
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    said
}

/// The validation losses of a training, in order.
fn losses(said: &str) -> Vec<f64> {
    let lines = said.lines().filter(|line| line.starts_with("step "));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

#[test]
fn a_short_training_lowers_the_loss() {
    for format in ["bf16", "block8"] {
        let losses = losses(&run(&["--steps", "30", "--state-format", format]));
        assert_eq!(losses.len(), 20, "{format}: {losses:?}");
        // A model that knows only how frequent each character is has 3.249.
        assert!(losses[0] > 3.5 && losses[19] < 3.2, "{format}: {losses:?}");
    }
}

#[test]
fn a_comparison_writes_a_table_a_picture_and_the_numbers() {
    let directory = ok(tempfile::tempdir());
    let [png, json] =
        ["new/curves.png", "new/numbers.json"].map(|name| directory.path().join(name));
    let [out, numbers] = [&png, &json].map(|path| path.to_string_lossy().into_owned());
    let arguments =
        ["--compare", "--seeds", "2", "--steps", "3", "--out", &out, "--json", &numbers];
    let said = run(&arguments);
    let rows: Vec<&str> = said.lines().filter(|line| line.contains(" % |")).collect();
    assert!(rows[0].starts_with("| f32 | ") && rows[0].contains("| +0.000 % |"), "{said}");

    let reader = ok(png::Decoder::new(ok(std::fs::File::open(&png))).read_info());
    assert_eq!((reader.info().width, reader.info().height), (1200, 760));
    let numbers: serde_json::Value = ok(serde_json::from_slice(&ok(std::fs::read(&json))));
    let formats = numbers["formats"].as_array().map(Vec::len);
    assert_eq!(formats, Some(rows.len()), "{numbers}");
    assert_eq!(numbers["formats"][0]["runs"].as_array().map(Vec::len), Some(2), "{numbers}");
}
