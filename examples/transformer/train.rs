//! One training of the network.

use wgpu_optim::headless::Gpu;
use wgpu_optim::{Group, Optimizer, Schedule as Course, Target};

use super::Result;
use super::network::Network;
use super::shape::Shape;
use super::text::{Schedule, Text};

/// Evaluations of a training, at even distances.
const EVALUATIONS: usize = 20;

/// The evaluations at the end whose mean is a training's result.
const LAST: usize = 3;

/// The share of the steps in which the learning rate rises, and the share of it that is left at the end.
const WARMUP: f64 = 0.1;
const LEFT: f64 = 0.1;

/// Losses at some step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evaluation {
    /// Steps behind.
    pub(crate) step: usize,
    /// Mean loss of the batches since the evaluation before.
    pub(crate) training: f64,
    /// Mean loss over the whole validation part.
    pub(crate) validation: f64,
}

/// The outcome of a training.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) evaluations: Vec<Evaluation>,
}

impl Run {
    /// The mean validation loss of the last evaluations.
    pub(crate) fn result(&self) -> f64 {
        let last = &self.evaluations[self.evaluations.len().saturating_sub(LAST)..];
        last.iter().map(|evaluation| evaluation.validation).sum::<f64>() / last.len() as f64
    }
}

/// Makes the network and the batches of a seed; trainings that are compared share them.
pub(crate) fn prepare(
    gpu: &Gpu,
    text: &Text,
    steps: usize,
    seed: u64,
) -> Result<(Network, Schedule)> {
    let shape = Shape::EXAMPLE;
    let schedule = Schedule::new(text, &shape, steps, seed)?;
    let network = Network::new(gpu, shape, &text.numbers, &schedule)?;
    Ok((network, schedule))
}

/// Trains from the seed's first parameters. `told` is given each evaluation as it is made.
pub(crate) fn train(
    gpu: &Gpu,
    network: &Network,
    schedule: &Schedule,
    group: &Group,
    seed: u64,
    mut told: impl FnMut(Evaluation) -> Result<()>,
) -> Result<Run> {
    network.set(gpu, &network.shape.initial(seed));
    let steps = schedule.steps;
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = optimizer.add_group(group.clone().schedule(Target::Lr, course(group.lr, steps)))?;
    for (name, param, grad) in network.parameters() {
        optimizer.add_param(group, name, param, grad)?;
    }

    let mut run = Run { seed, evaluations: Vec::new() };
    let mut first = 0;
    for step in 0..steps {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        network.record_gradients(&mut pass, step);
        optimizer.step_in_pass(&mut pass);
        let behind = step + 1;
        let evaluates = behind * EVALUATIONS / steps > step * EVALUATIONS / steps;
        if evaluates {
            schedule.validation().for_each(|batch| network.record_score(&mut pass, batch));
        }
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
        if evaluates {
            let scores = network.scores(gpu)?;
            let training = mean(&scores[first..behind]);
            let validation = mean(&scores[schedule.validation()]);
            let evaluation = Evaluation { step: behind, training, validation };
            told(evaluation)?;
            run.evaluations.push(evaluation);
            first = behind;
        }
    }
    Ok(run)
}

/// The learning rate of each step: up along a line, then down along a cosine.
fn course(lr: f64, steps: usize) -> Course {
    let warmup = (WARMUP * steps as f64) as u64;
    let falling = Course::cosine(lr, LEFT * lr, (steps as u64 - warmup).max(1));
    match warmup {
        0 => falling,
        _ => Course::warmup(warmup, 0.0, falling),
    }
}

fn mean(losses: &[f32]) -> f64 {
    losses.iter().map(|loss| f64::from(*loss)).sum::<f64>() / losses.len() as f64
}
