//! Axes, grid and legend, the same in every chart.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Result;
use super::canvas::{Area, INK, px, shift, text};

/// A chart in which every point is two numbers; what a logarithmic axis shows is log₁₀.
pub(super) type Chart<'a> =
    ChartContext<'a, BitMapBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const GRID: RGBColor = RGBColor(0xe6, 0xe8, 0xeb);

/// Height of the letters on an axis.
pub(super) const LETTERS: u32 = 17;

/// How far plotters draws letters of that height above the place it is told.
pub(super) const RAISED: i32 = 4;

/// One axis: from where to where, what it says, and what stands at which place.
pub(super) struct Axis<'a> {
    pub(super) range: std::ops::Range<f64>,
    pub(super) title: &'a str,
    pub(super) labels: Vec<(f64, String)>,
}

/// A chart that fills the area, with its axes drawn. A horizontal axis without a title gets no
/// letters either: it is that of the chart below.
pub(super) fn chart<'a>(area: &Area<'a>, x: &Axis<'_>, y: &Axis<'_>) -> Result<Chart<'a>> {
    let below = if x.title.is_empty() { 0 } else { 62 };
    let mut chart = ChartBuilder::on(area)
        .margin(px(12))
        .margin_top(px(6))
        .margin_right(px(24))
        .x_label_area_size(px(below))
        .y_label_area_size(px(88))
        .build_cartesian_2d(x.range.clone(), y.range.clone())?;

    let (bottom, left) = (y.range.start, x.range.start);
    let rule = |from, to| PathElement::new([from, to], GRID.stroke_width(px(1)));
    chart.draw_series(x.labels.iter().map(|&(x, _)| rule((x, bottom), (x, y.range.end))))?;
    chart.draw_series(y.labels.iter().map(|&(y, _)| rule((left, y), (x.range.end, y))))?;
    // The mesh without lines and letters of its own: two axes and their titles.
    chart
        .configure_mesh()
        .disable_mesh()
        .set_all_tick_mark_size(0)
        .axis_style(INK.stroke_width(px(1)))
        .axis_desc_style(text(LETTERS))
        .x_labels(0)
        .y_labels(0)
        .x_desc(x.title)
        .y_desc(y.title)
        .draw()?;

    let under = text(LETTERS).pos(Pos::new(HPos::Center, VPos::Top));
    let beside = text(LETTERS).pos(Pos::new(HPos::Right, VPos::Center));
    if below > 0 {
        chart.draw_series(x.labels.iter().map(|(x, label)| {
            EmptyElement::at((*x, bottom)) + Text::new(label.clone(), (0, shift(10)), under.clone())
        }))?;
    }
    chart.draw_series(y.labels.iter().map(|(y, label)| {
        let place = (shift(-8), shift(RAISED));
        EmptyElement::at((left, *y)) + Text::new(label.clone(), place, beside.clone())
    }))?;
    Ok(chart)
}

/// A labelled line through these points.
pub(super) fn line(
    chart: &mut Chart<'_>,
    points: impl IntoIterator<Item = (f64, f64)>,
    color: RGBColor,
    label: &str,
) -> Result<()> {
    let style = color.stroke_width(px(3));
    chart.draw_series(LineSeries::new(points, style))?.label(label).legend(move |(x, y)| {
        let y = y - shift(3);
        PathElement::new([(x, y), (x + shift(30), y)], style)
    });
    Ok(())
}

/// The labels of all lines, in one place.
pub(super) fn legend(chart: &mut Chart<'_>, position: SeriesLabelPosition) -> Result<()> {
    chart
        .configure_series_labels()
        .position(position)
        .margin(px(16))
        .legend_area_size(px(40))
        .background_style(WHITE)
        .border_style(GRID)
        .label_font(text(LETTERS + 1))
        .draw()?;
    Ok(())
}
