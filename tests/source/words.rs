//! Documents and comments are easy to read: no line is too long, and no sentence at the start of a comment or a
//! line begins with a word that makes its reader look for the noun.

use std::path::{Path, PathBuf};

use crate::{read, root};

/// The most characters in a line of a document.
const MOST: usize = 120;

/// The words that begin neither a comment nor a sentence at the start of a line.
const WRONG: [&str; 3] = ["What", "Those", "Of"];

/// The directories whose files nobody here wrote, or that hold no text.
const OTHERS: [&str; 5] = ["target", "node_modules", "golden", "golden_control", ".git"];

/// Lists the files of one kind below a directory, in order.
fn files(directory: &Path, kind: &str) -> Vec<PathBuf> {
    let entries =
        std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.unwrap_or_else(|e| panic!("{}: {e}", directory.display())).path();
        let other = path.file_name().is_some_and(|name| OTHERS.iter().any(|other| name == *other));
        if path.is_dir() && !other {
            all.extend(files(&path, kind));
        } else if path.extension().is_some_and(|extension| extension == kind) {
            all.push(path);
        }
    }
    all.sort();
    all
}

/// Whether a text begins with one of the wrong words.
fn is_wrong(text: &str) -> bool {
    let begins = |word: &&str| {
        let rest = text.strip_prefix(*word);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    WRONG.iter().any(begins)
}

/// The prose of a document: its lines with their numbers, but for code, tables, headings and comments of HTML.
fn prose(document: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut all = Vec::new();
    for (line, text) in (1..).zip(document.lines()) {
        let fence = text.trim_start().starts_with("```");
        fenced ^= fence;
        let apart = ["|", "#", "<!--"].iter().any(|start| text.starts_with(start));
        if !fence && !fenced && !apart && !text.starts_with("    ") {
            all.push((line, text));
        }
    }
    all
}

/// Finds the faults of a document.
fn faults_of_document(document: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ended = true;
    let mut last = 0;
    for (line, text) in prose(document) {
        let length = text.chars().count();
        if length > MOST {
            wrong.push(format!("{line}: {length} characters"));
        }
        let text = text.trim_start_matches(['-', '*', ' ', '>']);
        if is_wrong(text) && (ended || line > last + 1) {
            wrong.push(format!("{line}: {text}"));
        }
        ended = text.is_empty() || text.trim_end().ends_with(['.', ':', '!', '?']);
        last = line;
    }
    wrong
}

/// Finds the comments of a source that begin with a wrong word. A comment goes on where the line before it is a
/// comment that has not ended its sentence.
fn faults_of_source(source: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut ended = true;
    for (line, text) in (1..).zip(source.lines()) {
        let text = text.trim_start();
        let (whole, comment) = match text.split_once("//") {
            Some(("", comment)) => (true, comment),
            Some((code, comment)) if code.ends_with(' ') => (false, comment),
            _ => {
                ended = true;
                continue;
            }
        };
        let comment = comment.trim_start_matches(['/', '!']).trim();
        if is_wrong(comment) && (ended || !whole) {
            wrong.push(format!("{line}: {comment}"));
        }
        ended = !whole || comment.is_empty() || comment.ends_with(['.', ':', '!', '?', ';']);
    }
    wrong
}

/// Checks every file of one kind.
fn check(kind: &str, faults: fn(&str) -> Vec<String>) {
    let files = files(root(), kind);
    assert!(files.len() > 5, "only {} files of kind {kind} were found", files.len());
    let wrong: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
            faults(&read(path)).into_iter().map(move |fault| format!("{name}:{fault}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn documents_are_easy_to_read() {
    check("md", faults_of_document);
}

#[test]
fn comments_begin_with_a_noun() {
    check("rs", faults_of_source);
    check("wgsl", faults_of_source);
}

#[test]
fn faults_of_a_document_are_found() {
    let long = "ä".repeat(121);
    assert_eq!(faults_of_document(&long), ["1: 121 characters"]);
    assert!(faults_of_document(&"ä".repeat(120)).is_empty());
    assert!(faults_of_document(&format!("| {long} |\n```\n{long}\n```\n    {long}")).is_empty());
    assert_eq!(faults_of_document("- Of all."), ["1: Of all."]);
    assert_eq!(faults_of_document("It ends.\nWhat goes on."), ["2: What goes on."]);
    assert!(faults_of_document("Often the rule\nOf three.\n\nOften.").is_empty());
}

#[test]
fn faults_of_a_source_are_found() {
    assert_eq!(faults_of_source("/// What it is.\nfn f() {}"), ["1: What it is."]);
    let source = "x ## Those two\n## One.\n##! Of it.".replace("##", "//");
    assert_eq!(faults_of_source(&source), ["1: Those two", "3: Of it."]);
    assert!(faults_of_source("// One\n// Of two.\nlet url = \"http://What\"; // of").is_empty());
}
