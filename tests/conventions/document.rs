//! The sections and tables of the document.

use support::ok;

/// The document's text.
pub(crate) fn document() -> String {
    ok(std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONVENTIONS.md")))
}

/// A section with its table.
pub(crate) struct Section<'a> {
    /// The heading.
    pub(crate) title: &'a str,
    /// The rule whose name is the heading's first code.
    pub(crate) rule: Option<&'a str>,
    /// The rows of all tables.
    pub(crate) rows: Vec<Row>,
}

/// A row of a table.
pub(crate) struct Row {
    /// The text of each cell.
    pub(crate) cells: Vec<String>,
    /// The codes of the fourth cell: how to have the same numbers here.
    pub(crate) here: Vec<String>,
}

/// The pieces of a text between backticks.
pub(crate) fn codes(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every section with a heading of the second order.
pub(crate) fn sections(document: &str) -> Vec<Section<'_>> {
    let section = |text| {
        let (title, rest): (&str, &str) = str::split_once(text, '\n').unwrap_or((text, ""));
        let rule = title.split('`').nth(1);
        Section { title: title.trim(), rule, rows: rows(rest) }
    };
    document.split("\n## ").skip(1).map(section).collect()
}

/// The rows of tables without their heads.
fn rows(text: &str) -> Vec<Row> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &&str| line.starts_with("|---");
    let mut all = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let head = lines.get(i + 1).is_some_and(is_rule);
        if !line.starts_with('|') || head || is_rule(line) {
            continue;
        }
        let cells = line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        let cells: Vec<String> = cells.collect();
        let here = cells.get(3).map(|cell| codes(cell)).unwrap_or_default();
        all.push(Row { cells, here });
    }
    all
}
