//! Trains a small network on handwritten digits, forward and backward in WGSL, with SGD, RMSProp and
//! ADAM over five decades of learning rate, and shows how much the rate matters to each of them.
//!
//! ```text
//! cargo run --release --example digits
//! ```
//!
//! With `--precision bf16` or `f16`, parameters and gradients are stored in 16 bits; the kernels decode
//! what they load, compute in f32 and encode what they store. `--clip` and `--loss-scale` are what such
//! training is usually given besides. With `--state-format`, the optimizer's state is stored in 16, 8 or 4 bits.
//!
//! With `--run`, it trains once, saves checkpoints as it goes, and goes on from one after a break with the same
//! bits as without: `single.rs` and `kept.rs`.
//!
//! Parameters, gradients and the optimizer's state stay on the GPU from the first step of a training
//! to its last. How the library is used is all in `train` in `sweep.rs`.

mod data;
#[cfg(feature = "checkpoint")]
mod kept;
mod kernel;
mod network;
mod options;
mod plot;
mod random;
mod report;
mod settings;
#[cfg(feature = "checkpoint")]
mod single;
mod sweep;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use wgpu_optim::LossScale;
use wgpu_optim::headless::Gpu;

use data::{Digits, Schedule};
use network::Network;
use options::{Options, USAGE};
use settings::Settings;
use sweep::{OPTIMIZERS, Series, half_decades, sweep};

/// An error that is told, not handled.
type Error = Box<dyn std::error::Error>;

/// A result with such an error.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// How much of the held-out images ADAM must recognize at its best rate.
const GOAL: f64 = 0.96;

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
    let gpu = Gpu::headless()?;
    writeln!(out, "{}", gpu.describe())?;

    if options.is_single() {
        return single_run(&gpu, &options, &mut out);
    }

    // Before the work, lest it be in vain.
    std::fs::create_dir_all(&options.out)
        .map_err(|e| format!("cannot create the directory {}: {e}", options.out.display()))?;
    let (epochs, rates) =
        if options.quick { (12, vec![1e-3, 1e-2, 1e-1]) } else { (20, half_decades(-5, 0)) };
    let settings = Settings { epochs, ..options.settings };
    let Settings { seed, batch, precision, ref control, .. } = settings;
    let digits = Digits::load(seed)?;
    let schedule = Schedule::new(&digits, epochs, batch, seed + 1);
    let initial = network::initial(seed + 2);
    let mut network = Network::new(&gpu, &digits, &schedule, precision)?;
    report::images(&mut out, &digits, &settings)?;

    let trainings = OPTIMIZERS.len() * rates.len();
    let bar = progress(trainings)?;
    let start = Instant::now();
    let all = sweep(&gpu, &mut network, &schedule, &settings, &initial, &rates, || bar.inc(1))?;
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    writeln!(out, "{trainings} trainings in {seconds:.1} s")?;
    if let LossScale::Dynamic { .. } = control.loss_scale {
        let steps = trainings * schedule.test();
        let skipped: u64 = all.iter().map(Series::skipped).sum();
        writeln!(out, "{skipped} of {steps} steps skipped")?;
    }
    writeln!(out, "\n{}", report::table(&all))?;
    writeln!(out, "{}\n{}", report::ranges(&all), report::conclusion(&all))?;

    for path in plot::write(&options.out, &all)? {
        writeln!(out, "wrote {}", path.display())?;
    }
    report::check(&all, "ADAM", GOAL)
}

/// Trains once, as the options say.
#[cfg(feature = "checkpoint")]
fn single_run(gpu: &Gpu, options: &Options, out: &mut impl Write) -> Result<()> {
    single::run(gpu, options, out)
}

/// Refuses a single run, which is there for its checkpoints.
#[cfg(not(feature = "checkpoint"))]
fn single_run(_: &Gpu, _: &Options, _: &mut impl Write) -> Result<()> {
    let command = "cargo run --release --features checkpoint --example digits -- --run adam";
    Err(format!("a single run needs the feature `checkpoint`: {command}").into())
}

/// A bar on stderr; indicatif shows none where that is no terminal.
fn progress(trainings: usize) -> Result<ProgressBar> {
    let bar = ProgressBar::new(trainings as u64);
    let template = "{wide_bar} {pos} of {len} trainings, {eta} left";
    bar.set_style(ProgressStyle::with_template(template)?);
    bar.enable_steady_tick(Duration::from_millis(250));
    Ok(bar)
}
