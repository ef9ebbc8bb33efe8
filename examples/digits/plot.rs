//! The sweep in two pictures.

mod accuracy;
mod canvas;
mod grid;
mod loss;

use std::path::{Path, PathBuf};

use plotters::style::RGBColor;

use super::Result;
use super::report::{rate, share, width};
use super::sweep::{Run, Series};

/// One colour an optimizer, told apart by colour-blind readers too
/// ([Okabe & Ito 2008](https://jfly.uni-koeln.de/color/)).
const COLORS: [RGBColor; 3] =
    [RGBColor(0xd5, 0x5e, 0x00), RGBColor(0x00, 0x72, 0xb2), RGBColor(0x00, 0x9e, 0x73)];

/// Writes `loss.png` and `accuracy.png` into a directory and returns where they are.
pub(crate) fn write(directory: &Path, all: &[Series]) -> Result<[PathBuf; 2]> {
    let [loss, accuracy] = ["loss.png", "accuracy.png"].map(|name| directory.join(name));
    canvas::paint(&loss, |area| loss::draw(area, all))?;
    canvas::paint(&accuracy, |area| accuracy::draw(area, all))?;
    Ok([loss, accuracy])
}

/// The optimizers with their colours.
fn coloured(all: &[Series]) -> impl Iterator<Item = (&Series, RGBColor)> {
    all.iter().zip(COLORS.into_iter().cycle())
}

#[cfg(test)]
mod tests {
    use super::super::sweep::tests::series;
    use super::*;

    #[test]
    fn trainings_that_blow_up_are_drawn_as_far_as_they_go() -> Result<()> {
        let mut all = [series("SGD", &[0.1, 0.9]), series("ADAM", &[0.9, 0.1])];
        all[0].runs[0].losses = vec![2.0, f64::INFINITY, f64::NAN];
        all[0].runs[1].losses = vec![1e30, 1e-30, 0.0];
        all[1].runs[0].losses = vec![f64::NAN; 3];
        all[1].runs[1].losses = vec![1.0; 3];
        let directory = tempfile::tempdir()?;
        for path in write(directory.path(), &all)? {
            assert!(path.metadata()?.len() > 1000, "{} is empty", path.display());
        }
        Ok(())
    }
}
