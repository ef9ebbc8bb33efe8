//! The files under `shaders/`.

use std::path::{Path, PathBuf};

use wgpu_optim::kernel::{control_kernels, kernels};
use wgpu_optim::rule;

/// Every WGSL file and its text, by path from `shaders/`.
fn files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for path in listed(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "wgsl") {
                let text = std::fs::read_to_string(&path);
                let text = text.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                let path = path.strip_prefix(&root).unwrap_or(&path).to_owned();
                files.push((path, text));
            }
        }
    }
    files.sort();
    files
}

fn listed(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// Every identifier and keyword of a WGSL text, comments left out.
fn words(wgsl: &str) -> impl Iterator<Item = &str> {
    let code = wgsl.lines().map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
}

/// A rule's file has a row in `rule::ALL`, and a row its file.
#[test]
fn rules_are_the_files_in_shaders_rule() {
    let mut rows: Vec<_> = rule::ALL
        .iter()
        .map(|entry| {
            (Path::new("rule").join(format!("{}.wgsl", entry.name)), entry.wgsl.to_owned())
        })
        .collect();
    rows.sort();
    let is_rule = |(path, _): &(PathBuf, String)| path.starts_with("rule");
    let files: Vec<_> = files().into_iter().filter(is_rule).collect();
    assert_eq!(files, rows);
}

/// `role`, which the host replaces in storage formats, is part of no other identifier anywhere.
#[test]
fn role_is_a_word_of_formats_only() {
    for (path, text) in files() {
        let is_format = path.starts_with("format");
        let has_role = words(&text).any(|word| word.contains("role"));
        assert_eq!(has_role, is_format, "{}", path.display());
    }
    for kernel in kernels() {
        assert!(!words(&kernel.wgsl).any(|word| word.contains("role")), "{}", kernel.name);
    }
}

/// Every file is in some kernel.
#[test]
fn no_file_is_unused() {
    let kernels: Vec<_> = kernels().into_iter().chain(control_kernels()).collect();
    for (path, text) in files() {
        let served = ["param", "grad", "state"].map(|role| text.replace("role", role));
        let used = kernels.iter().any(|k| served.iter().any(|text| k.wgsl.contains(text)));
        assert!(used, "{} is in no kernel", path.display());
    }
}
