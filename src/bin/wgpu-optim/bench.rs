//! How fast a step is: against a kernel that only moves the same bytes, and against the CPU.

mod plot;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use wgpu_optim::headless::{Gpu, is_software};
use wgpu_optim::timing::{Clock, Samples, cpu_ms as time_cpu};
use wgpu_optim::{Cpu, Group, Optimizer, StateFormat, View, rule};

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
    /// Formats of state beside f32, in turn with it: f16, bf16, block8, block4. Without, f32 alone.
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', value_parser = state_format)]
    state_format: Vec<StateFormat>,
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
    state_format: &'static str,
    elements: u64,
    /// Bytes that a step reads and writes of a parameter.
    bytes_per_parameter: f64,
    /// Bytes of state of a parameter.
    state_bytes: f64,
    step_ms: f64,
    step_gbps: f64,
    /// Half the distance from the first quartile to the third, relative to the median.
    step_spread: f64,
    stream_ms: f64,
    stream_gbps: f64,
    stream_spread: f64,
    /// How much of the stream's speed the step has: the median of the ratios sample by sample.
    fraction_of_stream: f64,
    /// The time of this step in times of the same rule's with state in f32: the median of the ratios sample by sample.
    of_f32: f64,
    cpu1_ms: f64,
    cpu1_gbps: f64,
    cpu_ms: f64,
    cpu_gbps: f64,
    /// How many times as fast as all the CPU's threads.
    gpu_over_cpu: f64,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let others = options.state_format.iter().copied().filter(|one| *one != StateFormat::F32);
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
            let formats: Vec<StateFormat> =
                [StateFormat::F32].into_iter().chain(others.clone()).collect();
            rows.extend(measure(&clock, &one, (group, &formats), elements, options.quick)?);
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

fn state_format(name: &str) -> Result<StateFormat, String> {
    let known = || StateFormat::ALL.map(StateFormat::name).join(", ");
    StateFormat::named(name).ok_or_else(|| format!("no format of state; known are {}", known()))
}

fn group(name: &str) -> Result<Group, Failure> {
    let entry = rule::ALL.iter().find(|entry| entry.name == name);
    match entry.and_then(|entry| (entry.variants)().into_iter().next()) {
        Some(variant) => Ok(variant.into()),
        None => Err(format!("unknown rule `{name}`; known are {}", names().join(", ")).into()),
    }
}

/// A step and its stream with state in one format, and their measurements.
struct Timed {
    format: StateFormat,
    step: Optimizer,
    stream: Optimizer,
    /// The buffers that both keep alive.
    _views: [[View; 2]; 2],
    bytes_per_parameter: f64,
    state_bytes: f64,
    steps: u32,
    step_ms: Samples,
    stream_ms: Samples,
}

impl Timed {
    fn new(
        clock: &Clock,
        group: &Group,
        format: StateFormat,
        (elements, enough): (u64, f64),
    ) -> Result<Self, Failure> {
        let gpu = &clock.gpu;
        let group = group.clone().state_format(format);
        let (mut step, params) = optimizer(gpu, Optimizer::new(&gpu.device), &group, elements)?;
        let streaming = Optimizer::streaming(&gpu.device);
        let (stream, others) = optimizer(gpu, streaming, &group, elements)?;
        let each = |bytes: u64| bytes as f64 / elements as f64;
        Ok(Self {
            format,
            bytes_per_parameter: each(step.bytes_per_step()),
            state_bytes: each(step.memory_bytes()),
            steps: clock.enough(&mut step, enough)?,
            step,
            stream,
            _views: [params, others],
            step_ms: Samples::default(),
            stream_ms: Samples::default(),
        })
    }
}

/// Steps, streams and both CPU engines in turn, so that whatever else the machine does strikes all.
fn measure(
    clock: &Clock,
    one: &rayon::ThreadPool,
    (group, formats): (&Group, &[StateFormat]),
    elements: u64,
    quick: bool,
) -> Result<Vec<Row>, Failure> {
    let (rounds, enough) = if quick { (3, 1.0) } else { (9, 20.0) };
    let timed = formats.iter().map(|format| Timed::new(clock, group, *format, (elements, enough)));
    let mut timed = timed.collect::<Result<Vec<_>, Failure>>()?;
    let (mut param, grad) = (vec![0.0; elements as usize], vec![1e-3; elements as usize]);
    let mut cpu = Cpu::new(group, elements as usize)?;
    let [mut cpu1_ms, mut cpu_ms] = [(); 2].map(|()| Samples::default());
    for _ in 0..rounds {
        for of in &mut timed {
            of.step_ms.push(clock.gpu_ms(&mut of.step, of.steps)?);
            of.stream_ms.push(clock.gpu_ms(&mut of.stream, of.steps)?);
        }
        let mut on_cpu = || time_cpu(enough, || cpu.step(&mut param, &grad));
        cpu1_ms.push(one.install(&mut on_cpu)?);
        cpu_ms.push(on_cpu()?);
    }
    let row = |of: &Timed| {
        let gbps = |bytes: f64, ms: f64| bytes * elements as f64 / ms / 1e6;
        let own = |ms: f64| gbps(of.bytes_per_parameter, ms);
        // The engines on the CPU keep state in f32.
        let on_cpu = |ms: f64| gbps(timed[0].bytes_per_parameter, ms);
        Row {
            rule: group.rule.name(),
            state_format: of.format.name(),
            elements,
            bytes_per_parameter: of.bytes_per_parameter,
            state_bytes: of.state_bytes,
            step_ms: of.step_ms.median(),
            step_gbps: own(of.step_ms.median()),
            step_spread: of.step_ms.spread(),
            stream_ms: of.stream_ms.median(),
            stream_gbps: own(of.stream_ms.median()),
            stream_spread: of.stream_ms.spread(),
            fraction_of_stream: of.stream_ms.over(&of.step_ms).median(),
            of_f32: of.step_ms.over(&timed[0].step_ms).median(),
            cpu1_ms: cpu1_ms.median(),
            cpu1_gbps: on_cpu(cpu1_ms.median()),
            cpu_ms: cpu_ms.median(),
            cpu_gbps: on_cpu(cpu_ms.median()),
            gpu_over_cpu: cpu_ms.over(&of.step_ms).median(),
        }
    };
    Ok(timed.iter().map(row).collect())
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
        "state",
        "elements",
        "B/param",
        "step ms",
        "GB/s",
        "±%",
        "stream GB/s",
        "±%",
        "of stream",
        "of f32",
        "CPU ×1 ms",
        "CPU ms",
        "CPU GB/s",
        "GPU ÷ CPU",
    ];
    let mut cells = vec![head.map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.rule.to_owned(),
            row.state_format.to_owned(),
            row.elements.to_string(),
            format!("{:.2}", row.bytes_per_parameter),
            format!("{:.3}", row.step_ms),
            format!("{:.1}", row.step_gbps),
            format!("{:.0}", 100.0 * row.step_spread),
            format!("{:.1}", row.stream_gbps),
            format!("{:.0}", 100.0 * row.stream_spread),
            format!("{:.2}", row.fraction_of_stream),
            format!("{:.2}", row.of_f32),
            format!("{:.3}", row.cpu1_ms),
            format!("{:.3}", row.cpu_ms),
            format!("{:.1}", row.cpu_gbps),
            format!("{:.2}", row.gpu_over_cpu),
        ]
    }));
    crate::output::columns(&cells)
}
