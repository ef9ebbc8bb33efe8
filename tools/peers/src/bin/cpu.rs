//! The CPU engine as a child process of `torch_cpu.py`. Answers every line, a JSON object of `config`, `elements` and
//! `ms`, with the milliseconds of one step over at least that many of them, and sleeps in between.

use std::io::{BufRead, Write};

use serde::Deserialize;
use wgpu_optim::{Cpu, config, timing};

type Failure = Box<dyn std::error::Error>;

/// The question of one line.
#[derive(Deserialize)]
struct Asked {
    /// CONFIG of `wgpu-optim replay`, as text.
    config: String,
    elements: usize,
    ms: f64,
}

/// One rule with what it steps. Made when it is first asked for.
struct Bench {
    config: String,
    cpu: Cpu,
    param: Vec<f32>,
    grad: Vec<f32>,
}

impl Bench {
    fn new(config: &str, elements: usize) -> Result<Self, Failure> {
        let groups = config::config(config)?.groups;
        let group = &groups.first().ok_or("CONFIG has no group")?.group;
        let cpu = Cpu::new(group, elements)?;
        // Written once, so that no page is the kernel's shared page of zeros.
        let (param, grad) = (vec![0.1; elements], vec![1e-3; elements]);
        Ok(Self { config: config.to_owned(), cpu, param, grad })
    }
}

fn main() -> Result<(), Failure> {
    let mut bench: Option<Bench> = None;
    for line in std::io::stdin().lock().lines() {
        let Asked { config, elements, ms } = serde_json::from_str(&line?)?;
        let fits = |bench: &Bench| bench.config == config && bench.param.len() == elements;
        let Bench { cpu, param, grad, .. } = match bench.take_if(|bench| !fits(bench)) {
            None if bench.is_some() => bench.as_mut().ok_or("no bench")?,
            _ => bench.insert(Bench::new(&config, elements)?),
        };
        println!("{:.6}", timing::cpu_ms(ms, || cpu.step(param, grad))?);
        std::io::stdout().flush()?;
    }
    Ok(())
}
