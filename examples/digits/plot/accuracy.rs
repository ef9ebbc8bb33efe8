//! Test accuracy against learning rate, and how far each optimizer's range of rates reaches.

use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::canvas::{Area, INK, px, shift, text, titled};
use super::grid::{Axis, Chart, LETTERS, RAISED, chart, legend, line};
use super::{Result, Series, coloured, rate, share, width};

/// How far the axis goes on either side of the sweep, in decades.
const BESIDE: f64 = 0.25;

pub(super) fn draw(area: &Area<'_>, all: &[Series]) -> Result<()> {
    let explanation = format!(
        "Share of held-out handwritten digits recognized after training. Filled points and bars: \
         at least {} of the optimizer's best; pale: not measured.",
        share(),
    );
    let area = titled(area, "How much the learning rate matters", &explanation)?;
    let (upper, lower) = area.split_vertically(px(470));

    let runs = all.first().map(|series| &series.runs[..]).unwrap_or_default();
    let labels: Vec<_> = runs.iter().map(|run| (run.rate.log10(), rate(run.rate))).collect();
    let (Some(&(first, _)), Some(&(last, _))) = (labels.first(), labels.last()) else {
        return Err("nothing was trained".into());
    };
    let range = first - BESIDE..last + BESIDE;
    let mut x = Axis { range, title: "", labels };
    curves(&upper, &x, all)?;
    x.title = "learning rate";
    bars(&lower, &x, all)
}

fn curves(area: &Area<'_>, x: &Axis<'_>, all: &[Series]) -> Result<()> {
    let labels = (0..=5).map(|fifth| f64::from(fifth) / 5.0).map(|y| (y, format!("{y:.1}")));
    let y = Axis { range: 0.0..1.02, title: "test accuracy", labels: labels.collect() };
    let mut chart = chart(area, x, &y)?;
    for (series, color) in coloured(all) {
        let points = series.runs.iter().map(|run| (run.rate.log10(), run.accuracy));
        line(&mut chart, points.clone(), color, series.name)?;
        let range = series.range();
        chart.draw_series(points.clone().map(|at| Circle::new(at, px(6), color.filled())))?;
        let outside = points.enumerate().filter(|(i, _)| !range.contains(i));
        chart.draw_series(outside.map(|(_, at)| Circle::new(at, px(4), WHITE.filled())))?;
    }
    legend(&mut chart, SeriesLabelPosition::LowerMiddle)
}

/// A bar for each optimizer's range, on the same axis.
fn bars(area: &Area<'_>, x: &Axis<'_>, all: &[Series]) -> Result<()> {
    let places: Vec<f64> = (0..all.len()).rev().map(|place| place as f64 + 0.5).collect();
    let names = all.iter().map(|series| series.name.to_owned());
    let labels = places.iter().copied().zip(names).collect();
    let y = Axis { range: 0.0..all.len() as f64, title: "", labels };
    let mut chart = chart(area, x, &y)?;
    for ((series, color), place) in coloured(all).zip(places) {
        bar(&mut chart, &x.range, series, color, place)?;
    }
    Ok(())
}

fn bar(
    chart: &mut Chart<'_>,
    axis: &Range<f64>,
    series: &Series,
    color: RGBColor,
    place: f64,
) -> Result<()> {
    let range = series.range();
    let [low, high] = [range.start(), range.end()].map(|&i| series.runs[i].rate.log10());
    // A range of one rate has no width and is to be seen all the same.
    let (low, high) = if low < high { (low, high) } else { (low - 0.02, high + 0.02) };
    let mut piece = |from, to, color: RGBColor| {
        let corners = [(from, place - 0.36), (to, place + 0.36)];
        chart.draw_series([Rectangle::new(corners, color.filled())]).map(|_| ())
    };
    piece(low, high, color)?;
    // Past the ends of the sweep the range may go on; nobody has looked.
    let [red, green, blue] = [color.0, color.1, color.2].map(|part| 255 - (255 - part) / 3);
    let pale = RGBColor(red, green, blue);
    if *range.start() == 0 {
        piece(axis.start, low, pale)?;
    }
    if *range.end() + 1 == series.runs.len() {
        piece(high, axis.end, pale)?;
    }

    // Inside a bar that is long enough, otherwise on the side with more room.
    let (at, side, color) = match (low + high) / 2.0 {
        center if high - low >= 0.9 => (center, HPos::Center, WHITE),
        center if center < (axis.start + axis.end) / 2.0 => (high + BESIDE, HPos::Left, INK),
        _ => (low - BESIDE / 2.0, HPos::Right, INK),
    };
    let style = text(LETTERS).color(&color).pos(Pos::new(side, VPos::Center));
    let label = EmptyElement::at((at, place)) + Text::new(width(series), (0, shift(RAISED)), style);
    chart.draw_series([label])?;
    Ok(())
}
