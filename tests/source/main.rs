//! These tests read the text of the source: the dependencies between its modules, the length of its files,
//! and the concepts that its documentation lists.

mod concepts;
mod graph;
mod modules;
mod tokens;
mod words;

use std::path::{Path, PathBuf};

/// The most lines that a file of `src/` may have.
const MOST_LINES: usize = 400;

/// The crate's directory.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads the text of a file.
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Lists the Rust files below a directory, in order.
fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.unwrap_or_else(|e| panic!("{}: {e}", directory.display())).path();
        if path.is_dir() {
            all.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    all.sort();
    all
}

#[test]
fn no_file_is_too_long() {
    let files = rust_files(&root().join("src"));
    assert!(files.len() > 10, "only {} files were found", files.len());
    let lines = files.iter().map(|path| (path, read(path).lines().count()));
    let long: Vec<String> = lines
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "files of more than {MOST_LINES} lines:\n{}", long.join("\n"));
}
