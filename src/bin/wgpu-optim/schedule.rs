//! The options that change from step to step, as a table and as curves.

mod plot;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgpu_optim::config::{self, Config, Part};

use crate::Failure;
use crate::output::columns;
use crate::trace::is_standard;
use plot::Curves;

/// The choice of CONFIG, of steps and of what to make of them.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A JSON file as `replay` takes it, as {"optimizer": "adam", "lr": {"schedule": "cosine", "start": 1e-3, "end": 0,
    /// "steps": 1000}}; `-` for standard input.
    ///
    /// docs/SCHEDULES.md has all schedules with their keys.
    config: PathBuf,
    /// Steps, from the first on.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// A line of numbers for each step, behind one line of names.
    #[arg(long)]
    csv: bool,
    /// Draws the curves.
    #[arg(long, value_name = "FILE.png")]
    plot: Option<PathBuf>,
}

/// The most steps that the table has all of.
const ALL: u64 = 24;

/// The first and the last steps that the table has of many.
const ENDS: u64 = 10;

/// A number for each step.
struct Column<'a> {
    name: String,
    at: Box<dyn Fn(u64) -> f64 + 'a>,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Options { config: path, steps, csv, plot } = options;
    let (name, json) = read(path)?;
    let named = |e: String| format!("{name}: {e}");
    let config = config::config(&json).map_err(named)?;
    config.check_steps(*steps).map_err(named)?;
    plot.as_deref().map_or(Ok(()), plot::check)?;
    let columns = numbers(&config);
    let mut curves = Curves::new(columns.len(), *steps);
    let out = std::io::stdout().lock();
    let mut out = std::io::BufWriter::new(out);
    if *csv {
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        writeln!(out, "t,{}", names.join(","))?;
    }
    for t in 1..=*steps {
        if *csv {
            write!(out, "{t}")?;
        }
        for (i, column) in columns.iter().enumerate() {
            let number = (column.at)(t);
            curves.add(i, t, number);
            if *csv {
                write!(out, ",{number}")?;
            }
        }
        if *csv {
            writeln!(out)?;
        }
    }
    if !csv {
        write!(out, "{}", table(&columns, *steps, &curves))?;
    }
    out.flush()?;
    if let Some(path) = plot {
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        plot::draw(path, &names, &curves)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The text of CONFIG, with the name that errors have for it.
fn read(path: &Path) -> Result<(String, String), Failure> {
    let (name, text) = if is_standard(path) {
        ("standard input".to_owned(), std::io::read_to_string(std::io::stdin().lock()))
    } else {
        (path.display().to_string(), std::fs::read_to_string(path))
    };
    match text {
        Ok(text) => Ok((name, text)),
        Err(e) => Err(format!("{name}: {e}").into()),
    }
}

/// The columns of all groups.
fn numbers(config: &Config) -> Vec<Column<'_>> {
    config.groups.iter().flat_map(of_part).collect()
}

/// The columns of a group, each under its place in CONFIG.
fn of_part(part: &Part) -> impl Iterator<Item = Column<'_>> {
    let name = |key: String| match part.path() {
        "" => key,
        path => format!("{path}.{key}"),
    };
    part.courses().into_iter().map(move |(key, at)| Column { name: name(key), at })
}

/// All steps, or the first and the last with the least and the greatest number of each column.
fn table(all: &[Column<'_>], steps: u64, curves: &Curves) -> String {
    let row = |head: String, cells: &mut dyn Iterator<Item = String>| -> Vec<String> {
        std::iter::once(head).chain(cells).collect()
    };
    let step =
        |t: u64| row(t.to_string(), &mut all.iter().map(|column| (column.at)(t).to_string()));
    let mut rows = vec![row("t".to_owned(), &mut all.iter().map(|column| column.name.clone()))];
    if steps <= ALL {
        rows.extend((1..=steps).map(step));
        return columns(&rows);
    }
    rows.extend((1..=ENDS).map(step));
    rows.push(row("…".to_owned(), &mut all.iter().map(|_| "…".to_owned())));
    rows.extend((steps - ENDS + 1..=steps).map(step));
    let ranges: Vec<[f64; 2]> = (0..all.len()).map(|i| curves.range(i)).collect();
    for (name, end) in [("least", 0), ("greatest", 1)] {
        rows.push(row(name.to_owned(), &mut ranges.iter().map(|range| range[end].to_string())));
    }
    columns(&rows)
}
