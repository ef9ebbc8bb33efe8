//! Training loss against epoch.

use plotters::prelude::*;

use super::canvas::{Area, px, titled};
use super::grid::{Axis, chart, legend, line};
use super::{Result, Run, Series, coloured, rate};

/// log₁₀ of the highest loss shown. Guessing costs ln 10 = 2.3; what costs more has blown up.
const CEILING: f64 = 1.0;
/// log₁₀ of the lowest, should a training reach it.
const FLOOR: f64 = -6.0;

pub(super) fn draw(area: &Area<'_>, all: &[Series]) -> Result<()> {
    let area = titled(
        area,
        "Training loss on handwritten digits",
        "Mean of each epoch. Bold: each optimizer at its best learning rate. Faint: at the others.",
    )?;
    let runs = || all.iter().flat_map(|series| &series.runs);
    let epochs = runs().map(|run| run.losses.len()).max().unwrap_or_default();
    let losses = runs().flat_map(|run| run.losses.iter().copied());
    let lowest = losses.filter(|&loss| loss > 0.0).fold(1.0, f64::min);
    let floor = lowest.log10().floor().max(FLOOR);

    let step = epochs.div_ceil(10).max(1);
    let marks = (step..=epochs).step_by(step).map(|epoch| (epoch as f64, epoch.to_string()));
    let x = Axis { range: 1.0..epochs as f64, title: "epoch", labels: marks.collect() };
    let decades = floor as i32..=CEILING as i32;
    let marks = decades.map(|decade| (f64::from(decade), format!("{}", 10_f64.powi(decade))));
    let range = floor..CEILING;
    let y = Axis { range, title: "training loss (cross-entropy)", labels: marks.collect() };
    let mut chart = chart(&area, &x, &y)?;

    for (series, color) in coloured(all) {
        let style = color.mix(0.3).stroke_width(px(1));
        for run in &series.runs {
            chart.draw_series(LineSeries::new(points(run, floor), style))?;
        }
    }
    for (series, color) in coloured(all) {
        let best = &series.runs[series.best()];
        let label = format!("{} at {}", series.name, rate(best.rate));
        line(&mut chart, points(best, floor), color, &label)?;
    }
    legend(&mut chart, SeriesLabelPosition::LowerLeft)
}

/// Epoch and log₁₀ of the loss, kept inside the picture; nothing where the loss is no number.
fn points(run: &Run, floor: f64) -> Vec<(f64, f64)> {
    (1..)
        .zip(&run.losses)
        .filter(|(_, loss)| !loss.is_nan())
        .map(|(epoch, loss)| (f64::from(epoch), loss.log10().clamp(floor, CEILING)))
        .collect()
}
