//! Tint, the WGSL compiler of Chromium and Dawn.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wgpu_optim::kernel::Kernel;

use crate::{runs, subject};

/// Where `scripts/test` installs npm's package `webgpu`, which has Tint in it.
fn npm() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.unwrap_or(Path::new("target")).join("tint-npm/node_modules/webgpu/index.js")
}

/// Tint accepts kernels too.
#[test]
fn tint_accepts_kernels() {
    let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("no temporary folder: {e}"));
    let few = subject::few().iter();
    let files: Vec<PathBuf> = few.map(|one| write(folder.path(), &one.kernel)).collect();
    if runs("tint") {
        for file in &files {
            let mut tint = Command::new("tint");
            accepted(tint.args(["-f", "wgsl"]).arg(file).output());
        }
    } else if runs("node") && npm().exists() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shaders/tint.mjs");
        let mut node = Command::new("node");
        accepted(node.arg(script).arg(npm()).args(&files).output());
    } else {
        support::tools::missing(
            "tint",
            "every kernel in Tint",
            "Run scripts/test, which installs it",
        );
    }
}

fn write(folder: &Path, kernel: &Kernel) -> PathBuf {
    let path = folder.join(format!("{}.wgsl", kernel.name));
    if let Err(e) = std::fs::write(&path, &kernel.wgsl) {
        panic!("{}: {e}", path.display());
    }
    path
}

fn accepted(said: std::io::Result<Output>) {
    let said = said.unwrap_or_else(|e| panic!("Tint did not start: {e}"));
    let [out, err] = [&said.stdout, &said.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(said.status.success(), "{err}{out}");
}
