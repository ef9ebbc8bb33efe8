//! Trainings: one network, one order of images, every optimizer at every learning rate.

use std::ops::RangeInclusive;

use wgpu_optim::headless::Gpu;
use wgpu_optim::{Control, Format, Group, LossScale, Master, Optimizer, View};

use super::Result;
use super::data::Schedule;
use super::network::{Network, Score};
use super::settings::Settings;

/// A rule with its defaults, given the learning rate.
pub(crate) type AtRate = fn(f64) -> Group;

/// The optimizers that are compared, by name.
pub(crate) const OPTIMIZERS: [(&str, AtRate); 3] =
    [("SGD", Group::sgd), ("RMSProp", Group::rmsprop), ("ADAM", Group::adam)];

/// How much of its best accuracy an optimizer must reach at a rate for the rate to be in its range.
pub(crate) const SHARE: f64 = 0.9;

/// One training and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Learning rate.
    pub(crate) rate: f64,
    /// Mean training loss of each epoch; not a number once the training has blown up.
    pub(crate) losses: Vec<f64>,
    /// Share of the held-out images recognized after the last step.
    pub(crate) accuracy: f64,
    /// Mean loss on the held-out images after the last step.
    pub(crate) test_loss: f64,
    /// Steps not taken, because a gradient times the loss scale was not finite.
    pub(crate) skipped: u64,
}

/// All trainings by one optimizer, from the lowest rate to the highest.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) runs: Vec<Run>,
}

impl Series {
    /// The index of the most accurate run; of equally accurate ones, the one with the lowest test loss.
    pub(crate) fn best(&self) -> usize {
        let order = |a: &Run, b: &Run| {
            // A loss that is not a number orders after every other.
            a.accuracy.total_cmp(&b.accuracy).then(b.test_loss.abs().total_cmp(&a.test_loss.abs()))
        };
        let runs = self.runs.iter().enumerate();
        runs.max_by(|(_, a), (_, b)| order(a, b)).map_or(0, |(index, _)| index)
    }

    /// The runs next to each other, the best among them, that reach [`SHARE`] of the best accuracy.
    pub(crate) fn range(&self) -> RangeInclusive<usize> {
        let best = self.best();
        let enough = |run: &Run| run.accuracy >= SHARE * self.runs[best].accuracy;
        let below = self.runs[..best].iter().rev().take_while(|run| enough(run)).count();
        let above = self.runs[best..].iter().skip(1).take_while(|run| enough(run)).count();
        best - below..=best + above
    }

    /// Whether [`Series::range`] ends only because the sweep does.
    pub(crate) fn open(&self) -> bool {
        let range = self.range();
        *range.start() == 0 || *range.end() + 1 == self.runs.len()
    }

    /// The mean accuracy of all runs: what a rate picked blindly from the sweep gives.
    pub(crate) fn mean(&self) -> f64 {
        self.runs.iter().map(|run| run.accuracy).sum::<f64>() / self.runs.len() as f64
    }

    /// The steps of all runs that were not taken.
    pub(crate) fn skipped(&self) -> u64 {
        self.runs.iter().map(|run| run.skipped).sum()
    }

    /// How many decades of learning rate [`Series::range`] spans.
    pub(crate) fn decades(&self) -> f64 {
        let range = self.range();
        (self.runs[*range.end()].rate / self.runs[*range.start()].rate).log10()
    }
}

/// Trains with every optimizer at every rate. `done` is told of each training as it ends.
pub(crate) fn sweep(
    gpu: &Gpu,
    network: &mut Network,
    schedule: &Schedule,
    settings: &Settings,
    initial: &[f32],
    rates: &[f64],
    mut done: impl FnMut(),
) -> Result<Vec<Series>> {
    let mut all = Vec::new();
    for (name, group) in OPTIMIZERS {
        let mut runs = Vec::new();
        for &rate in rates {
            network.set(gpu, initial);
            runs.push(train(gpu, network, schedule, settings, group(rate))?);
            done();
        }
        all.push(Series { name, runs });
    }
    Ok(all)
}

