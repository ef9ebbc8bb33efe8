//! One training by itself, which may be broken off at any moment and goes on from its last checkpoint.

use std::io::Write;

use wgpu_optim::headless::Gpu;
use wgpu_optim::{Adagrad, Group, Lion, LossScale, Optimizer, Target};

use super::Result;
use super::data::{Digits, Schedule};
use super::kept::{Found, Saver, notes};
use super::network::{self, Network};
use super::options::Options;
use super::report;
use super::settings::{Course, Settings};
use super::sweep::{AtRate, loss_scale, master, mean, skipped};

/// The optimizers that `--run` knows.
const RULES: [(&str, AtRate); 6] = [
    ("sgd", Group::sgd),
    ("adagrad", |lr| Group::new(lr, Adagrad::default())),
    ("rmsprop", Group::rmsprop),
    ("adam", Group::adam),
    ("adamw", Group::adamw),
    ("lion", |lr| Group::new(lr, Lion::default())),
];

/// A training on its way.
struct Training<'a> {
    gpu: &'a Gpu,
    settings: &'a Settings,
    schedule: &'a Schedule,
    network: Network,
    optimizer: Optimizer,
    /// The mini-batches that lie behind it, of all epochs.
    place: usize,
}

/// Trains from the beginning or from a checkpoint to the end of the last epoch.
pub(crate) fn run(gpu: &Gpu, options: &Options, out: &mut impl Write) -> Result<()> {
    let mut saver = Saver::new(&gpu.queue, options.save.as_deref())?;
    let found = options.resume.as_deref().map(Found::read).transpose()?;
    let settings = match &found {
        Some(found) => found.settings(options)?,
        None => options.settings.clone(),
    };
    let digits = Digits::load(settings.seed)?;
    let schedule = Schedule::new(&digits, settings.epochs, settings.batch, settings.seed + 1);
    report::images(out, &digits, &settings)?;
    let mut network = Network::new(gpu, &digits, &schedule, settings.precision)?;
    network.set(gpu, &network::initial(settings.seed + 2));

    let mut optimizer = Optimizer::new(&gpu.device);
    optimizer.set_control(settings.control)?;
    let place = match &found {
        Some(found) => {
            found.load(gpu, &mut optimizer, &network)?;
            found.place(&settings, schedule.test())?
        }
        None => {
            let group = optimizer.add_group(group(&settings, schedule.test())?)?;
            for (name, param, grad) in network.parameters() {
                optimizer.add_param(group, name, param, grad)?;
            }
            0
        }
    };
    network.scale_loss(gpu, &loss_scale(gpu, &optimizer, &settings.control)?);

    writeln!(out, "{}", described(&settings))?;
    let mut training =
        Training { gpu, settings: &settings, schedule: &schedule, network, optimizer, place };
    if let Some(found) = &found {
        let [epoch, batch] = training.at();
        let step = place / settings.accumulate as usize;
        let next = match place == schedule.test() {
            true => "nothing is left to train".to_owned(),
            false => format!("epoch {}, batch {}", epoch + 1, batch + 1),
        };
        writeln!(out, "{}: step {step}, {next}", found.how())?;
    }
    training.train(options, &mut saver, out)?;

    if let LossScale::Dynamic { .. } = settings.control.loss_scale {
        let steps = schedule.test() / settings.accumulate as usize;
        let skipped = skipped(gpu, &training.optimizer)?;
        writeln!(out, "{skipped} of {steps} steps skipped")?;
    }
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let snapshot = training.optimizer.snapshot(&mut encoder, &notes(&settings, training.at()))?;
    gpu.queue.submit([encoder.finish()]);
    let checksum = saver.finish(snapshot)?;
    Ok(writeln!(out, "checksum {checksum} of parameters, state and notes")?)
}

