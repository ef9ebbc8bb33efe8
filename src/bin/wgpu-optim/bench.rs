//! How fast a step is: against a kernel that only moves the same bytes, and against the CPU.

mod plot;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use wgpu_optim::headless::{Gpu, is_software};
use wgpu_optim::timing::{Clock, Samples, cpu_ms as time_cpu};
use wgpu_optim::{Cpu, Group, Optimizer, View, rule};

use crate::{Failure, progress};

/// The choice of measurements.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A part of the adapter's name, driver or backend.
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Elements, with K and M for 1024 and 1024².
    #[arg(long, value_delimiter = ',', default_value = "65536,1M,16M,64M", value_parser = elements)]
    sizes: Vec<u64>,
    /// Rules, at their defaults.
    #[arg(long, value_delimiter = ',', default_values_t = names())]
    rules: Vec<String>,
    /// Writes everything measured as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws time and fraction of stream against size.
    #[arg(long, value_name = "FILE.png")]
    plot: Option<PathBuf>,
    /// Few and short samples: to see that it runs, not to believe.
    #[arg(long)]
    quick: bool,
}

fn names() -> Vec<String> {
    rule::ALL.iter().map(|entry| entry.name.to_owned()).collect()
}

fn elements(text: &str) -> Result<u64, String> {
    let (number, unit) = match text.strip_suffix(['K', 'k']) {
        Some(number) => (number, 1 << 10),
        None => text.strip_suffix(['M', 'm']).map_or((text, 1), |number| (number, 1 << 20)),
    };
    match number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)) {
        Some(n) if n > 0 => Ok(n),
        _ => Err("a number of elements, at least 1, like 65536, 64K or 16M".to_owned()),
    }
}

/// All that was measured, as it goes into the JSON.
#[derive(Serialize)]
struct Report {
    adapter: String,
    software: bool,
    /// `timestamps` or `wall clock`.
    timing: &'static str,
    threads: usize,
    rows: Vec<Row>,
}

