//! The files under `shaders/`.

use std::path::{Path, PathBuf};

use wgpu_optim::kernel::{control_kernels, kernels};
use wgpu_optim::{Format, rule};

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

/// `role` and `codec`, which the host replaces in accesses, are part of no other identifier anywhere.
#[test]
fn role_and_codec_are_words_of_accesses_only() {
    for (path, text) in files() {
        for word in ["role", "codec"] {
            let replaced = words(&text).any(|w| w.contains(word));
            let may = path.starts_with("access")
                || path.ends_with("stochastic.wgsl")
                || path.ends_with("param/master.wgsl");
            assert!(!replaced || may, "{} has {word}", path.display());
        }
    }
    for kernel in kernels() {
        let left = |word: &str| word.contains("role") || word.contains("codec");
        assert!(!words(&kernel.wgsl).any(left), "{}", kernel.name);
    }
}

/// Every file is in some kernel, but the one for a rule with more slots than any of this crate's.
#[test]
fn no_file_is_unused() {
    let kernels: Vec<_> = kernels().into_iter().chain(control_kernels()).collect();
    for (path, text) in files() {
        if path.ends_with("access/state_4.wgsl") {
            continue;
        }
        let roles = ["param", "grad", "slot_0", "slot_1", "slot_2", "sum", "ema", "copy", "lower"];
        let served = roles.map(|role| text.replace("role", role).replace("codec", "bf16"));
        let used = kernels.iter().any(|k| served.iter().any(|text| k.wgsl.contains(text)));
        assert!(used, "{} is in no kernel", path.display());
    }
}

/// A 16-bit format is one file, called as the format.
#[test]
fn formats_are_the_files_in_shaders_format() {
    let is_format = |(path, _): &(PathBuf, String)| path.starts_with("format");
    let files: Vec<_> = files().into_iter().filter(is_format).map(|(path, _)| path).collect();
    let named = |format: Format| Path::new("format").join(format!("{}.wgsl", format.name()));
    let mut expected: Vec<_> = Format::ALL[1..].iter().map(|format| named(*format)).collect();
    expected.sort();
    assert_eq!(files, expected);
}
