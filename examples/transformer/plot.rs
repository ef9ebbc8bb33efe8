//! The validation losses of a comparison as curves, each with a band from the least to the most of all seeds.

#[path = "../digits/plot/canvas.rs"]
mod canvas;
#[path = "../digits/plot/grid.rs"]
mod grid;

use std::path::Path;

use plotters::prelude::*;

use super::Result;
use super::compare::{Series, Spread};
use canvas::{Area, paint, titled};
use grid::{Axis, chart, legend, line};

/// One colour a format, told apart by colour-blind readers too
/// ([Okabe & Ito 2008](https://jfly.uni-koeln.de/color/)).
const COLORS: [RGBColor; 4] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
];

/// Writes the picture of a comparison.
pub(crate) fn write(path: &Path, all: &[Series], seeds: u64) -> Result<()> {
    paint(path, |area| draw(area, all, seeds))
}

fn draw(area: &Area<'_>, all: &[Series], seeds: u64) -> Result<()> {
    let explanation = format!(
        "Character-level transformer. Lines: means of {seeds} seeds. Bands: from the least to the most."
    );
    let area =
        titled(area, "Validation loss by the format of the optimizer's state", &explanation)?;
    let curves: Vec<Vec<(usize, Spread)>> = all.iter().map(Series::curve).collect();
    let points = || curves.iter().flatten();
    let last = points().map(|(step, _)| *step).max().ok_or("nothing was trained")?;
    // Losses that are no numbers have no place on an axis.
    let finite = |x: &f64| x.is_finite();
    let least = points().map(|(_, s)| s.least).filter(finite).fold(f64::INFINITY, f64::min);
    let most = points().map(|(_, s)| s.most).filter(finite).fold(0.0, f64::max).min(10.0);
    if least > most {
        return Err("no loss is a number that can be drawn".into());
    }
    let [low, high] = [(least * 5.0).floor() / 5.0, (most * 5.0).ceil() / 5.0 + 0.01];

    let apart = last.div_ceil(10).max(1);
    let marks = (0..=last).step_by(apart).map(|step| (step as f64, step.to_string()));
    let x = Axis { range: 0.0..last as f64, title: "step", labels: marks.collect() };
    let fifths = (low * 5.0).round() as i32..=(high * 5.0) as i32;
    let marks = fifths.map(|fifth| f64::from(fifth) / 5.0).map(|y| (y, format!("{y:.1}")));
    let title = "validation loss (nats a character)";
    let y = Axis { range: low..high, title, labels: marks.collect() };
    let mut chart = chart(&area, &x, &y)?;

    let coloured = || curves.iter().zip(COLORS.into_iter().cycle());
    let drawn = |(_, s): &&(usize, Spread)| s.least.is_finite() && s.most.is_finite();
    let clamped = |loss: f64| loss.clamp(low, high);
    for (curve, color) in coloured() {
        let above = curve.iter().filter(drawn).map(|(step, s)| (*step as f64, clamped(s.most)));
        let below = curve.iter().filter(drawn).map(|(step, s)| (*step as f64, clamped(s.least)));
        let outline: Vec<(f64, f64)> = above.chain(below.rev()).collect();
        chart.draw_series([Polygon::new(outline, color.mix(0.2).filled())])?;
    }
    for ((curve, color), series) in coloured().zip(all) {
        let means = curve.iter().filter(drawn).map(|(step, s)| (*step as f64, clamped(s.mean)));
        line(&mut chart, means, color, &series.format)?;
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}
