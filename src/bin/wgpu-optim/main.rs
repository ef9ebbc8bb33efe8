//! The command `wgpu-optim`: what adapters there are, whether they compute right, and optimizers run
//! over recorded gradients.

mod adapters;
mod bench;
mod output;
mod replay;
mod trace;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The fused optimizer step for every GPU.
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
    },
    /// Run an optimizer over recorded gradients, for comparison with any other framework.
    Replay {
        /// A safetensors file with `param.<name>` and `grad.<name>` of shape [steps, …], each F32, F16 or BF16.
        trace: PathBuf,
        /// A JSON file, as {"optimizer": "adam", "lr": 1e-3}.
        #[arg(long, value_name = "CONFIG.json")]
        optimizer: PathBuf,
        /// Where to write `param.<name>` and `state.<name>.<slot>`.
        #[arg(long, value_name = "OUT.safetensors")]
        out: PathBuf,
        /// A part of the adapter's name, driver or backend.
        #[arg(long, value_name = "NAME", conflicts_with = "cpu")]
        adapter: Option<String>,
        /// Run the f64 reference on the CPU instead, and write F64.
        #[arg(long)]
        cpu: bool,
    },
    /// Measure steps against a kernel that only moves the same bytes, and against the CPU.
    Bench(bench::Options),
}

/// An error in words for the person at the terminal.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Adapters { json } => adapters::run(json),
        Command::Verify { adapter } => verify::run(adapter.as_deref()),
        Command::Replay { trace, optimizer, out, adapter, cpu } => {
            replay::run(&trace, &optimizer, &out, adapter.as_deref(), cpu)
        }
        Command::Bench(options) => bench::run(&options),
    };
    match done {
        Ok(code) => code,
        // The reader of the output has seen enough.
        Err(failure) if is_broken_pipe(&*failure) => ExitCode::from(2),
        Err(failure) => {
            eprintln!("wgpu-optim: {failure}");
            ExitCode::from(2)
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
