//! Trains a small transformer to predict the next character of a text, forward and backward in WGSL, with the
//! optimizer's step recorded behind the backward pass.
//!
//! ```text
//! cargo run --release --example transformer
//! cargo run --release --example transformer -- --compare
//! ```
//!
//! With `--compare`, it trains with the optimizer's state in several formats, over several seeds. How the library is
//! used is all in `train.rs`, and `formats.rs` has the formats.

mod compare;
mod formats;
mod kernel;
mod network;
mod options;
mod parts;
mod plot;
#[path = "../digits/random.rs"]
mod random;
mod sample;
mod shape;
mod text;
mod train;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use wgpu_optim::Group;
use wgpu_optim::headless::Gpu;

use compare::Series;
use options::{Options, USAGE};
use shape::Shape;
use text::Text;

/// A result whose error is told, not handled.
pub(crate) type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// How the text begins that the network goes on with after a training, and by how many characters.
const PROMPT: &str = "The optimizer ";
const WRITTEN: usize = 160;

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
    // Before the work, lest it be in vain.
    let picture = options.compare.then_some(&options.out);
    for file in picture.into_iter().chain(&options.json) {
        if let Some(directory) = file.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|e| format!("cannot create the directory {}: {e}", directory.display()))?;
        }
    }
    let gpu = Gpu::headless()?;
    writeln!(out, "{}", gpu.describe())?;
    let text = Text::load()?;
    let group = formats::optimizer(&options.optimizer, options.lr)?;
    let elements = Shape::EXAMPLE.parameters().last().map_or(0, |last| last.range.end);
    writeln!(
        out,
        "{elements} parameters, {} characters to learn from, {} held out; {} at {}, {} steps\n\
         loss of a model of single characters: {:.4}",
        text.train.len(),
        text.validation.len(),
        options.optimizer,
        group.lr,
        options.steps,
        text.unigram_loss(),
    )?;
    let all = if options.compare {
        comparison(&gpu, &text, &group, &options, &mut out)?
    } else {
        vec![single(&gpu, &text, &group, &options, &mut out)?]
    };
    if let Some(path) = &options.json {
        write_json(path, &gpu, &group, &options, &all)?;
        writeln!(out, "wrote {}", path.display())?;
    }
    Ok(())
}

/// Trains once, then lets the network write.
fn single(
    gpu: &Gpu,
    text: &Text,
    group: &Group,
    options: &Options,
    out: &mut impl Write,
) -> Result<Series> {
    let Options { steps, seed, .. } = *options;
    let (network, schedule) = train::prepare(gpu, text, steps, seed)?;
    let group = formats::with_state(group.clone(), &options.state_format)?;
    let start = Instant::now();
    let run = train::train(gpu, &network, &schedule, &group, seed, |evaluation| {
        let train::Evaluation { step, training, validation } = evaluation;
        Ok(writeln!(out, "step {step:>5}: training {training:.4}, validation {validation:.4}")?)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let result = run.result();
    writeln!(out, "validation loss {result:.4}, the mean of the last evaluations; {seconds:.1} s")?;
    let written = sample::sample(gpu, &network, &schedule, PROMPT, WRITTEN, seed)?;
    writeln!(out, "\n{written}\n")?;
    Ok(Series { format: options.state_format.clone(), runs: vec![run] })
}

/// Trains with all formats and seeds, and draws what came of it.
fn comparison(
    gpu: &Gpu,
    text: &Text,
    group: &Group,
    options: &Options,
    out: &mut impl Write,
) -> Result<Vec<Series>> {
    let Options { steps, seed, seeds, .. } = *options;
    let start = Instant::now();
    let all = compare::compare(gpu, text, group, steps, seed..seed + seeds, |format, run| {
        let seconds = start.elapsed().as_secs_f64();
        let (seed, result) = (run.seed, run.result());
        Ok(writeln!(out, "seed {seed}, {format}: validation loss {result:.4} ({seconds:.0} s)")?)
    })?;
    writeln!(out, "\n{}", compare::table(&all))?;
    plot::write(&options.out, &all, seeds)?;
    writeln!(out, "wrote {}", options.out.display())?;
    Ok(all)
}

fn write_json(
    path: &Path,
    gpu: &Gpu,
    group: &Group,
    options: &Options,
    all: &[Series],
) -> Result<()> {
    let Options { optimizer, steps, .. } = options;
    let value = json!({
        "adapter": gpu.describe(),
        "optimizer": optimizer,
        "lr": group.lr,
        "steps": steps,
        "formats": compare::numbers(all),
    });
    std::fs::write(path, format!("{value:#}\n"))
        .map_err(|e| format!("cannot write {}: {e}", path.display()).into())
}
