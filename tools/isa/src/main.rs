//! `isa`: what AMD's GPUs would execute of this crate's kernels, without one at hand.
//!
//! WGSL goes through naga with wgpu's options, the SPIR-V through Mesa's RADV, whose compiler ACO says
//! what it made of it. `isa` prints that, `isa check` holds it to a budget, `isa variants` compares
//! other ways to write the same kernels.

mod besides;
mod blocks;
mod budget;
mod code;
mod family;
mod module;
mod subject;
mod table;
mod variants;
mod vulkan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use family::{FAMILIES, Family};
use module::{Checks, WORKGROUP_SIZE, module};
use subject::{Built, Results, Subject, compile, steps};
use table::Table;
use wgpu_optim::kernel::{Kernel, control_kernels};

/// The machine code that AMD's compiler for Vulkan, RADV's ACO, makes of this crate's kernels. No GPU is needed
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Action>,
    #[command(flatten)]
    figures: FiguresOptions,
}

#[derive(Subcommand)]
enum Action {
    /// The figures of every kernel (also without a command)
    Table(FiguresOptions),
    /// Fails, and says what is over budget, if any kernel costs more than it should
    Check(Driver),
    /// Other ways to write the kernels, compared
    Variants(VariantsOptions),
}

#[derive(Args, Clone)]
struct Driver {
    /// RADV's manifest [default: the one that is installed]
    #[arg(long, value_name = "FILE")]
    icd: Option<PathBuf>,
}

#[derive(Args)]
struct FiguresOptions {
    /// Only this family; may be given several times
    #[arg(long, value_enum)]
    family: Vec<Family>,
    /// Only kernels with this in their names
    #[arg(long, value_name = "SUBSTRING", default_value = "-own-", allow_hyphen_values = true)]
    kernel: String,
    /// The assembly after the figures
    #[arg(long)]
    asm: bool,
    /// The figures to a file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The table in Markdown
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    driver: Driver,
}

#[derive(Args)]
struct VariantsOptions {
    /// The assembly of variants with this in their names, as in `adam-vec4-direct/2 vec4s`
    #[arg(long, value_name = "SUBSTRING")]
    asm: Option<String>,
    /// The table in Markdown
    #[arg(long)]
    markdown: bool,
    #[command(flatten)]
    driver: Driver,
}

