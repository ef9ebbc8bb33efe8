//! The example `digits`: its own tests, and the program as it is run.

#[path = "../examples/digits/main.rs"]
#[allow(dead_code, reason = "the program itself runs as a process; this is for its tests")]
mod example;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program, next to which `cargo test` has built this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.ancestors().nth(2).expect("tests lie in target/<profile>/deps");
    let program = profile.join("examples").join(format!("digits{}", std::env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is not built: `cargo test` does it, and so does `cargo build --example digits`",
        program.display(),
    );
    program
}

fn run(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().expect("the example starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs the short sweep and returns what it printed.
fn quick(out: &Path) -> String {
    let Output { status, stdout, stderr } =
        run(&["--quick", "--out", out.to_str().expect("a temporary path is text")]);
    assert!(status.success(), "{status}\n{}\n{}", text(&stdout), text(&stderr));
    text(&stdout)
}

/// The lines of the table, from the head to the mean.
fn table(stdout: &str) -> Vec<&str> {
    let from = stdout.lines().skip_while(|line| !line.starts_with("learning rate"));
    from.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn the_short_sweep_prints_a_table_and_writes_two_pictures() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let out = directory.path().join("new/plots");
    let stdout = quick(&out);

    let adapter = stdout.lines().next().unwrap_or_default();
    assert!(adapter.ends_with("software)") || adapter.ends_with("hardware)"), "{stdout}");
    let rows = table(&stdout);
    let cells: Vec<&str> = rows[0].split_whitespace().collect();
    assert_eq!(cells, ["learning", "rate", "SGD", "RMSProp", "ADAM"], "{stdout}");
    let names: Vec<_> = rows[1..].iter().filter_map(|row| row.split_whitespace().next()).collect();
    assert_eq!(names, ["1e-3", "1e-2", "1e-1", "mean"], "{stdout}");
    for said in ["SGD's: in this sweep", "ADAM's range is", "90 % of its best"] {
        assert!(stdout.contains(said), "`{said}` is missing\n{stdout}");
    }

    for name in ["loss.png", "accuracy.png"] {
        let file = File::open(out.join(name)).expect(name);
        let mut reader = png::Decoder::new(file).read_info().expect(name);
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels).expect(name);
        assert_eq!((info.width, info.height), (1200, 760), "{name}");
        let drawn = pixels.iter().filter(|&&value| value < 128).count();
        assert!(drawn > 1000, "{name} is empty");
    }

    assert_eq!(table(&quick(&out)), rows, "another run gives other numbers");
}

#[test]
fn an_unknown_argument_is_refused_with_the_usage() {
    let Output { status, stdout, stderr } = run(&["--fast"]);
    assert_eq!(status.code(), Some(1));
    assert_eq!(text(&stdout), "");
    let message = text(&stderr);
    assert!(
        message.contains("unknown argument `--fast`") && message.contains("usage:"),
        "{message}"
    );
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let below = file.path().join("plots");
    let Output { status, stderr, .. } = run(&["--quick", "--out", &below.to_string_lossy()]);
    assert_eq!(status.code(), Some(1));
    let message = text(&stderr);
    assert!(message.contains("cannot create the directory"), "{message}");
}
