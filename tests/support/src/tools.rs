//! Programs that tests start: those that a machine may lack, and this crate's examples.

use std::io::Write as _;
use std::path::PathBuf;

use crate::ok;

/// Ends a test whose `tool` is not installed: it fails, unless `WGPU_OPTIM_WITHOUT`, a list with
/// commas, names the tool. Then the terminal is told what went unchecked.
///
/// A tool that is there is used, whatever the list says.
#[track_caller]
pub fn missing(tool: &str, unchecked: &str, remedy: &str) {
    let list = std::env::var("WGPU_OPTIM_WITHOUT").unwrap_or_default();
    assert!(
        list.split(',').any(|name| name.trim() == tool),
        "{tool} is not there, so {unchecked} would go unchecked. {remedy}; or do without it \
         knowingly: WGPU_OPTIM_WITHOUT={tool}"
    );
    // Written past the harness, which hides what a passing test prints.
    let _ = writeln!(std::io::stderr(), "NOT CHECKED, without {tool}: {unchecked}");
}

/// The program of an example, which `cargo test` has built beside the tests.
#[track_caller]
pub fn example(name: &str) -> PathBuf {
    let test = ok(std::env::current_exe());
    // A test lies in `target/<profile>/deps`.
    let profile = test.ancestors().nth(2).unwrap_or(&test);
    let program = profile.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing; run `cargo build --examples`", program.display());
    program
}
