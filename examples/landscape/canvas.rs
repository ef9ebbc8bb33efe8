//! Pixels: soft lines and discs inside a frame, text in a font that comes along, and a small PNG file.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use plotters::drawing::IntoDrawingArea;
use plotters::prelude::{BLACK, BitMapBackend, FontStyle, IntoFont, Text, TextStyle};
use plotters::style::register_font;

use super::Result;

const FONT: &str = "Ubuntu";

/// How much larger text is drawn than it is shown.
const SCALE: u32 = 4;

/// Where the middle of a small letter is, in heights of the text from the top of its pixels.
const MIDDLE: f64 = 0.5;

/// The most colors of a PNG file with a palette.
const PALETTE: usize = 256;

pub(crate) type Color = [u8; 3];

/// A place in pixels; the middle of the first pixel is at 0.5.
pub(crate) type Place = [f64; 2];

/// A part of the canvas: its first pixel, and its width and height.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) at: [usize; 2],
    pub(crate) size: [usize; 2],
}

/// A picture that is being drawn.
pub(crate) struct Canvas {
    size: [usize; 2],
    pixels: Vec<Color>,
}

/// The side of a text that its place names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Left,
    Center,
    Right,
}

impl Canvas {
    /// A white canvas.
    pub(crate) fn new(size: [usize; 2]) -> Self {
        Self { size, pixels: vec![[255; 3]; size[0] * size[1]] }
    }

    /// Colors each pixel of a frame by its column and row there.
    pub(crate) fn fill(&mut self, frame: Frame, color: impl Fn(usize, usize) -> Color) {
        for y in 0..frame.size[1] {
            for x in 0..frame.size[0] {
                self.pixels[(frame.at[1] + y) * self.size[0] + frame.at[0] + x] = color(x, y);
            }
        }
    }

    /// A line with round ends; a disc if the ends are one. Nothing is drawn outside of the frame.
    pub(crate) fn line(
        &mut self,
        frame: Frame,
        [from, to]: [Place; 2],
        width: f64,
        color: Color,
        opacity: f64,
    ) {
        let reach = width / 2.0 + 1.0;
        let range = |axis: usize| {
            let (low, high) = (frame.at[axis] as f64, (frame.at[axis] + frame.size[axis]) as f64);
            let first = (from[axis].min(to[axis]) - reach).clamp(low, high);
            let last = (from[axis].max(to[axis]) + reach).clamp(low, high);
            first as usize..last as usize
        };
        let along = [to[0] - from[0], to[1] - from[1]];
        let length2 = along[0] * along[0] + along[1] * along[1];
        for y in range(1) {
            for x in range(0) {
                let to_pixel = [x as f64 + 0.5 - from[0], y as f64 + 0.5 - from[1]];
                let share = (to_pixel[0] * along[0] + to_pixel[1] * along[1]) / length2;
                let share = if length2 > 0.0 { share.clamp(0.0, 1.0) } else { 0.0 };
                let off = (to_pixel[0] - share * along[0]).hypot(to_pixel[1] - share * along[1]);
                let covered = (width / 2.0 + 0.5 - off).clamp(0.0, 1.0) * opacity;
                let pixel = &mut self.pixels[y * self.size[0] + x];
                *pixel = mix(*pixel, color, covered);
            }
        }
    }

    pub(crate) fn disc(&mut self, frame: Frame, at: Place, width: f64, color: Color, opacity: f64) {
        self.line(frame, [at, at], width, color, opacity);
    }

