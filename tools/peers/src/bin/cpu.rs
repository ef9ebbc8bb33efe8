//! The CPU engine as a child process of `torch_cpu.py`. Answers every line `RULE ELEMENTS MS` with
//! the milliseconds of one step over at least MS of them, and sleeps in between.

use std::io::{BufRead, Write};

use wgpu_optim::{Adam, Cpu, Group, RmsProp, Sgd, timing};

type Failure = Box<dyn std::error::Error>;

/// One rule with what it steps. Made when it is first asked for.
struct Bench {
    rule: String,
    cpu: Cpu,
    param: Vec<f32>,
    grad: Vec<f32>,
}

impl Bench {
    fn new(rule: &str, elements: usize) -> Result<Self, Failure> {
        // The options of torch_cpu.py.
        let group = match rule {
            "adam" => Group::new(1e-3, Adam::pytorch()),
            "rmsprop" => Group::new(1e-2, RmsProp::pytorch()),
            "sgd" => Group::new(1e-3, Sgd { momentum: 0.9, ..Sgd::default() }),
            _ => return Err(format!("unknown rule `{rule}`").into()),
        };
        let cpu = Cpu::new(&group, elements)?;
        // Written once, so that no page is the kernel's shared page of zeros.
        let (param, grad) = (vec![0.1; elements], vec![1e-3; elements]);
        Ok(Self { rule: rule.to_owned(), cpu, param, grad })
    }
}

fn main() -> Result<(), Failure> {
    let mut bench: Option<Bench> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let [rule, elements, ms] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("`{line}` is not RULE ELEMENTS MS").into());
        };
        let (elements, ms) = (elements.parse()?, ms.parse()?);
        let fits = |bench: &Bench| bench.rule == rule && bench.param.len() == elements;
        let Bench { cpu, param, grad, .. } = match bench.take_if(|bench| !fits(bench)) {
            None if bench.is_some() => bench.as_mut().ok_or("no bench")?,
            _ => bench.insert(Bench::new(rule, elements)?),
        };
        println!("{:.6}", timing::cpu_ms(ms, || cpu.step(param, grad))?);
        std::io::stdout().flush()?;
    }
    Ok(())
}
