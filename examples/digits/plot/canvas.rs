//! A picture that looks the same on every machine: it brings its own font and smooths its own lines.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use super::Result;

/// Where a picture is drawn.
pub(super) type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// The picture's size in pixels.
const SIZE: [u32; 2] = [1200, 760];

/// How much larger it is drawn than written: plotters' thick lines and discs have no soft edges, the
/// mean of nine pixels has.
const SCALE: u32 = 3;

/// The color of text and of rulings.
pub(super) const INK: RGBColor = RGBColor(0x2b, 0x2f, 0x36);
const FAINT_INK: RGBColor = RGBColor(0x6b, 0x72, 0x7d);

const FONT: &str = "Ubuntu";

/// A length in the picture's pixels.
pub(super) fn px(length: u32) -> u32 {
    length * SCALE
}

/// The same where a direction matters.
pub(super) fn shift(length: i32) -> i32 {
    length * SCALE as i32
}

/// Text of this height.
pub(super) fn text(height: u32) -> TextStyle<'static> {
    TextStyle::from((FONT, px(height)).into_font()).color(&INK)
}

/// The same, less loud.
fn faint_text(height: u32) -> TextStyle<'static> {
    text(height).color(&FAINT_INK)
}

/// Writes the title and a line of explanation, and returns the area below them.
pub(super) fn titled<'a>(area: &Area<'a>, title: &str, explanation: &str) -> Result<Area<'a>> {
    let (head, body) = area.split_vertically(px(84));
    head.draw(&Text::new(title, (shift(24), shift(22)), text(27)))?;
    head.draw(&Text::new(explanation, (shift(24), shift(56)), faint_text(18)))?;
    Ok(body)
}

/// Draws a picture on white and writes it as PNG.
pub(super) fn paint(path: &Path, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<()> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| "plotters does not read the font of epaint_default_fonts")?;
    let [width, height] = SIZE.map(px);
    let mut large = vec![0; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut large, (width, height)).into_drawing_area();
        area.fill(&WHITE)?;
        draw(&area)?;
        area.present()?;
    }
    write(path, &reduced(&large))
        .map_err(|e| format!("cannot write {}: {e}", path.display()).into())
}

/// Every square of `SCALE`² pixels by its mean.
fn reduced(large: &[u8]) -> Vec<u8> {
    let [width, height] = SIZE.map(|side| side as usize);
    let scale = SCALE as usize;
    let mut small = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let row = |dy: usize| ((y * scale + dy) * width + x) * scale;
                let at = |dy, dx| usize::from(large[(row(dy) + dx) * 3 + channel]);
                let square = (0..scale).flat_map(|dy| (0..scale).map(move |dx| (dy, dx)));
                let sum: usize = square.map(|(dy, dx)| at(dy, dx)).sum();
                small.push((sum / (scale * scale)) as u8);
            }
        }
    }
    small
}

fn write(path: &Path, pixels: &[u8]) -> Result<()> {
    let [width, height] = SIZE;
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Flat colours pack best as they are, without predicting a pixel from its neighbour.
    encoder.set_filter(png::FilterType::NoFilter);
    encoder.set_compression(png::Compression::Best);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    Ok(writer.finish()?)
}
