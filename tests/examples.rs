//! The small examples run and say what they should; `tests/digits.rs` runs `digits`.

use std::process::Command;

use support::ok;
use support::tools::example;

/// The text that an example prints.
fn run(name: &str, arguments: &[&str]) -> String {
    let done = ok(Command::new(example(name)).args(arguments).output());
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    said
}

#[test]
fn own_loop_fits_its_line() {
    assert!(run("own_loop", &[]).contains("y = 3.0000 x + -2.0000"));
}

#[test]
fn framework_tensors_move() {
    let said = run("framework_tensors", &[]);
    // 1 − 0.99¹⁰⁰ of a gradient of ones.
    assert!(said.contains("square_avg 0.6340"), "{said}");
}

#[test]
fn print_kernel_prints_what_it_lists() {
    let names = run("print_kernel", &[]);
    assert!(names.lines().count() > 50, "{names}");
    let wgsl = run("print_kernel", &["adam-AMSGRAD-vec4-table-own-update"]);
    assert!(wgsl.contains("fn direction") && wgsl.contains("fn update"), "{wgsl}");
    let directory = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    run("print_kernel", &["--all", &directory.path().to_string_lossy()]);
    let written = std::fs::read_dir(directory.path()).map(Iterator::count);
    assert_eq!(written.unwrap_or(0), names.lines().count());
}

#[test]
#[cfg(feature = "cli")]
fn landscape_draws_every_rule_or_one() {
    let directory = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let out = directory.path().join("new/sheet.png");
    let sheet = |more: &[&str]| {
        let arguments = ["--points", "64", "--steps", "20", "--out", &out.to_string_lossy()];
        let said = run("landscape", &[&arguments[..], more].concat());
        let reader = png::Decoder::new(ok(std::fs::File::open(&out))).read_info();
        (said, reader.map_or(0, |reader| reader.info().height))
    };
    let (said, tall) = sheet(&[]);
    for entry in wgpu_optim::rule::ALL {
        assert!(said.contains(&format!("| `{}` | ", entry.name)), "{said}");
    }
    let (said, low) = sheet(&["--config", r#"{"optimizer": "adam", "lr": 0.5}"#]);
    assert!(said.contains("rules: 1, functions: 5, points: 64, steps: 20"), "{said}");
    assert!(0 < low && low < tall, "{low} and {tall} pixels tall");
}
