//! Trainings that differ only in the format of the optimizer's state, over several seeds.

use serde_json::{Value, json};
use wgpu_optim::Group;
use wgpu_optim::headless::Gpu;

use super::Result;
use super::formats::{COMPARED, with_state};
use super::text::Text;
use super::train::{Run, prepare, train};

/// All trainings with state in one format, one for each seed.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) format: String,
    pub(crate) runs: Vec<Run>,
}

/// A mean with the deviation of a single number and the range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// The spread of some numbers, of which there is one at least.
    pub(crate) fn of(numbers: &[f64]) -> Self {
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
        let deviation = (squares / (count - 1.0).max(1.0)).sqrt();
        let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { mean, deviation, least, most }
    }
}

impl Series {
    /// The validation losses at the end.
    pub(crate) fn results(&self) -> Spread {
        Spread::of(&self.runs.iter().map(Run::result).collect::<Vec<_>>())
    }

    /// The differences to the results of the same seeds, in percent of those.
    fn differences(&self, reference: &Self) -> Spread {
        let pairs = self.runs.iter().zip(&reference.runs);
        Spread::of(&pairs.map(|(run, to)| percent(run.result(), to.result())).collect::<Vec<_>>())
    }

    /// The steps of the evaluations, each with the validation losses of all seeds.
    pub(crate) fn curve(&self) -> Vec<(usize, Spread)> {
        let steps = self.runs.first().map(|run| &run.evaluations[..]).unwrap_or_default();
        let at = |i: usize| -> Vec<f64> {
            self.runs.iter().map(|run| run.evaluations[i].validation).collect()
        };
        steps.iter().enumerate().map(|(i, e)| (e.step, Spread::of(&at(i)))).collect()
    }
}

fn percent(number: f64, reference: f64) -> f64 {
    100.0 * (number / reference - 1.0)
}

/// Trains with every format and every seed. `done` is told of each training as it ends.
pub(crate) fn compare(
    gpu: &Gpu,
    text: &Text,
    group: &Group,
    steps: usize,
    seeds: impl Iterator<Item = u64>,
    mut done: impl FnMut(&str, &Run) -> Result<()>,
) -> Result<Vec<Series>> {
    let mut all: Vec<Series> = COMPARED
        .iter()
        .map(|format| Series { format: (*format).to_owned(), runs: Vec::new() })
        .collect();
    for seed in seeds {
        let (network, schedule) = prepare(gpu, text, steps, seed)?;
        for series in &mut all {
            let group = with_state(group.clone(), &series.format)?;
            let run = train(gpu, &network, &schedule, &group, seed, |_| Ok(()))?;
            done(&series.format, &run)?;
            series.runs.push(run);
        }
    }
    Ok(all)
}

/// The results in Markdown.
pub(crate) fn table(all: &[Series]) -> String {
    let Some(reference) = all.first() else { return String::new() };
    let name = &reference.format;
    let mut table = format!(
        "| state | validation loss | deviation | least to most | off {name}, same seed | \
         off {name}, means |\n|---|---|---|---|---|---|\n"
    );
    for series in all {
        let Spread { mean, deviation, least, most } = series.results();
        let off = series.differences(reference);
        let means = percent(mean, reference.results().mean);
        table += &format!(
            "| {} | {mean:.4} | {deviation:.4} | {least:.4} to {most:.4} | \
             {:+.3} % ({:+.3} to {:+.3}) | {means:+.3} % |\n",
            series.format, off.mean, off.least, off.most
        );
    }
    table
}

/// All numbers of some series.
pub(crate) fn numbers(all: &[Series]) -> Value {
    let evaluations = |run: &Run| -> Vec<Value> {
        let one = run.evaluations.iter();
        one.map(|e| json!({"step": e.step, "training": e.training, "validation": e.validation}))
            .collect()
    };
    let run = |run: &Run| json!({"seed": run.seed, "result": run.result(), "evaluations": evaluations(run)});
    let series = all.iter().map(|series| {
        let Spread { mean, deviation, least, most } = series.results();
        let runs: Vec<Value> = series.runs.iter().map(run).collect();
        json!({
            "state_format": series.format,
            "mean": mean,
            "deviation": deviation,
            "least": least,
            "most": most,
            "runs": runs,
        })
    });
    Value::Array(series.collect())
}

#[cfg(test)]
mod tests {
    use super::super::train::Evaluation;
    use super::*;

    #[test]
    fn the_table_has_the_differences_of_equal_seeds_and_of_the_means() {
        let series = |format: &str, losses: [f64; 2]| {
            let run = |(seed, validation)| Run {
                seed,
                evaluations: vec![Evaluation { step: 1, training: 0.0, validation }],
            };
            Series { format: format.to_owned(), runs: (1..).zip(losses).map(run).collect() }
        };
        let all = [series("f32", [1.0, 3.0]), series("bf16", [1.1, 2.7])];
        let table = table(&all);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(
            rows[1],
            "| bf16 | 1.9000 | 1.1314 | 1.1000 to 2.7000 | +0.000 % (-10.000 to +10.000) | -5.000 % |"
        );
        assert_eq!(numbers(&all)[1]["runs"][1]["result"], 2.7);
    }
}
