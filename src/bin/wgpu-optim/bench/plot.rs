//! Time against size, with what the stream allows, and how much of that each rule reaches.

use std::path::Path;

use plotters::prelude::*;

use super::Row;
use crate::Failure;
use crate::chart::{COLORS, prepare};

const SIZE: (u32, u32) = (1200, 900);

/// Draws both charts into one PNG.
pub(crate) fn draw(path: &Path, adapter: &str, rows: &[Row]) -> Result<(), Failure> {
    prepare()?;
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let root = BitMapBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|e| failed(&e))?;
    let root = root.titled(adapter, ("sans-serif", 24)).map_err(|e| failed(&e))?;
    let (above, below) = root.split_vertically(560);
    times(&above, rows).map_err(|e| failed(&e))?;
    fractions(&below, rows).map_err(|e| failed(&e))?;
    root.present().map_err(|e| failed(&e))?;
    Ok(())
}

type Area<'a> = DrawingArea<BitMapBackend<'a>, plotters::coord::Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>>;

/// The rows of each rule, with its color.
fn rules(rows: &[Row]) -> impl Iterator<Item = (&str, RGBColor, Vec<&Row>)> {
    let mut names: Vec<&str> = rows.iter().map(|row| row.rule).collect();
    names.dedup();
    names.into_iter().zip(COLORS.into_iter().cycle()).map(move |(name, color)| {
        (name, color, rows.iter().filter(|row| row.rule == name).collect())
    })
}

/// A range that shows every value with some room.
fn around(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(0.0, f64::max);
    (low / 1.5, high * 1.5)
}

fn sizes(rows: &[Row]) -> (f64, f64) {
    around(rows.iter().map(|row| row.elements as f64))
}

fn times<'a>(area: &Area<'a>, rows: &[Row]) -> Drawn<'a> {
    let ((left, right), (low, high)) =
        (sizes(rows), around(rows.iter().flat_map(|row| [row.step_ms, row.stream_ms])));
    let mut chart = ChartBuilder::on(area)
        .caption("time of a step; dashed: moving the same bytes", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d((left..right).log_scale(), (low..high).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("elements")
        .y_desc("milliseconds")
        .label_style(("sans-serif", 16))
        .x_label_formatter(&|x| format!("{x:e}"))
        .draw()?;
    for (name, color, rows) in rules(rows) {
        let line = |of: fn(&Row) -> f64| rows.iter().map(move |row| (row.elements as f64, of(row)));
        chart
            .draw_series(LineSeries::new(line(|row| row.step_ms), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], color.stroke_width(3)));
        let roofline = line(|row| row.stream_ms);
        chart.draw_series(DashedLineSeries::new(roofline, 6, 6, color.stroke_width(1)))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 18))
        .background_style(WHITE)
        .draw()
}

fn fractions<'a>(area: &Area<'a>, rows: &[Row]) -> Drawn<'a> {
    let (left, right) = sizes(rows);
    let high = rows.iter().map(|row| row.fraction_of_stream).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("fraction of the stream's speed", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d((left..right).log_scale(), 0.0..high * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("elements")
        .label_style(("sans-serif", 16))
        .x_label_formatter(&|x| format!("{x:e}"))
        .draw()?;
    for (_, color, rows) in rules(rows) {
        let points: Vec<_> =
            rows.iter().map(|row| (row.elements as f64, row.fraction_of_stream)).collect();
        chart.draw_series(LineSeries::new(points.clone(), color.stroke_width(2)))?;
        chart.draw_series(points.into_iter().map(|at| Circle::new(at, 4, color.filled())))?;
    }
    Ok(())
}
