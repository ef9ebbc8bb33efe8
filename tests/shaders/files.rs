//! The files under `shaders/`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use wgpu_optim::kernel::{Kernel, control_kernels, kernels};
use wgpu_optim::{Format, StateFormat, rule};

/// Every kernel that is listed.
fn all_kernels() -> &'static [Kernel] {
    static ALL: LazyLock<Vec<Kernel>> =
        LazyLock::new(|| kernels().into_iter().chain(control_kernels()).collect());
    &ALL
}

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

/// `role` and `codec`, which the host replaces in accesses, are part of no other identifier anywhere. Weights
/// have the parameter's codec, too, and files of blocks have a slot's.
#[test]
fn role_and_codec_are_words_of_accesses_only() {
    for (path, text) in files() {
        for (word, folders) in
            [("role", &["access"][..]), ("codec", &["access", "block", "weight"])]
        {
            let replaced = words(&text).any(|w| w.contains(word));
            let may = folders.iter().any(|folder| path.starts_with(folder));
            assert!(!replaced || may, "{} has {word}", path.display());
        }
    }
    for kernel in all_kernels() {
        let left = |word: &str| word.contains("role") || word.contains("codec");
        assert!(!words(&kernel.wgsl).any(left), "{}", kernel.name);
    }
}

/// The names that stand for `codec` in kernels.
fn codecs() -> Vec<String> {
    let formats = Format::ALL.map(|format| format.name().to_owned());
    let blocks = StateFormat::ALL.into_iter().flat_map(|format| {
        [false, true].into_iter().filter_map(move |signed| Some(format.code(signed)?.name()))
    });
    formats.into_iter().chain(["raw".to_owned()]).chain(blocks).collect()
}

/// Every file is in some kernel.
#[test]
fn no_file_is_unused() {
    let facts = || all_kernels().iter().filter_map(|kernel| kernel.facts.as_ref());
    let operands = facts().flat_map(|facts| &facts.operands);
    let roles: BTreeSet<&str> = operands.map(|operand| operand.name.as_str()).collect();
    let codecs = codecs();
    for (path, text) in files() {
        let served = |codec: &String| {
            let coded = text.replace("codec", codec);
            roles.iter().map(move |role| coded.replace("role", role)).collect::<Vec<_>>()
        };
        let served: BTreeSet<String> = codecs.iter().flat_map(served).collect();
        let is_in = |kernel: &Kernel| served.iter().any(|s| kernel.wgsl.contains(s.trim_end()));
        assert!(all_kernels().iter().any(is_in), "{} is in no kernel", path.display());
    }
}

/// The first columns of the tables in `shaders/README.md` name every file but the rules', and nothing else.
#[test]
fn the_readme_names_every_file() {
    let readme = include_str!("../../shaders/README.md");
    let table = readme.lines().filter(|line| line.starts_with("| `"));
    let first = table.filter_map(|line| line.split('|').nth(1));
    let quoted = first.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let named: BTreeSet<PathBuf> =
        quoted.map(|name| PathBuf::from(format!("{name}.wgsl"))).collect();
    let files = files().into_iter().map(|(path, _)| path);
    let files: BTreeSet<PathBuf> = files.filter(|path| !path.starts_with("rule")).collect();
    assert_eq!(named, files);
}

/// A 16-bit format is one file, called as the format; `raw` is 16 bits that are no number.
#[test]
fn formats_are_the_files_in_shaders_format() {
    let is_format = |(path, _): &(PathBuf, String)| path.starts_with("format");
    let files: Vec<_> = files().into_iter().filter(is_format).map(|(path, _)| path).collect();
    let named = |format: Format| Path::new("format").join(format!("{}.wgsl", format.name()));
    let mut expected: Vec<_> = support::halves().map(named).collect();
    expected.push(Path::new("format").join("raw.wgsl"));
    expected.sort();
    assert_eq!(files, expected);
}

/// A heading of a kernel's text names a file, and the text below it is that file's, up to the words that the host
/// replaces.
#[test]
fn headings_say_where_each_file_begins() {
    const LINES: &str = "lines of src/kernel/assemble.rs";
    let files: BTreeMap<String, String> = files()
        .into_iter()
        .map(|(path, text)| (format!("shaders/{}", path.display()), text.trim_end().to_owned()))
        .collect();
    let codecs = codecs();
    for Kernel { name, wgsl, .. } in all_kernels() {
        let parts = wgsl.strip_prefix("// --- ");
        let parts = parts.unwrap_or_else(|| panic!("{name} begins without a heading"));
        for part in parts.split("\n// --- ") {
            let (heading, text) = part.split_once(" ---\n").unwrap_or((part, ""));
            if heading == LINES {
                continue;
            }
            let (path, role) = heading.split_once(" for ").unwrap_or((heading, "role"));
            let file = files.get(path).unwrap_or_else(|| panic!("{name}: `{heading}` is no file"));
            let file = file.replace("role", role);
            let is = |codec: &String| file.replace("codec", codec) == text.trim_end();
            assert!(codecs.iter().any(is), "{name}: the text below `{heading}` is not the file's");
        }
    }
}
