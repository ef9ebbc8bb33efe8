//! The table of concepts in `docs/CONCEPTS.md` is short, names what exists and its file, and misses no inner type.

use std::collections::BTreeSet;

use crate::tokens::{tokens, without_tests};
use crate::{read, root, rust_files};

/// The most concepts that a contributor must know.
const MOST: usize = 30;

/// The lines around the table.
const BEGIN: &str = "<!-- concepts -->";
const END: &str = "<!-- /concepts -->";

/// The modules whose `pub(crate)` types are all concepts.
const LISTED: [&str; 4] = ["kernel", "model", "plan", "program"];

/// The words that declare a type, and those that declare any item.
const TYPES: [&str; 4] = ["struct", "enum", "trait", "type"];
const ITEMS: [&str; 7] = ["struct", "enum", "trait", "type", "const", "static", "fn"];

/// Reads the first and the last column of the table: names and files.
fn listed(document: &str) -> Result<Vec<[String; 2]>, String> {
    let lines = || document.lines().map(str::trim);
    let (begin, end) =
        (lines().position(|line| line == BEGIN), lines().position(|line| line == END));
    let (Some(begin), Some(end)) = (begin, end) else {
        return Err(format!("it has no table between the lines `{BEGIN}` and `{END}`"));
    };
    let rows: Vec<&str> =
        lines().take(end).skip(begin + 1).filter(|l| l.starts_with('|')).collect();
    // The first two rows are the head.
    let names = rows.into_iter().skip(2).map(|row| {
        let mut cells = row.trim_matches('|').split('|');
        let [first, last] = [cells.next(), cells.next_back()];
        [first, last].map(|cell| cell.unwrap_or_default().trim().trim_matches('`').to_owned())
    });
    Ok(names.collect())
}

/// Finds the names that one of `words` declares.
fn declared(tokens: &[String], words: &[&str]) -> BTreeSet<String> {
    let pairs = tokens.windows(2).filter(|pair| words.contains(&pair[0].as_str()));
    pairs.map(|pair| pair[1].clone()).collect()
}

/// Finds the names of `pub(crate)` types.
fn inner_types(tokens: &[String]) -> BTreeSet<String> {
    let inner = tokens.windows(6).filter(|window| window[..4].concat() == "pub(crate)");
    let types = inner.filter(|window| TYPES.contains(&window[4].as_str()));
    types.map(|window| window[5].clone()).collect()
}

/// Reads the tokens of a module of `src/` and all below it, or of the whole directory.
fn source(module: Option<&str>) -> Vec<String> {
    let src = root().join("src");
    let of = |path: &std::path::Path| {
        let first = path.strip_prefix(&src).ok().and_then(|inside| inside.iter().next());
        let first = first.map(|first| first.to_string_lossy().trim_end_matches(".rs").to_owned());
        module.is_none_or(|module| first.as_deref() == Some(module))
    };
    let files = rust_files(&src).into_iter().filter(|path| of(path) && !path.ends_with("tests.rs"));
    files.flat_map(|path| without_tests(&tokens(&read(&path))).0).collect()
}

/// Finds the faults of a list.
fn faults(listed: &[String], there: &BTreeSet<String>, inner: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    if listed.len() > MOST {
        wrong.push(format!("{} concepts are listed, at most {MOST} may be", listed.len()));
    }
    let mut seen = BTreeSet::new();
    for name in listed {
        if !name.split("::").all(|part| there.contains(part)) {
            wrong.push(format!("`{name}` is listed, but nothing in src/ is called so"));
        }
        if !seen.insert(name) {
            wrong.push(format!("`{name}` is listed twice"));
        }
    }
    let missing = inner.iter().filter(|name| !seen.contains(name));
    wrong.extend(missing.map(|name| format!("`{name}` is not listed")));
    wrong
}

#[test]
fn the_list_of_concepts_is_short_and_true() {
    let document = read(&root().join("docs/CONCEPTS.md"));
    let rows = listed(&document).unwrap_or_else(|e| panic!("docs/CONCEPTS.md: {e}"));
    let names: Vec<String> = rows.iter().map(|[name, _]| name.clone()).collect();
    let there = declared(&source(None), &ITEMS);
    let inner = LISTED.iter().flat_map(|module| inner_types(&source(Some(module)))).collect();
    let mut wrong = faults(&names, &there, &inner);
    for [name, file] in &rows {
        let path = root().join(file);
        if !path.is_file() || !declared(&tokens(&read(&path)), &ITEMS).contains(name) {
            wrong.push(format!("`{name}` is not declared in `{file}`"));
        }
    }
    assert!(wrong.is_empty(), "docs/CONCEPTS.md, table of types:\n{}", wrong.join("\n"));
}

#[test]
fn the_table_is_read() {
    let table = "x\n<!-- concepts -->\n| Name | Meaning | File |\n|---|---|---|\n| `A` | one | `a.rs` |\n| B::c | `D` | b |\n<!-- /concepts -->\n| `E` |";
    let rows = [["A", "a.rs"], ["B::c", "b"]].map(|row| row.map(str::to_owned));
    assert_eq!(listed(table), Ok(rows.into()));
    assert!(listed("| `A` |").is_err());
}

#[test]
fn faults_of_a_list_are_found() {
    let text =
        tokens("pub(crate) struct A; enum B {} pub(crate) trait C { fn d(); } pub type E = A;");
    let (there, inner) = (declared(&text, &ITEMS), inner_types(&text));
    let wrong = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        faults(&names, &there, &inner)
    };
    assert!(wrong(&["A", "C::d", "C", "E"]).is_empty());
    assert_eq!(wrong(&["A"]), ["`C` is not listed"]);
    assert_eq!(wrong(&["A", "A", "C"]), ["`A` is listed twice"]);
    let unknown = "`C::x` is listed, but nothing in src/ is called so";
    assert_eq!(wrong(&["A", "C", "C::x"]), [unknown]);
    let many: Vec<String> = (0..31).map(|_| "B".to_owned()).collect();
    assert!(faults(&many, &there, &inner)[0].contains("31 concepts"));
}
