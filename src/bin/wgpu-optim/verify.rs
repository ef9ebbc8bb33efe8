use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};
use wgpu_optim::verify::{Report, Row, rows, verify};

use crate::{Failure, gpu, progress};

pub(crate) fn run(adapter: Option<&str>, as_json: bool) -> Result<ExitCode, Failure> {
    let gpu = gpu(adapter)?;
    let mut out = std::io::stdout().lock();
    if !as_json {
        writeln!(out, "{}", gpu.describe())?;
    }
    let bar = progress(rows() as u64, "verify");
    let report = verify(&gpu, |_| bar.inc(1))?;
    bar.finish_and_clear();
    let code = if report.passed() { ExitCode::SUCCESS } else { ExitCode::from(1) };
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&json(&report))?)?;
        return Ok(code);
    }
    write!(out, "{}", table(&report))?;
    for row in report.rows.iter().filter(|row| !row.passed()) {
        write!(out, "{}", details(row))?;
    }
    let compared: u64 = report.rows.iter().map(|row| row.compared).sum();
    let verdict = if report.passed() { "passed" } else { "FAILED" };
    writeln!(out, "{verdict}: {compared} numbers, worst |Δ|/bound {:.4}", report.worst())?;
    Ok(code)
}

/// The report with the worst |Δ| / bound of each row, which may be at most `bound`.
fn json(report: &Report) -> Value {
    let row = |row: &Row| {
        let worst = row.worst.iter().map(|worst| {
            json!({ "what": worst.what, "ratio": finite(worst.ratio), "place": worst.place })
        });
        let largest = row.worst.iter().map(|worst| worst.ratio).fold(0.0, f64::max);
        json!({
            "name": row.group,
            "rule": row.rule,
            "compared": row.compared,
            "unbounded": row.unbounded,
            "strays": row.strays,
            "worst": finite(largest),
            "bound": 1.0,
            "of": worst.collect::<Vec<_>>(),
            "passed": row.passed(),
        })
    };
    json!({
        "adapter": report.adapter,
        "passed": report.passed(),
        "worst": finite(report.worst()),
        "rows": report.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// A number, or its name where JSON has none.
fn finite(ratio: f64) -> Value {
    if ratio.is_finite() { ratio.into() } else { ratio.to_string().into() }
}

fn table(report: &Report) -> String {
    let head = ["group", "numbers", "unbounded", "strays", "worst |Δ|/bound", ""];
    let mut rows = vec![head.map(str::to_owned)];
    for row in &report.rows {
        let worst: Vec<String> =
            row.worst.iter().map(|worst| format!("{} {:.4}", worst.what, worst.ratio)).collect();
        rows.push([
            row.group.clone(),
            row.compared.to_string(),
            row.unbounded.to_string(),
            row.strays.to_string(),
            worst.join(", "),
            if row.passed() { "ok" } else { "FAILED" }.to_owned(),
        ]);
    }
    crate::output::columns(&rows)
}

/// Where a failed row was worst.
fn details(row: &Row) -> String {
    let wrong = row.worst.iter().filter(|worst| worst.ratio > 1.0);
    wrong.map(|worst| format!("{}: {} of {}\n", row.rule, worst.what, worst.place)).collect()
}
