//! The command around `replay`: streams, what it says, other files, and the other subcommands.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use wgpu_optim::rule;

use crate::files::{Files, Out};
use crate::{ADAM, trace};

/// Runs the command with something on its standard input.
pub(crate) fn run(arguments: &[&str], input: &[u8], backend: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wgpu-optim"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(backend) = backend {
        command.env("WGPU_BACKEND", backend);
    }
    let mut child = support::ok(command.spawn());
    if let Some(mut stdin) = child.stdin.take() {
        // A command that has said no reads nothing.
        let _ = stdin.write_all(input);
    }
    support::ok(child.wait_with_output())
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn replay_reads_and_writes_streams_and_says_so() {
    let files = Files::new(&trace(), ADAM);
    let expected = files.replay(true).unwrap_or_else(|e| panic!("{e}"));
    let config = files.path("config.json");
    let input = files.bytes("trace.safetensors");
    let done = run(&["replay", "-", "--optimizer", &config, "--out", "-", "--cpu"], &input, None);
    let said = text(&done.stderr);
    assert!(done.status.success(), "{said}");
    assert_eq!(Out::of(&done.stdout), expected);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(lines[0].starts_with("replay: 4 steps, 0 skipped, on the CPU in f64, "), "{said}");
    assert!(lines[0].ends_with(" s, written to standard output"), "{said}");

    let out = files.path("out.safetensors");
    let trace = files.path("trace.safetensors");
    let done = run(&["replay", &trace, "--optimizer", &config, "--out", &out], b"", None);
    let said = text(&done.stderr);
    let last = said.lines().last().unwrap_or_default();
    let adapter = support::gpu().describe();
    assert!(last.starts_with(&format!("replay: 4 steps, 0 skipped, on {adapter}, ")), "{said}");
    assert!(last.ends_with(&format!(" s, written to {out}")), "{said}");
    assert!(done.stdout.is_empty());

    let short = run(&["replay", "-", "--optimizer", &config, "--out", "-", "--cpu"], b"x", None);
    assert_eq!(short.status.code(), Some(2));
    let said = text(&short.stderr);
    assert_eq!(said, "wgpu-optim: standard input: it has 1 bytes, a safetensors file at least 8\n");
    assert!(short.stdout.is_empty());
}

#[test]
fn other_files_are_known_by_their_content() {
    let files = Files::new(&trace(), ADAM);
    for (bytes, what) in [
        (
            &b"PK\x03\x04\x00\x00\x08\x08\x00\x00data.pkl"[..],
            "a zip archive, as torch.save and numpy.savez write",
        ),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a pickle, as torch.save once wrote"),
        (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}", "a pickle, as torch.save once wrote"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "a NumPy array"),
    ] {
        files.write("trace.safetensors", bytes);
        let said = files.replay(true).expect_err(what);
        let (trace, own) =
            (files.path("trace.safetensors"), "replay reads safetensors. In Python:");
        assert_eq!(said, format!("{trace}: it is {what}; {own}"));
        let config = files.path("config.json");
        let done =
            run(&["replay", &trace, "--optimizer", &config, "--out", "-", "--cpu"], b"", None);
        let said = text(&done.stderr);
        assert_eq!(said.lines().filter(|line| line.starts_with("    ")).count(), 3, "{said}");
    }
}

#[test]
fn help_says_where_the_keys_are() {
    let done = run(&["replay", "--help"], b"", None);
    let said = text(&done.stdout);
    assert!(said.contains("`wgpu-optim rules`") && said.contains("README"), "{said}");
}

/// The README has the table that the command makes of the registry.
#[test]
fn the_readme_has_the_table_of_rules() {
    let table = text(&run(&["rules", "--markdown"], b"", None).stdout);
    let readme = include_str!("../../README.md");
    assert!(
        readme.contains(&table),
        "put the output of `wgpu-optim rules --markdown` into the README:\n{table}"
    );
}