    /// Draws a text of this height in pixels, with one of its sides at a place and its letters around it.
    pub(crate) fn text(
        &mut self,
        text: &str,
        [x, y]: Place,
        side: Side,
        height: u32,
        color: Color,
    ) -> Result<()> {
        register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
            .map_err(|_| "plotters does not read the font of epaint_default_fonts")?;
        // Large letters, whose means are where they should be; small ones would begin at whole pixels.
        let font = (FONT, height * SCALE).into_font();
        let (width, tall) = font.box_size(text)?;
        let columns = (width / SCALE + 2) as usize;
        let rows = (tall / SCALE + height) as usize;
        let size = (columns as u32 * SCALE, rows as u32 * SCALE);
        let mut large = vec![255; (size.0 * size.1 * 3) as usize];
        {
            let area = BitMapBackend::with_buffer(&mut large, size).into_drawing_area();
            area.draw(&Text::new(
                text,
                (0, (height * SCALE / 4) as i32),
                TextStyle::from(font).color(&BLACK),
            ))?;
            area.present()?;
        }
        let shift = match side {
            Side::Left => 0.0,
            Side::Center => f64::from(width / SCALE) / 2.0,
            Side::Right => f64::from(width / SCALE),
        };
        let [left, top] = [x - shift, y - f64::from(height) * MIDDLE].map(|place| place.round());
        for row in 0..rows {
            for column in 0..columns {
                let scale = SCALE as usize;
                let start = |dy: usize| (row * scale + dy) * size.0 as usize + column * scale;
                let square = (0..scale).flat_map(|dy| (0..scale).map(move |dx| start(dy) + dx));
                let light: usize = square.map(|at| usize::from(large[at * 3])).sum();
                let covered = 1.0 - light as f64 / (255 * scale * scale) as f64;
                let (x, y) = (left as usize + column, top as usize + row);
                if covered > 0.0 && x < self.size[0] && y < self.size[1] {
                    let pixel = &mut self.pixels[y * self.size[0] + x];
                    *pixel = mix(*pixel, color, covered);
                }
            }
        }
        Ok(())
    }

    /// Writes the picture in its most frequent colors.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let say = |e: Box<dyn std::error::Error>| format!("cannot write {}: {e}", path.display());
        self.encode(path).map_err(|e| say(e).into())
    }

    fn encode(&self, path: &Path) -> Result<()> {
        let (palette, indices) = self.indexed();
        let [width, height] = self.size.map(|side| side as u32);
        let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width, height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette.concat());
        encoder.set_filter(png::FilterType::NoFilter);
        encoder.set_compression(png::Compression::Best);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&indices)?;
        Ok(writer.finish()?)
    }

    /// The palette, and the place in it of each pixel's color or the one nearest to that.
    fn indexed(&self) -> (Vec<Color>, Vec<u8>) {
        let mut counts: HashMap<Color, usize> = HashMap::new();
        for pixel in &self.pixels {
            *counts.entry(coarse(*pixel)).or_default() += 1;
        }
        let mut palette: Vec<(usize, Color)> = counts.iter().map(|(c, n)| (*n, *c)).collect();
        palette.sort_unstable_by(|a, b| b.cmp(a));
        palette.truncate(PALETTE);
        let palette: Vec<Color> = palette.into_iter().map(|(_, color)| color).collect();
        let nearest = |color: &Color| {
            let distance = |(_, other): &(usize, &Color)| -> i32 {
                let parts = color.iter().zip(*other).map(|(a, b)| i32::from(*a) - i32::from(*b));
                parts.map(|part| part * part).sum()
            };
            palette.iter().enumerate().min_by_key(distance).map_or(0, |(i, _)| i as u8)
        };
        let places: HashMap<Color, u8> = counts.keys().map(|c| (*c, nearest(c))).collect();
        let indices = self.pixels.iter().map(|pixel| places[&coarse(*pixel)]).collect();
        (palette, indices)
    }
}

/// The color of a coarser scale, so that a picture has fewer colors: coarsest where there is a hue.
fn coarse(color: Color) -> Color {
    let [low, high] = [color.iter().min(), color.iter().max()].map(|part| part.map_or(0, |x| *x));
    let finest = if high - low < 12 { 7 } else { 15 };
    color.map(|part| part | finest)
}

/// `color` over `below`.
pub(crate) fn mix(below: Color, color: Color, opacity: f64) -> Color {
    let mut mixed = below;
    for (mixed, color) in mixed.iter_mut().zip(color) {
        *mixed =
            (f64::from(*mixed) + (f64::from(color) - f64::from(*mixed)) * opacity).round() as u8;
    }
    mixed
}
