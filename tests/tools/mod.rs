//! Programs and layers that some tests need and a machine may lack.

use std::io::Write as _;

/// Ends a test whose `tool` is not installed: it fails, unless `WGPU_OPTIM_WITHOUT`, a list with
/// commas, names the tool. Then the terminal is told what went unchecked.
///
/// A tool that is there is used, whatever the list says.
#[track_caller]
pub(crate) fn missing(tool: &str, unchecked: &str, remedy: &str) {
    let list = std::env::var("WGPU_OPTIM_WITHOUT").unwrap_or_default();
    assert!(
        list.split(',').any(|name| name.trim() == tool),
        "{tool} is not there, so {unchecked} would go unchecked. {remedy}; or do without it \
         knowingly: WGPU_OPTIM_WITHOUT={tool}"
    );
    // Written past the harness, which hides what a passing test prints.
    let _ = writeln!(std::io::stderr(), "NOT CHECKED, without {tool}: {unchecked}");
}