fn main() -> ExitCode {
    let done = if std::env::args_os().nth(1).is_some_and(|first| first == family::WORKER) {
        family::work()
    } else {
        let cli = Cli::parse();
        match cli.command.unwrap_or(Action::Table(cli.figures)) {
            Action::Table(options) => figures(&options),
            Action::Check(driver) => check(&driver),
            Action::Variants(options) => compare(&options),
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

impl Driver {
    fn icd(&self) -> Result<PathBuf, String> {
        let none = "no radeon_icd*.json is installed; Debian has it in mesa-vulkan-drivers";
        self.icd.clone().or_else(family::find_icd).ok_or_else(|| none.to_owned())
    }
}

/// The kernels that are looked at: the steps, and what there is besides.
fn all(steps: &[Subject]) -> Vec<Kernel> {
    steps.iter().map(|step| step.kernel.clone()).chain(control_kernels()).collect()
}

/// Compiles kernels as they are shipped.
fn build(driver: &Driver, families: &[Family], kernels: &[Kernel]) -> Result<Vec<Results>, String> {
    let shipped = |kernel: &Kernel| module(kernel, WORKGROUP_SIZE, Checks::Unchecked);
    let modules = kernels.iter().map(shipped).collect::<Result<Vec<_>, _>>()?;
    compile(&driver.icd()?, families, &modules)
}

fn figures(options: &FiguresOptions) -> Result<(), String> {
    let mut kernels = all(&steps()?);
    kernels.retain(|kernel| kernel.name.contains(&options.kernel));
    if kernels.is_empty() {
        return Err(format!("no kernel has {:?} in its name", options.kernel));
    }
    let families = if options.family.is_empty() { &FAMILIES[..] } else { &options.family };
    let results = build(&options.driver, families, &kernels)?;
    for results in &results {
        println!("{} by {}", results.family.name(), results.driver);
        println!("{}\n", of_family(results).text(options.markdown));
        print_assembly(results, |_| options.asm);
    }
    match &options.json {
        Some(path) => write_json(path, &results),
        None => Ok(()),
    }
}

/// Every figure of every kernel: an object each.
fn write_json(path: &Path, results: &[Results]) -> Result<(), String> {
    let of_family = |results: &Results| {
        let object = |(name, built): (&String, &Built)| {
            serde_json::json!({
                "kernel": name,
                "family": results.family.name(),
                "driver": results.driver,
                "figures": built.figures,
            })
        };
        results.kernels.iter().map(object).collect::<Vec<_>>()
    };
    let all: Vec<_> = results.iter().flat_map(of_family).collect();
    let json = serde_json::to_string_pretty(&all).map_err(|e| e.to_string())?;
    std::fs::write(path, json).map_err(|e| format!("{}: {e}", path.display()))
}

fn of_family(results: &Results) -> Table {
    let head = vec![
        "kernel",
        "VGPRs",
        "SGPRs",
        "waves",
        "instrs",
        "bytes",
        "latency",
        "inv. thr.",
        "spills",
        "scratch",
        "16 B loads",
        "16 B stores",
        "narrower",
        "branches",
        "copies",
        "scalar waits",
    ];
    let row = |(name, built): (&String, &Built)| {
        let figures = &built.figures;
        let code = &figures.code;
        let wide = |accesses: &code::Accesses| accesses.get(&16).copied().unwrap_or_default();
        let narrow = |accesses: &code::Accesses| -> u32 {
            accesses.iter().filter(|(bytes, _)| **bytes != 16).map(|(_, count)| count).sum()
        };
        let mut row = vec![name.strip_suffix("-update").unwrap_or(name).to_owned()];
        let numbers = [
            figures.vgprs,
            figures.sgprs,
            figures.waves,
            u64::from(code.instructions),
            figures.code_size,
            figures.latency,
            figures.inverse_throughput,
            figures.spills,
            figures.scratch,
            u64::from(wide(&code.loads)),
            u64::from(wide(&code.stores)),
            u64::from(narrow(&code.loads) + narrow(&code.stores)),
            code.branches.len() as u64,
            figures.copies,
            u64::from(code.scalar_waits),
        ];
        row.extend(numbers.iter().map(u64::to_string));
        row
    };
    Table { head, rows: results.kernels.iter().map(row).collect() }
}

fn check(driver: &Driver) -> Result<(), String> {
    let subjects = steps()?;
    let kernels = all(&subjects);
    let results = build(driver, &FAMILIES, &kernels)?;
    let mut over = budget::check(&subjects, &results);
    over.extend(blocks::check(&subjects, &results));
    over.extend(besides::check(&control_kernels(), &results));
    if !over.is_empty() {
        return Err(format!("{}\n{} figures over budget", over.join("\n"), over.len()));
    }
    let families: Vec<&str> = FAMILIES.iter().map(|family| family.name()).collect();
    let driver = &results[0].driver;
    println!("{} kernels on {}: within budget ({driver})", kernels.len(), families.join(", "));
    Ok(())
}

fn compare(options: &VariantsOptions) -> Result<(), String> {
    for (results, table) in variants::compare(&options.driver.icd()?)? {
        println!("{} by {}", results.family.name(), results.driver);
        println!("{}\n", table.text(options.markdown));
        print_assembly(&results, |name| options.asm.as_ref().is_some_and(|asm| name.contains(asm)));
    }
    Ok(())
}

fn print_assembly(results: &Results, wanted: impl Fn(&str) -> bool) {
    for (name, built) in results.kernels.iter().filter(|(name, _)| wanted(name)) {
        println!("{name}\n{}", built.assembly);
    }
}