impl Training<'_> {
    fn batches_per_epoch(&self) -> usize {
        self.schedule.epoch(0).len()
    }

    /// The epochs behind, and the batches behind in the next one.
    fn at(&self) -> [usize; 2] {
        [self.place / self.batches_per_epoch(), self.place % self.batches_per_epoch()]
    }

    /// Trains to the end, and tells how each epoch went.
    fn train(&mut self, options: &Options, saver: &mut Saver, out: &mut impl Write) -> Result<()> {
        let Self { gpu, settings, schedule, .. } = *self;
        let accumulate = settings.accumulate as usize;
        let test = schedule.test();
        while self.place < test {
            let (epoch, first) = (self.at()[0], self.place);
            let end = schedule.epoch(epoch).end;
            while self.place < end {
                let mut encoder = gpu.device.create_command_encoder(&Default::default());
                let mut pass = encoder.begin_compute_pass(&Default::default());
                let saves = loop {
                    self.network.record_gradients(&mut pass, self.place);
                    if accumulate > 1 {
                        self.optimizer.accumulate_in_pass(&mut pass)?;
                    }
                    self.place += 1;
                    let steps = self.place / accumulate;
                    let stepped = self.place.is_multiple_of(accumulate);
                    if stepped {
                        self.optimizer.step_in_pass(&mut pass);
                    }
                    let saves = match options.save_every {
                        Some(every) => stepped && (steps as u64).is_multiple_of(every),
                        None => self.place == end,
                    };
                    if saves || self.place == end {
                        break saves;
                    }
                };
                if self.place == end {
                    self.network.record_scores(&mut pass, test);
                }
                drop(pass);
                // The last one is written when all is done.
                let saves = saves && options.save.is_some() && self.place < test;
                let snapshot = if saves {
                    // Before the copies are made, so that there is memory for one set of them at most.
                    saver.wait()?;
                    let options = notes(settings, self.at());
                    Some(self.optimizer.snapshot(&mut encoder, &options)?)
                } else {
                    None
                };
                gpu.queue.submit([encoder.finish()]);
                if let Some(snapshot) = snapshot {
                    saver.start(snapshot);
                }
            }
            let scores = self.network.scores(gpu)?;
            let loss = mean(&scores[schedule.places(first..end)], |score| score.loss);
            let held_out = &scores[schedule.places(test..test + 1)];
            let accuracy = mean(held_out, |score| score.hit);
            let held_out = mean(held_out, |score| score.loss);
            writeln!(
                out,
                "epoch {:>3}: loss {loss:.4}, accuracy {accuracy:.4}, held-out loss {held_out:.4}",
                epoch + 1
            )?;
        }
        Ok(())
    }
}

/// The optimizer's group of a run that begins, which has this number of mini-batches.
fn group(settings: &Settings, batches: usize) -> Result<Group> {
    let Settings { rule, lr, .. } = settings;
    let Some((_, at_rate)) = RULES.iter().find(|(name, _)| name == rule) else {
        let known: Vec<&str> = RULES.iter().map(|(name, _)| *name).collect();
        return Err(format!("`--run`: no `{rule}` is known; there are {}", known.join(", ")).into());
    };
    let group = at_rate(*lr).master(master(settings.precision));
    let group = group.state_format(settings.state_format.clone());
    let steps = (batches / settings.accumulate as usize) as u64;
    let warmup = steps / 10;
    Ok(match settings.schedule {
        Course::Constant => group,
        Course::Cosine if warmup == 0 => {
            group.schedule(Target::Lr, wgpu_optim::Schedule::cosine(*lr, 0.0, steps.max(1)))
        }
        Course::Cosine => {
            let falling = wgpu_optim::Schedule::cosine(*lr, 0.0, steps - warmup);
            group.schedule(Target::Lr, wgpu_optim::Schedule::warmup(warmup, 0.0, falling))
        }
    })
}

/// A run in a line.
fn described(settings: &Settings) -> String {
    let Settings { rule, lr, seed, accumulate, .. } = settings;
    let course = match settings.schedule {
        Course::Constant => "",
        Course::Cosine => ", down by a cosine",
    };
    let parts = match accumulate {
        1 => String::new(),
        _ => format!(", {accumulate} batches a step"),
    };
    format!("{rule} at {}{course}, seed {seed}{parts}", report::rate(*lr))
}
