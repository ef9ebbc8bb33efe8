//! Tables, as text or as Markdown.

/// Rows under one head, every cell a text.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) head: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// The table in columns; with `markdown`, between bars.
    pub(crate) fn text(&self, markdown: bool) -> String {
        let head: Vec<String> = self.head.iter().map(|&cell| cell.to_owned()).collect();
        let all = || std::iter::once(&head).chain(&self.rows);
        let width =
            |column: usize| all().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells: Vec<String> = (cells.iter().zip(&widths).enumerate())
                // Words to the left, numbers to the right.
                .map(|(at, (cell, &width))| {
                    if self.is_text(at) {
                        format!("{cell:<width$}")
                    } else {
                        format!("{cell:>width$}")
                    }
                })
                .collect();
            if markdown { format!("| {} |", cells.join(" | ")) } else { cells.join("  ") }
        };
        let mut lines: Vec<String> = all().map(|row| line(row).trim_end().to_owned()).collect();
        if markdown {
            let rule = |at: usize| if self.is_text(at) { "---" } else { "---:" };
            let rules: Vec<&str> = (0..head.len()).map(rule).collect();
            lines.insert(1, format!("|{}|", rules.join("|")));
        }
        lines.join("\n")
    }

    /// Whether a column holds words.
    fn is_text(&self, column: usize) -> bool {
        self.rows.iter().any(|row| row[column].starts_with(char::is_alphabetic))
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn words_left_numbers_right() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = vec![row(["adam", "8"]), row(["rmsprop", "24"])];
        let table = Table { head: vec!["kernel", "VGPRs"], rows };
        assert_eq!(table.text(false), "kernel   VGPRs\nadam         8\nrmsprop     24");
        let markdown = "| kernel  | VGPRs |\n|---|---:|\n| adam    |     8 |\n| rmsprop |    24 |";
        assert_eq!(table.text(true), markdown);
    }
}
