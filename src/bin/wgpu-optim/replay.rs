//! An optimizer run over recorded gradients, on a GPU or as the f64 reference.

mod arena;
mod blocks;
mod checkpoint;
mod cpu;
mod gpu;
mod memory;
mod out;
mod places;
mod range;
mod resumed;
mod start;
mod tensor;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use wgpu_optim::config::{self, Config};

use crate::Failure;
use crate::trace::{Behind, MOST_STEPS, Trace};
use out::Output;
use range::Steps;
use resumed::Resumed;

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
    ///
    /// With --resume it may be left out, and must be FILE's if it is given.
    #[arg(long, value_name = "CONFIG.json", required_unless_present = "resume")]
    optimizer: Option<PathBuf>,
    /// The file to write `param.<name>` and `state.<name>.<slot>` to; `-` for standard output.
    ///
    /// Beside state in blocks it has `code.<name>.<slot>`, one an element, and `scale.<name>.<slot>`, one a block.
    #[arg(long, value_name = "OUT.safetensors")]
    out: PathBuf,
    /// The gradients to take: from A up to, but not including, B, counted from 0. Either may be left out.
    ///
    /// A run that goes on from nothing takes its first step there, and the first number of a list of learning rates.
    ///
    /// With --resume, A is where FILE stopped, which it only leaves open if it was not saved by a replay: then it is
    /// the number of its steps, unless it is given here.
    #[arg(long, value_name = "A..B")]
    steps: Option<Steps>,
    /// A checkpoint to write after the last gradient: everything that the next step depends on.
    #[arg(long, value_name = "FILE.safetensors")]
    save: Option<PathBuf>,
    /// Write the checkpoint after each Nth gradient as well.
    #[arg(long, value_name = "N", requires = "save", value_parser = clap::value_parser!(u64).range(1..))]
    save_every: Option<u64>,
    /// A checkpoint to go on from: its parameters, state and counts take the place of the trace's, and the run begins
    /// at the gradient where it stopped.
    #[arg(long, value_name = "FILE.safetensors")]
    resume: Option<PathBuf>,
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
    /// The steps before the first of this run.
    behind: Behind,
    /// The steps before the first gradient ever, where a trace goes on from a result.
    first: Behind,
    /// The checkpoint that the run goes on from.
    resumed: Option<Resumed>,
    /// The gradients to take.
    gradients: Range<u64>,
    saves: Saves,
}

/// The checkpoints to write.
struct Saves {
    path: Option<PathBuf>,
    every: Option<u64>,
}

/// The steps of a run.
struct Counts {
    steps: u64,
    skipped: u64,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Options { trace, optimizer, out, adapter, cpu, steps, save, save_every, resume } = options;
    let begun = Instant::now();
    let named = |e: &dyn std::fmt::Display| match optimizer {
        Some(path) => format!("{}: {e}", path.display()),
        None => e.to_string(),
    };
    let read = [
        ("the trace", Some(trace.as_path())),
        ("CONFIG", optimizer.as_deref()),
        ("the checkpoint that it goes on from", resume.as_deref()),
    ];
    let written = [("the result", Some(out.as_path())), ("the checkpoint", save.as_deref())];
    places::check_apart(&read, &written)?;
    let resumed = resume.as_deref().map(Resumed::open).transpose()?;
    let config = match optimizer {
        Some(path) => {
            let json = std::fs::read_to_string(path).map_err(|e| named(&e))?;
            Some(config::config(&json).map_err(|e| named(&e))?)
        }
        None => None,
    };
    let output = Output::new(out)?;
    if let Some(save) = save {
        places::check_save(save)?;
    }
    let saves = Saves { path: save.clone(), every: *save_every };
    let run = Run::new(trace, (config, resumed), (*steps, saves), *cpu).map_err(|e| match e {
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

/// The file that is wrong.
enum Wrong {
    Config(String),
    Trace(Failure),
}

impl Run {
    fn new(
        path: &Path,
        (config, resumed): (Option<Config>, Option<Resumed>),
        (steps, saves): (Option<Steps>, Saves),
        cpu: bool,
    ) -> Result<Self, Wrong> {
        let in_trace = |e: String| Wrong::Trace(format!("{}: {e}", path.display()).into());
        let mut trace = Trace::open(path, cpu).map_err(Wrong::Trace)?;
        let names: Vec<&str> = trace.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        let (config, groups) = match (config, &resumed) {
            (Some(config), None) => {
                let groups = config.assign(&names).map_err(Wrong::Config)?;
                (config, groups)
            }
            (Some(config), Some(resumed)) => {
                let groups = config.assign(&names).map_err(Wrong::Config)?;
                resumed.check_config(&config, &names, &groups).map_err(Wrong::Config)?;
                (config, groups)
            }
            (None, Some(resumed)) => resumed.config(&names).map_err(Wrong::Trace)?,
            (None, None) => return Err(Wrong::Config("give --optimizer CONFIG".to_owned())),
        };
        let behind = match &resumed {
            Some(resumed) => {
                resumed.adopt(&mut trace, cpu).map_err(Wrong::Trace)?;
                resumed.behind()
            }
            None => start::behind(&trace, &config, &groups).map_err(in_trace)?,
        };
        let begins = resumed.as_ref().map(Resumed::place);
        let gradients = range::gradients(steps, begins, trace.steps).map_err(in_trace)?;
        let first = resumed.as_ref().map_or(behind, Resumed::first);
        let run = Self { trace, config, groups, behind, first, resumed, gradients, saves };
        run.config.check_steps(run.first_step() + run.steps()).map_err(Wrong::Config)?;
        let all = run.behind.steps + run.steps();
        if all > MOST_STEPS {
            return Err(in_trace(format!(
                "the run would end after {all} steps, at most {MOST_STEPS}"
            )));
        }
        Ok(run)
    }

    /// The gradients that were added up before the first of this run.
    fn added(&self) -> u32 {
        self.resumed.as_ref().map_or(0, |resumed| resumed.saved.added)
    }

    /// The number of the first step of this run, counted from 0, in lists of learning rates.
    fn first_step(&self) -> u64 {
        let counted = self.resumed.as_ref().map(|resumed| resumed.saved.recorded);
        counted.map_or(0, |counted| counted.saturating_sub(self.first.taken))
    }

    /// The steps that the gradients of this run complete.
    fn steps(&self) -> u64 {
        let gradients = self.gradients.end - self.gradients.start + u64::from(self.added());
        gradients / u64::from(self.config.accumulate)
    }

    /// The step, counted from 0, that a gradient is the last of.
    fn step_after(&self, gradient: u64) -> Option<u64> {
        let accumulate = u64::from(self.config.accumulate);
        let gradients = gradient - self.gradients.start + u64::from(self.added()) + 1;
        let completes = gradients.is_multiple_of(accumulate);
        completes.then(|| self.first_step() + gradients / accumulate - 1)
    }

    /// The place of the checkpoint to write after so many gradients of the trace, if one is due.
    fn save_after(&self, gradients: u64) -> Option<&Path> {
        let due = |every: u64| gradients.is_multiple_of(every);
        let is_due = gradients == self.gradients.end || self.saves.every.is_some_and(due);
        self.saves.path.as_deref().filter(|_| is_due)
    }

    /// The counts for the result's metadata: all steps, those taken and those skipped.
    fn totals(&self, counts: &Counts) -> [u64; 3] {
        let Behind { steps, taken } = self.behind;
        let Counts { steps: more, skipped } = *counts;
        [steps + more, taken + more - skipped, steps - taken + skipped]
    }
}
