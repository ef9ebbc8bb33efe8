//! `wgpu-optim bench` runs, and says what it measured and on what.

use std::process::Command;

use serde_json::Value;
use wgpu_optim::rule;

#[test]
fn a_quick_run_writes_its_table_json_and_plot() {
    let directory = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let [json, plot] = ["bench.json", "bench.png"].map(|name| directory.path().join(name));
    let done = Command::new(env!("CARGO_BIN_EXE_wgpu-optim"))
        .args(["bench", "--quick", "--sizes", "1000,4K", "--rules", "adam,sgd", "--json"])
        .args([json.as_os_str(), "--plot".as_ref(), plot.as_os_str()])
        .output()
        .unwrap_or_else(|e| panic!("{e}"));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));

    let text = std::fs::read_to_string(&json).unwrap_or_else(|e| panic!("{e}"));
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}"));
    let adapter = report["adapter"].as_str().unwrap_or_default();
    assert!(said.starts_with(adapter) && !adapter.is_empty(), "{said}");
    assert_eq!(said.contains("emulates a GPU"), report["software"] == true);
    let rows = report["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    let expected = [("adam", 1000, 28), ("adam", 4096, 28), ("sgd", 1000, 12), ("sgd", 4096, 12)];
    assert_eq!(rows.len(), expected.len());
    for (row, (rule, elements, bytes)) in rows.iter().zip(expected) {
        assert_eq!(row["rule"], rule);
        assert_eq!(row["elements"], elements);
        assert_eq!(row["bytes_per_parameter"].as_f64(), Some(f64::from(bytes)));
        assert_eq!(row["state_format"], "f32");
        for number in ["step_ms", "stream_ms", "cpu_ms", "cpu1_ms", "fraction_of_stream"] {
            assert!(row[number].as_f64().is_some_and(|x| x > 0.0), "{number}: {row}");
        }
    }
    let image = std::fs::File::open(&plot).unwrap_or_else(|e| panic!("{e}"));
    let reader = png::Decoder::new(image).read_info().unwrap_or_else(|e| panic!("{e}"));
    assert!(reader.info().width >= 1000);
}

#[test]
fn unknown_rules_and_sizes_are_refused() {
    let names: Vec<_> = rule::ALL.iter().map(|entry| entry.name).collect();
    let known = format!("unknown rule `no-such-rule`; known are {}", names.join(", "));
    for (option, value, words) in [
        ("--rules", "no-such-rule", &*known),
        ("--sizes", "0", "a number of elements, at least 1, like 65536, 64K or 16M"),
        ("--sizes", "1G", "a number of elements, at least 1, like 65536, 64K or 16M"),
    ] {
        let mut bench = Command::new(env!("CARGO_BIN_EXE_wgpu-optim"));
        let done = bench.args(["bench", option, value]).output();
        let done = done.unwrap_or_else(|e| panic!("{e}"));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2));
        assert!(said.contains(words), "{said}");
    }
}
