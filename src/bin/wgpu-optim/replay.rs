//! An optimizer run over recorded gradients, on a GPU or as the f64 reference.

mod arena;
mod cpu;
mod gpu;
mod memory;
mod out;
mod start;
mod tensor;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use wgpu_optim::config::{self, Config};

use crate::Failure;
use crate::trace::{Behind, Trace, is_standard};
use out::Output;

/// The choice of files and of the machine.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A safetensors file with `param.<name>` and `grad.<name>` of shape [steps, …], each F32, F16 or BF16; `-`
    /// for standard input.
    ///
    /// It may also hold `state.<name>.<slot>` and the metadata `steps`, as OUT does: then the run goes on from
    /// there.
    trace: PathBuf,
    /// A JSON file, as {"optimizer": "adam", "lr": 1e-3}. `wgpu-optim rules` lists the keys of each optimizer;
    /// the README's section on the command describes groups, conventions and PyTorch's `param_groups`.
    #[arg(long, value_name = "CONFIG.json")]
    optimizer: PathBuf,
    /// The file to write `param.<name>` and `state.<name>.<slot>` to; `-` for standard output.
    #[arg(long, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// A part of the adapter's name, driver or backend.
    #[arg(long, value_name = "NAME", conflicts_with = "cpu")]
    adapter: Option<String>,
    /// Run the f64 reference on the CPU instead, and write F64.
    #[arg(long)]
    cpu: bool,
}

impl Options {
    /// Whether a GPU is to run it.
    pub(crate) fn needs_gpu(&self) -> bool {
        !self.cpu
    }
}

/// A trace with the group of each parameter.
struct Run {
    trace: Trace,
    config: Config,
    /// The group of each tensor.
    groups: Vec<usize>,
    /// The steps before the first.
    behind: Behind,
}

/// The steps of a run.
struct Counts {
    steps: u64,
    skipped: u64,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Options { trace, optimizer, out, adapter, cpu } = options;
    let begun = Instant::now();
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", optimizer.display());
    let json = std::fs::read_to_string(optimizer).map_err(|e| named(&e))?;
    let config = config::config(&json).map_err(|e| named(&e))?;
    let output = output(trace, out)?;
    let run = Run::new(trace, config, *cpu).map_err(|e| match e {
        Wrong::Config(e) => named(&e).into(),
        Wrong::Trace(e) => e,
    })?;
    let (counts, machine, place) = if *cpu {
        let (counts, place) = cpu::run(run, output)?;
        (counts, "the CPU in f64".to_owned(), place)
    } else {
        let gpu = crate::gpu(adapter.as_deref())?;
        let (counts, place) = gpu::run(run, output, &gpu)?;
        (counts, gpu.describe(), place)
    };
    let Counts { steps, skipped } = counts;
    let seconds = begun.elapsed().as_secs_f64();
    eprintln!(
        "replay: {steps} steps, {skipped} skipped, on {machine}, {seconds:.2} s, written to {place}"
    );
    Ok(ExitCode::SUCCESS)
}

/// The result's place, which is not the trace's.
fn output(trace: &Path, out: &Path) -> Result<Output, Failure> {
    if !is_standard(trace) {
        let source = trace.canonicalize().map_err(|e| format!("{}: {e}", trace.display()))?;
        if out.canonicalize().is_ok_and(|out| out == source) {
            return Err(format!("{}: that is the trace; write elsewhere", out.display()).into());
        }
    }
    Output::new(out)
}

/// The file that is wrong.
enum Wrong {
    Config(String),
    Trace(Failure),
}

impl Run {
    fn new(path: &Path, config: Config, cpu: bool) -> Result<Self, Wrong> {
        let trace = Trace::open(path, cpu).map_err(Wrong::Trace)?;
        let names: Vec<&str> = trace.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let groups = config.assign(&names).map_err(Wrong::Config)?;
        let steps = trace.steps / u64::from(config.accumulate);
        config.check_steps(steps).map_err(Wrong::Config)?;
        let behind = start::behind(&trace, &config, &groups)
            .map_err(|e| Wrong::Trace(format!("{}: {e}", path.display()).into()))?;
        Ok(Self { trace, config, groups, behind })
    }

    /// The steps that all gradients make up.
    fn steps(&self) -> u64 {
        self.trace.steps / u64::from(self.config.accumulate)
    }

    /// The step, counted from 0, that a gradient is the last of.
    fn step_after(&self, gradient: u64) -> Option<u64> {
        let accumulate = u64::from(self.config.accumulate);
        (gradient + 1).is_multiple_of(accumulate).then(|| gradient / accumulate)
    }

    /// The counts for the result's metadata: all steps, those taken and those skipped.
    fn totals(&self, counts: &Counts) -> [u64; 3] {
        let Behind { steps, taken } = self.behind;
        let Counts { steps: more, skipped } = *counts;
        [steps + more, taken + more - skipped, steps - taken + skipped]
    }
}
