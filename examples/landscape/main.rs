//! Lets 4 096 starting points of five functions of two variables descend under every rule at once, on the GPU, and
//! draws where they go, so that you see what a rule does.
//!
//! ```text
//! cargo run --release --features cli --example landscape
//! ```
//!
//! A small kernel writes all gradients, and the optimizer's step is recorded behind it. Nothing is read back before
//! the last step. How the library is used is all in `descent.rs`, and `settings.rs` has the learning rates.

mod canvas;
mod descent;
mod functions;
mod options;
mod settings;
mod sheet;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use wgpu_optim::Group;
use wgpu_optim::headless::Gpu;

use descent::Outcome;
use functions::FUNCTIONS;
use options::{Options, USAGE};
use settings::Contestant;
use sheet::Scale;

/// A result whose error is told, not handled.
pub(crate) type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match Options::parse(std::env::args_os().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if options.help {
        return Ok(writeln!(out, "{USAGE}")?);
    }
    let Options { points, steps, .. } = options;
    let contestants = if options.configs.is_empty() {
        settings::contestants(steps)?
    } else {
        let read = |json: &String| Contestant::given(json);
        options.configs.iter().map(read).collect::<Result<_, _>>()?
    };
    let gpu = Gpu::headless()?;
    writeln!(out, "{}", gpu.describe())?;
    if let Some(directory) = options.out.parent() {
        // Before the work, lest it be in vain.
        std::fs::create_dir_all(directory)
            .map_err(|e| format!("cannot create the directory {}: {e}", directory.display()))?;
    }

    let [rules, functions] = [contestants.len(), FUNCTIONS.len()];
    writeln!(out, "rules: {rules}, functions: {functions}, points: {points}, steps: {steps}")?;
    let groups: Vec<Group> = contestants.iter().map(|c| c.group.clone()).collect();
    let start = Instant::now();
    let outcomes = descent::descend(&gpu, &groups, points, steps)?;
    writeln!(out, "{:.1} s\n\n{}", start.elapsed().as_secs_f64(), table(&contestants, &outcomes))?;

    sheet::write(&options.out, &contestants, &outcomes, Scale { points, steps })?;
    Ok(writeln!(out, "wrote {}", options.out.display())?)
}

/// The settings and the percentages that converged, in Markdown.
fn table(contestants: &[Contestant], outcomes: &[Vec<Outcome>]) -> String {
    let names: Vec<&str> = FUNCTIONS.iter().map(|function| function.name).collect();
    let mut table = format!("| rule | lr | other options | {} |\n", names.join(" | "));
    table += &format!("|---|---|---|{}\n", "---|".repeat(names.len()));
    for (Contestant { rule, said: [lr, options], .. }, outcomes) in contestants.iter().zip(outcomes)
    {
        let shares = FUNCTIONS.iter().zip(outcomes).map(|(f, o)| sheet::share(f, o).to_string());
        let shares: Vec<String> = shares.collect();
        table += &format!("| `{rule}` | {lr} | {options} | {} |\n", shares.join(" | "));
    }
    table
}
