//! The command `wgpu-optim`: what adapters there are, whether they compute right, optimizers run over recorded
//! gradients, and schedules as tables and curves.

mod adapters;
mod backend;
mod bench;
mod blocks;
mod chart;
mod convert;
mod inspect;
mod output;
mod replay;
mod rules;
mod schedule;
mod torch;
mod trace;
mod verify;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// The fused optimizer step for wgpu.
///
/// WGPU_BACKEND (vulkan, metal, dx12, gl) and WGPU_ADAPTER_NAME choose among several adapters.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the adapters that can run the kernels, best first.
    Adapters {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Compare every rule on an adapter with the f64 reference; exit code 1 if any bound is exceeded.
    Verify {
        /// A part of the adapter's name, driver or backend.
        #[arg(long, value_name = "NAME")]
        adapter: Option<String>,
        /// As a JSON object, and nothing else on standard output.
        #[arg(long)]
        json: bool,
    },
    /// List the rules: formula, paper, options with defaults and ranges, state, bytes.
    Rules {
        /// As a JSON array.
        #[arg(long)]
        json: bool,
        /// As the table in the README.
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// Run an optimizer over recorded gradients, for comparison with any other framework.
    Replay(replay::Options),
    /// Show a checkpoint by group and parameter: shapes, options, steps, bytes, norms and non-finite counts.
    Inspect {
        /// A checkpoint, as `replay --save` and `Optimizer::save` write it.
        file: std::path::PathBuf,
        /// As a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Convert a checkpoint between PyTorch (torch.save, or safetensors in PyTorch's names) and this crate.
    Convert(convert::Options),
    /// Print the learning rate of each step, as a CONFIG of `replay` has it.
    Schedule(schedule::Options),
    /// Measure steps against a kernel that only moves the same bytes, and against the CPU.
    Bench(bench::Options),
    /// Write the completions of a shell to standard output.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// Whether it looks for an adapter.
    fn needs_adapter(&self) -> bool {
        match self {
            Self::Adapters { .. } | Self::Verify { .. } | Self::Bench(_) => true,
            Self::Replay(options) => options.needs_gpu(),
            Self::Rules { .. }
            | Self::Inspect { .. }
            | Self::Convert(_)
            | Self::Schedule(_)
            | Self::Completions { .. } => false,
        }
    }
}

/// An error in words for the person at the terminal.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let checked = if command.needs_adapter() { backend::check() } else { Ok(()) };
    match checked.and_then(|()| run(command)) {
        Ok(code) => code,
        // The reader of the output has seen enough.
        Err(failure) if is_broken_pipe(&*failure) => ExitCode::from(2),
        Err(failure) => {
            eprintln!("wgpu-optim: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Adapters { json } => adapters::run(json),
        Command::Verify { adapter, json } => verify::run(adapter.as_deref(), json),
        Command::Replay(options) => replay::run(&options),
        Command::Rules { json, markdown } => rules::run(json, markdown),
        Command::Inspect { file, json } => inspect::run(&file, json),
        Command::Convert(options) => convert::run(&options),
        Command::Schedule(options) => schedule::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Completions { shell } => {
            let mut command = Cli::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "wgpu-optim", &mut script);
            std::io::stdout().lock().write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn is_broken_pipe(failure: &(dyn std::error::Error + 'static)) -> bool {
    let io = failure.downcast_ref::<std::io::Error>();
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The adapter called `name`, or the one that the environment names, or the best.
fn gpu(name: Option<&str>) -> Result<wgpu_optim::headless::Gpu, wgpu_optim::Error> {
    match name {
        Some(name) => wgpu_optim::headless::Gpu::named(Some(name)),
        None => wgpu_optim::headless::Gpu::headless(),
    }
}

/// A progress bar on standard error; invisible if that is no terminal.
fn progress(length: u64, what: &'static str) -> indicatif::ProgressBar {
    let style = indicatif::ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {eta}");
    let bar = indicatif::ProgressBar::new(length).with_prefix(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