/// The list of rules has the numbers of the registry, and the formulas of the documentation.
#[test]
fn rules_are_listed() {
    let done = run(&["rules", "--json"], b"", Some("no-backend-is-needed"));
    assert!(done.status.success());
    let rules: Vec<Value> = support::ok(serde_json::from_slice(&done.stdout));
    let said = text(&run(&["rules"], b"", None).stdout);
    assert_eq!(rules.len(), rule::ALL.len());
    for (listed, entry) in rules.iter().zip(rule::ALL) {
        assert_eq!(listed["name"], entry.name);
        assert!(said.contains(entry.paper), "{}", entry.name);
        let path = format!("{}/src/rule/{}.rs", env!("CARGO_MANIFEST_DIR"), entry.name);
        let source = support::ok(std::fs::read_to_string(path));
        for line in entry.formula.lines() {
            assert!(said.contains(&format!("    {line}\n")), "{line}");
            assert!(source.contains(&format!("/// {line}\n")), "{}: {line}", entry.name);
        }
        for variant in (entry.variants)() {
            let slots = variant.rule.slots().len();
            let rows = listed["kept"].as_array().into_iter().flatten();
            let same = |row: &&Value| {
                let on: Vec<_> =
                    variant.rule.switches().into_iter().filter(|s| s.1).map(|s| s.0).collect();
                row["switches"] == serde_json::json!(on)
            };
            let row = rows.into_iter().find(same).unwrap_or_else(|| panic!("{variant:?}"));
            assert_eq!(row["state_bytes"], 4 * slots);
            assert_eq!(row["step_bytes"], 12 + 8 * slots);
        }
        // Each key with its default is a config, and so is each name and convention.
        let mut config = serde_json::json!({"optimizer": entry.name});
        for option in ["options", "general"]
            .iter()
            .flat_map(|key| listed[*key].as_array().into_iter().flatten())
        {
            let name = option["name"].as_str().unwrap_or_default();
            config[name] = option["default"].clone();
            assert!(said.contains(option["range"].as_str().unwrap_or("no range")));
        }
        support::ok(wgpu_optim::config::config(&config.to_string()));
        for (key, list) in [("convention", "conventions"), ("optimizer", "presets")] {
            for named in listed[list].as_array().into_iter().flatten() {
                let mut config = serde_json::json!({"optimizer": entry.name});
                config[key] = named["name"].clone();
                support::ok(wgpu_optim::config::config(&config.to_string()));
            }
        }
    }
}

#[test]
fn a_wrong_backend_is_called_wrong() {
    let files = Files::new(&trace(), ADAM);
    let (trace, config) = (files.path("trace.safetensors"), files.path("config.json"));
    let replay = ["replay", &trace, "--optimizer", &config, "--out", "-"];
    for (value, name) in [("vulcan", "vulcan"), ("vulkan,cuda", "cuda"), ("", "")] {
        for arguments in [&["adapters"][..], &["verify"], &["bench"], &replay] {
            let done = run(arguments, b"", Some(value));
            assert_eq!(done.status.code(), Some(2), "{arguments:?}");
            assert_eq!(
                text(&done.stderr),
                format!(
                    "wgpu-optim: WGPU_BACKEND is `{value}`, and `{name}` is no backend; name one or more of vulkan, metal, dx12, gl, or unset WGPU_BACKEND to try all\n"
                )
            );
        }
        let cpu = run(&[&replay[..], &["--cpu"]].concat(), b"", Some(value));
        assert!(cpu.status.success(), "the CPU needs no backend");
    }
}

#[test]
fn shells_complete() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = run(&["completions", shell], b"", None);
        assert!(done.status.success());
        let script = text(&done.stdout);
        assert!(
            ["replay", "rules", "schedule", "completions"].iter().all(|word| script.contains(word)),
            "{shell}"
        );
    }
}

#[test]
fn verify_writes_json_alone() {
    let done = run(&["verify", "--json"], b"", None);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let report: Value = support::ok(serde_json::from_slice(&done.stdout));
    assert_eq!(report["adapter"], support::gpu().describe());
    assert_eq!(report["passed"], true);
    let rows = report["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(rows.len(), wgpu_optim::verify::rows());
    for row in rows {
        assert!(row["name"].is_string() && row["passed"] == true, "{row}");
        assert!(row["worst"].as_f64() <= row["bound"].as_f64(), "{row}");
    }
}
