//! `docs/CONVENTIONS.md` is complete and true: it has a section for each rule and a row for each convention of the
//! registry, the constructors, CONFIGs and golden files that it names exist, its figures are those computed here, and
//! its table of NaN is that of the origins.

mod constructors;
mod document;
mod figures;
mod nan;

use std::collections::BTreeSet;
use std::path::Path;

use document::{Row, Section, codes, document, sections};
use support::{metadata, ok};
use wgpu_optim::config::{Described, Part, config, rules};
use wgpu_optim::rule;

/// The group of a CONFIG that is one group.
pub(crate) fn group(json: &str) -> Part {
    let config = config(json).unwrap_or_else(|e| panic!("{json}: {e}"));
    config.groups.into_iter().next().unwrap_or_else(|| panic!("{json}: no group"))
}

/// The file stems of the golden files of rules.
fn golden_files() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = ok(std::fs::read_dir(path));
    let stems =
        entries.filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()));
    stems.filter(|stem| stem != "trace").collect()
}

/// The rule that a golden file is about, and the convention in its CONFIG.
fn golden(file: &str) -> (&'static str, String) {
    let path = format!("{}/tests/golden/{file}.safetensors", env!("CARGO_MANIFEST_DIR"));
    let json = &metadata(Path::new(&path))["config"];
    let value: serde_json::Value = ok(serde_json::from_str(json));
    let convention = value["convention"].as_str().unwrap_or_default().to_owned();
    (group(json).group.rule.name(), convention)
}

/// The sections of rules, with the rules.
fn of_rules<'a>(sections: &'a [Section<'a>]) -> Vec<(&'a Section<'a>, Described)> {
    let described = ok(rules()).into_iter();
    let with_section = described.map(|rule| {
        let found = sections.iter().find(|section| section.rule == Some(rule.name));
        (found.unwrap_or_else(|| panic!("no section of `{}`", rule.name)), rule)
    });
    with_section.collect()
}

#[test]
fn every_rule_has_a_section_and_no_other() {
    let text = document();
    let sections = sections(&text);
    let named: Vec<&str> = sections.iter().filter_map(|section| section.rule).collect();
    let known: Vec<&str> = rule::ALL.iter().map(|entry| entry.name).collect();
    assert_eq!(named, known, "in the registry's order");
}

#[test]
fn every_convention_has_a_row_with_its_constructor() {
    let text = document();
    let known = constructors::all();
    for (section, described) in of_rules(&sections(&text)) {
        for convention in &described.conventions {
            let word = format!("\"{}\"", convention.name);
            let constructor = format!("{}::{}()", described.rust, convention.name);
            let row = |row: &&Row| row.here.contains(&word) && row.here.contains(&constructor);
            assert!(
                section.rows.iter().any(|r| row(&r)),
                "{}: no row has both `{constructor}` and `{word}`",
                described.name
            );
        }
        for row in &section.rows {
            for code in &row.here {
                if let Some(word) = code.strip_prefix('"') {
                    let name = word.trim_matches('"');
                    let known = described.conventions.iter().any(|known| known.name == name);
                    assert!(known, "{}: there is no convention {code}", described.name);
                } else if code.starts_with('{') {
                    assert_eq!(group(code).group.rule.name(), described.name, "{code}");
                } else {
                    assert!(known.contains_key(&**code), "{}: no test has {code}", described.name);
                }
            }
            let nothing = row.here.is_empty() && row.cells[3] != "none";
            assert!(!nothing, "{}: {:?} does not say how", described.name, row.cells[0]);
        }
    }
}

#[test]
fn constructors_are_the_conventions_of_config() {
    let known = constructors::all();
    for described in ok(rules()) {
        for convention in &described.conventions {
            let constructor = format!("{}::{}()", described.rust, convention.name);
            let built = known.get(&*constructor);
            let built = built.unwrap_or_else(|| panic!("{constructor} is not in constructors.rs"));
            let (name, word) = (described.name, convention.name);
            let json = format!(r#"{{"optimizer": "{name}", "convention": "{word}"}}"#);
            assert_eq!(format!("{:?}", group(&json).group.rule), *built, "{constructor}");
        }
    }
}

#[test]
fn every_golden_file_proves_a_row_and_every_row_has_a_proof() {
    let text = document();
    let files = golden_files();
    let mut unused = files.clone();
    for (section, described) in of_rules(&sections(&text)) {
        let name = described.name;
        assert!(!section.rows.is_empty(), "`{name}` has no table");
        for row in &section.rows {
            let (what, proof) = (&row.cells[0], &row.cells[5]);
            let word = row.here.iter().find(|code| code.starts_with('"'));
            let mut conventions = BTreeSet::new();
            let proofs = codes(proof);
            assert!(!proofs.is_empty() || proof.contains("read"), "{name}: {what} has no proof");
            for proof in proofs {
                if proof.starts_with("tests/") {
                    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&proof);
                    assert!(path.exists(), "{name}: there is no {proof}");
                    continue;
                }
                let matches = |file: &&String| match proof.strip_suffix('*') {
                    Some(prefix) => file.starts_with(prefix),
                    None => **file == proof,
                };
                let found: Vec<String> = files.iter().filter(matches).cloned().collect();
                assert!(!found.is_empty(), "{name}: there is no golden file {proof}");
                for file in found {
                    let (rule, convention) = golden(&file);
                    assert_eq!(rule, name, "{file} proves nothing of `{name}`");
                    conventions.insert(convention);
                    unused.remove(&file);
                }
            }
            if let Some(word) = word.filter(|_| !conventions.is_empty()) {
                let proved = conventions.contains(word.trim_matches('"'));
                assert!(proved, "{name}: no file that {what} names has the convention {word}");
            }
        }
    }
    assert!(unused.is_empty(), "no row names {unused:?}");
}

/// Each template stands in the document with its figure in bold, and no other number is bold.
#[test]
fn figures_are_those_computed() {
    let text = document();
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let bold = words.split("**").skip(1).step_by(2);
    let mut quoted: Vec<&str> =
        bold.filter(|span| span.starts_with(|c: char| c.is_ascii_digit())).collect();
    let mut computed = Vec::new();
    for (template, figure) in figures::all() {
        let (before, after) = template.split_once("{}").unwrap_or_else(|| panic!("{template}"));
        let sentence = format!("{before}**{figure}**{after}");
        assert!(words.contains(&sentence), "the document lacks: {sentence}");
        computed.push(figure);
    }
    quoted.sort_unstable();
    computed.sort_unstable();
    assert_eq!(quoted, computed, "numbers in bold, and figures");
}

#[test]
fn the_table_of_nan_is_that_of_the_origins() {
    let text = document();
    let sections = sections(&text);
    let section = sections.iter().find(|section| section.title == "NaN");
    let section = section.unwrap_or_else(|| panic!("no section about NaN"));
    nan::check(section);
}
