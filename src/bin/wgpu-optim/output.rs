//! Tables for a terminal.

/// Rows with each column as wide as its widest cell, two spaces apart.
pub(crate) fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let cells = rows.iter().map(|row| row.as_ref().len()).max();
    let mut widths = vec![0; cells.unwrap_or(0)];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut table = String::new();
    for row in rows {
        let cells = row.as_ref().iter().zip(&widths);
        let line: String = cells.map(|(cell, &width)| format!("{cell:width$}  ")).collect();
        table += line.trim_end();
        table.push('\n');
    }
    table
}