/// One training from the parameters as they are. Nothing is read back before its end.
fn train(
    gpu: &Gpu,
    network: &mut Network,
    schedule: &Schedule,
    settings: &Settings,
    group: Group,
) -> Result<Run> {
    let Settings { control, state_format, .. } = settings;
    let rate = group.lr;
    let mut optimizer = Optimizer::new(&gpu.device);
    optimizer.set_control(*control)?;
    network.scale_loss(gpu, &loss_scale(gpu, &optimizer, control)?);
    let group = group.master(master(network.format())).state_format(state_format.clone());
    let group = optimizer.add_group(group)?;
    for (name, param, grad) in network.parameters() {
        optimizer.add_param(group, name, param, grad)?;
    }

    for epoch in 0..schedule.epochs {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for batch in schedule.epoch(epoch) {
            network.record_gradients(&mut pass, batch);
            optimizer.step_in_pass(&mut pass);
        }
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
    }

    let test = schedule.test();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    network.record_scores(&mut encoder.begin_compute_pass(&Default::default()), test);
    gpu.queue.submit([encoder.finish()]);

    let skipped = match control.loss_scale {
        LossScale::Fixed(_) => 0,
        _ => skipped(gpu, &optimizer)?,
    };
    let scores = network.scores(gpu)?;
    let of = |batches| &scores[schedule.places(batches)];
    let loss = |scores| mean(scores, |score| score.loss);
    let test = of(test..test + 1);
    Ok(Run {
        rate,
        losses: (0..schedule.epochs).map(|epoch| loss(of(schedule.epoch(epoch)))).collect(),
        accuracy: mean(test, |score| score.hit),
        test_loss: loss(test),
        skipped,
    })
}

/// The one number by which the loss is multiplied.
pub(crate) fn loss_scale(gpu: &Gpu, optimizer: &Optimizer, control: &Control) -> Result<View> {
    // A dynamic scale is the optimizer's, and changes with its steps.
    let view = match control.loss_scale {
        LossScale::Fixed(scale) => Some(View::f32(&gpu.upload("loss scale", &[scale as f32])?)),
        _ => optimizer.loss_scale(),
    };
    Ok(view.ok_or("the optimizer has no loss scale")?)
}

/// The steps not taken, of an optimizer that may skip some.
pub(crate) fn skipped(gpu: &Gpu, optimizer: &Optimizer) -> Result<u64> {
    let stats = optimizer.stats(&gpu.queue);
    gpu.wait()?;
    Ok(pollster::block_on(stats)?.skipped)
}

/// Where a 16-bit parameter's steps below its last digit are kept, which would be lost otherwise.
pub(crate) fn master(format: Format) -> Master {
    match format {
        Format::F16 => Master::F32,
        Format::Bf16 => Master::Remainder,
        _ => Master::None,
    }
}

pub(crate) fn mean(scores: &[Score], of: impl Fn(&Score) -> f32) -> f64 {
    scores.iter().map(|score| f64::from(of(score))).sum::<f64>() / scores.len() as f64
}

/// Learning rates two a decade.
pub(crate) fn half_decades(from: i32, to: i32) -> Vec<f64> {
    (2 * from..=2 * to).map(|half| 10_f64.powf(f64::from(half) / 2.0)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Runs of these accuracies at rates from 1e-5 up, two a decade.
    pub(crate) fn series(name: &'static str, accuracies: &[f64]) -> Series {
        let rates = half_decades(-5, 0);
        let run = |(&accuracy, rate)| {
            let losses = vec![1.0];
            Run { rate, losses, accuracy, test_loss: 1.0, skipped: 0 }
        };
        Series { name, runs: accuracies.iter().zip(rates).map(run).collect() }
    }

    #[test]
    fn a_range_lies_around_the_best_without_gaps() {
        let with_a_gap = series("", &[0.95, 0.1, 0.9, 1.0, 0.92, 0.89, 0.95]);
        assert_eq!(with_a_gap.best(), 3);
        assert_eq!(with_a_gap.range(), 2..=4);
        assert!((with_a_gap.decades() - 1.0).abs() < 1e-9);
        assert_eq!(series("", &[0.1, 0.9, 0.1]).range(), 1..=1);
        assert_eq!(series("", &[0.9, 0.9, 0.9]).range(), 0..=2);
    }

    #[test]
    fn the_lower_test_loss_decides_between_equally_accurate_runs() {
        let mut equal = series("", &[0.9, 0.9, 0.9, 0.9]);
        for (run, loss) in equal.runs.iter_mut().zip([0.4, 0.3, f64::NAN, 0.5]) {
            run.test_loss = loss;
        }
        assert_eq!(equal.best(), 1);
    }

    #[test]
    fn rates_stand_two_a_decade() {
        let rates = half_decades(-5, 0);
        assert_eq!(rates.len(), 11);
        assert!((rates[0] - 1e-5).abs() < 1e-15 && (rates[1] - 3.1623e-5).abs() < 1e-9);
        assert!((rates[10] - 1.0).abs() < 1e-15);
    }
}
