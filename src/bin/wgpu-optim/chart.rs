//! The font and the colors of every chart.

use plotters::style::{FontStyle, RGBColor, register_font};

use crate::Failure;

/// The colors of series, in order; people who see no red or no green can tell them apart.
pub(crate) const COLORS: [RGBColor; 6] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Has charts drawn with a font that comes along: a machine without a window may have none.
pub(crate) fn prepare() -> Result<(), Failure> {
    if register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_err() {
        return Err("the plot's font cannot be read".into());
    }
    Ok(())
}