/// One rule at one size; times are medians, in milliseconds a step.
#[derive(Serialize)]
pub(crate) struct Row {
    rule: &'static str,
    elements: u64,
    bytes_per_parameter: u64,
    step_ms: f64,
    step_gbps: f64,
    /// Half the distance from the first quartile to the third, relative to the median.
    step_spread: f64,
    stream_ms: f64,
    stream_gbps: f64,
    stream_spread: f64,
    /// How much of the stream's speed the step has: the median of the ratios sample by sample.
    fraction_of_stream: f64,
    cpu1_ms: f64,
    cpu1_gbps: f64,
    cpu_ms: f64,
    cpu_gbps: f64,
    /// How many times as fast as all the CPU's threads.
    gpu_over_cpu: f64,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let groups = options.rules.iter().map(|name| group(name)).collect::<Result<Vec<_>, _>>()?;
    let gpu = crate::gpu(options.adapter.as_deref())?;
    let clock = Clock::of(gpu.adapter)?;
    let gpu = &clock.gpu;
    let mut out = std::io::stdout().lock();
    let software = is_software(&gpu.adapter.get_info());
    let threads = rayon::current_num_threads();
    writeln!(out, "{}", gpu.describe())?;
    writeln!(out, "timed by {}; CPU with {threads} threads", clock.name())?;
    if software {
        writeln!(out, "This adapter is software: its columns measure a CPU that emulates a GPU.")?;
    }
    if cfg!(debug_assertions) {
        writeln!(out, "This is a debug build, with wgpu's debug checks: believe nothing of it.")?;
    }
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let bar = progress((groups.len() * options.sizes.len()) as u64, "bench");
    let mut rows = Vec::new();
    for group in &groups {
        for &elements in &options.sizes {
            rows.push(measure(&clock, &one, group, elements, options.quick)?);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    write!(out, "{}", table(&rows))?;
    let adapter = gpu.describe();
    let report = Report { adapter, software, timing: clock.name(), threads, rows };
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if let Some(path) = &options.plot {
        plot::draw(path, &report.adapter, &report.rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn group(name: &str) -> Result<Group, Failure> {
    let entry = rule::ALL.iter().find(|entry| entry.name == name);
    match entry.and_then(|entry| (entry.variants)().into_iter().next()) {
        Some(variant) => Ok(variant.into()),
        None => Err(format!("unknown rule `{name}`; known are {}", names().join(", ")).into()),
    }
}

/// Step, stream and both CPU engines in turn, so that whatever else the machine does strikes all.
fn measure(
    clock: &Clock,
    one: &rayon::ThreadPool,
    group: &Group,
    elements: u64,
    quick: bool,
) -> Result<Row, Failure> {
    let gpu = &clock.gpu;
    let (rounds, enough) = if quick { (3, 1.0) } else { (9, 20.0) };
    let (mut step, _params) = optimizer(gpu, Optimizer::new(&gpu.device), group, elements)?;
    let (mut stream, _others) = optimizer(gpu, Optimizer::streaming(&gpu.device), group, elements)?;
    let (mut param, grad) = (vec![0.0; elements as usize], vec![1e-3; elements as usize]);
    let mut cpu = Cpu::new(group, elements as usize)?;

    let steps = clock.enough(&mut step, enough)?;
    let [mut step_ms, mut stream_ms, mut cpu1_ms, mut cpu_ms] =
        [(); 4].map(|()| Samples::default());
    for _ in 0..rounds {
        step_ms.push(clock.gpu_ms(&mut step, steps)?);
        stream_ms.push(clock.gpu_ms(&mut stream, steps)?);
        let mut on_cpu = || time_cpu(enough, || cpu.step(&mut param, &grad));
        cpu1_ms.push(one.install(&mut on_cpu)?);
        cpu_ms.push(on_cpu()?);
    }
    let slots = group.rule.slots().len() as u64;
    // Parameter, gradient and slots are read, parameter and slots written.
    let bytes = 4 * (2 + slots) + 4 * (1 + slots);
    let gbps = |ms: f64| (bytes * elements) as f64 / ms / 1e6;
    Ok(Row {
        rule: group.rule.name(),
        elements,
        bytes_per_parameter: bytes,
        step_ms: step_ms.median(),
        step_gbps: gbps(step_ms.median()),
        step_spread: step_ms.spread(),
        stream_ms: stream_ms.median(),
        stream_gbps: gbps(stream_ms.median()),
        stream_spread: stream_ms.spread(),
        fraction_of_stream: stream_ms.over(&step_ms).median(),
        cpu1_ms: cpu1_ms.median(),
        cpu1_gbps: gbps(cpu1_ms.median()),
        cpu_ms: cpu_ms.median(),
        cpu_gbps: gbps(cpu_ms.median()),
        gpu_over_cpu: cpu_ms.over(&step_ms).median(),
    })
}

/// `optimizer` over one parameter of its own, and the buffers that this keeps alive.
fn optimizer(
    gpu: &Gpu,
    mut optimizer: Optimizer,
    group: &Group,
    elements: u64,
) -> Result<(Optimizer, [View; 2]), Failure> {
    let (param, grad) = (gpu.zeros("param", elements)?, gpu.zeros("grad", elements)?);
    let views = [View::f32(&param), View::f32(&grad)];
    let id = optimizer.add_group(group.clone())?;
    optimizer.add_param(id, "w", views[0].clone(), views[1].clone())?;
    optimizer.prepare()?;
    Ok((optimizer, views))
}

fn table(rows: &[Row]) -> String {
    let head = [
        "rule",
        "elements",
        "B/param",
        "step ms",
        "GB/s",
        "±%",
        "stream GB/s",
        "±%",
        "of stream",
        "CPU ×1 ms",
        "CPU ms",
        "CPU GB/s",
        "GPU ÷ CPU",
    ];
    let mut cells = vec![head.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.rule.to_owned(),
            row.elements.to_string(),
            row.bytes_per_parameter.to_string(),
            format!("{:.3}", row.step_ms),
            format!("{:.1}", row.step_gbps),
            format!("{:.0}", 100.0 * row.step_spread),
            format!("{:.1}", row.stream_gbps),
            format!("{:.0}", 100.0 * row.stream_spread),
            format!("{:.2}", row.fraction_of_stream),
            format!("{:.3}", row.cpu1_ms),
            format!("{:.3}", row.cpu_ms),
            format!("{:.1}", row.cpu_gbps),
            format!("{:.2}", row.gpu_over_cpu),
        ]
    }));
    crate::output::columns(&cells)
}
