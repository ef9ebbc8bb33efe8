//! Curves of numbers against steps.

use std::path::Path;

use plotters::prelude::*;

use crate::Failure;
use crate::chart::{COLORS, prepare};

const SIZE: (u32, u32) = (1200, 700);

/// The most stretches of steps that a curve has: more than a chart has pixels.
const STRETCHES: u64 = 2400;

/// The most steps that have a dot each.
const DOTTED: u64 = 60;

/// The numbers of each column, with the least and the greatest of each stretch of steps, so that a chart of many
/// steps misses no peak.
pub(crate) struct Curves {
    steps: u64,
    /// The steps of a stretch.
    stretch: u64,
    columns: Vec<Vec<Stretch>>,
}

/// The least and the greatest number of neighbouring steps, each with its step.
#[derive(Clone, Copy)]
struct Stretch {
    low: (u64, f64),
    high: (u64, f64),
}

impl Curves {
    pub(crate) fn new(columns: usize, steps: u64) -> Self {
        Self { steps, stretch: steps.div_ceil(STRETCHES), columns: vec![Vec::new(); columns] }
    }

    /// Adds the number of a step to a column; steps come in order, from 1.
    pub(crate) fn add(&mut self, column: usize, t: u64, number: f64) {
        let all = &mut self.columns[column];
        match all.last_mut() {
            Some(last) if !(t - 1).is_multiple_of(self.stretch) => {
                if number < last.low.1 {
                    last.low = (t, number);
                }
                if number > last.high.1 {
                    last.high = (t, number);
                }
            }
            _ => all.push(Stretch { low: (t, number), high: (t, number) }),
        }
    }

    /// The least and the greatest number of a column.
    pub(crate) fn range(&self, column: usize) -> [f64; 2] {
        let all = &self.columns[column];
        all.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], stretch| {
            [low.min(stretch.low.1), high.max(stretch.high.1)]
        })
    }

    /// The points of a column, in the order of their steps.
    fn points(&self, column: usize) -> impl Iterator<Item = (f64, f64)> {
        self.columns[column].iter().flat_map(|Stretch { low, high }| {
            let [first, second] = if low.0 <= high.0 { [low, high] } else { [high, low] };
            [*first, *second].map(|(t, number)| (t as f64, number))
        })
    }

    /// The range of the chart's y axis: from 0, unless all numbers are far from it.
    fn heights(&self) -> (f64, f64) {
        let ranges = (0..self.columns.len()).map(|column| self.range(column));
        let [low, high] = ranges.fold([f64::INFINITY, 0.0], |[low, high]: [f64; 2], range| {
            [low.min(range[0]), high.max(range[1])]
        });
        if high <= 0.0 {
            (0.0, 1.0)
        } else if low < high / 2.0 || low >= high {
            (0.0, high * 1.05)
        } else {
            let room = (high - low) * 0.05;
            (low - room, high + room)
        }
    }
}

/// Finds out early whether a PNG can be written.
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    let is_png = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
    if !is_png {
        return Err(format!("{}: a plot is a PNG; name a file in .png", path.display()).into());
    }
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).map_err(|e| format!("{}: {e}", path.display()).into())
}

/// Draws all curves into one PNG.
pub(crate) fn draw(path: &Path, names: &[&str], curves: &Curves) -> Result<(), Failure> {
    prepare()?;
    chart(path, names, curves).map_err(|e| format!("{}: {e}", path.display()).into())
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>>;

fn chart<'a>(path: &'a Path, names: &[&str], curves: &Curves) -> Drawn<'a> {
    let root = BitMapBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (low, high) = curves.heights();
    let mut chart = ChartBuilder::on(&root)
        .margin(20)
        .x_label_area_size(52)
        .y_label_area_size(104)
        .build_cartesian_2d(1.0..(curves.steps.max(2) as f64), low..high)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .y_desc(if let [name] = names { name } else { "value" })
        .axis_desc_style(("sans-serif", 20))
        .label_style(("sans-serif", 17))
        .light_line_style(WHITE)
        .x_label_formatter(&|x| short(*x, curves.steps as f64))
        .y_label_formatter(&|y| short(*y, high))
        .draw()?;
    for ((i, name), color) in names.iter().enumerate().zip(COLORS.into_iter().cycle()) {
        let line = LineSeries::new(curves.points(i), color.stroke_width(2));
        let series = chart.draw_series(line)?;
        if names.len() > 1 {
            series.label(*name).legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 24, y)], color.stroke_width(3))
            });
        }
        if curves.steps <= DOTTED {
            let dots = curves.points(i).map(|at| Circle::new(at, 4, color.filled()));
            chart.draw_series(dots)?;
        }
    }
    if names.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font(("sans-serif", 18))
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
    }
    root.present()
}

/// A number for an axis whose largest number is `most`: without the last digits, in which sums of ticks differ from
/// the numbers that they stand for.
fn short(number: f64, most: f64) -> String {
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    let plain = rounded == 0.0 || (0.05..1e6).contains(&most);
    if plain { rounded.to_string() } else { format!("{rounded:e}") }
}
