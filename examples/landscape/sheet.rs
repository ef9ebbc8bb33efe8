//! The sheet: a row for each rule, a column for each function.

use std::path::Path;

use super::Result;
use super::canvas::{Canvas, Color, Frame, Place, Side, mix};
use super::descent::Outcome;
use super::functions::{FUNCTIONS, Function, NEAR};
use super::settings::Contestant;

const CELL: [usize; 2] = [310, 226];
const GAP: usize = 10;
const MARGIN: usize = 24;
/// The height of all that stands above the first row.
const HEAD: usize = 196;
/// The width of the rules' names.
const NAMES: usize = 220;

const INK: Color = [0x22, 0x26, 0x2c];
const FAINT_INK: Color = [0x5c, 0x63, 0x6e];
const WHITE: Color = [255; 3];
/// Two colors that readers who see no red or no green tell apart
/// ([Okabe & Ito 2008](https://jfly.uni-koeln.de/color/)).
const ARRIVED: Color = [0x00, 0x5f, 0xa8];
const ASTRAY: Color = [0xd5, 0x4a, 0x00];
/// The lowest and the highest ground.
const GROUND: [Color; 2] = [[0xff; 3], [0xd7; 3]];
const CONTOUR: Color = [0xa7; 3];

/// The contours: from 10 to this power above the lowest value, …
const LOWEST_CONTOUR: f64 = -1.0;
/// … so many in a decade.
const CONTOURS: f64 = 2.0;

/// The numbers in the sheet's title.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) points: u32,
    pub(crate) steps: u64,
}

/// The percentage that has converged, rounded down: 100 is all.
pub(crate) fn share(function: &Function, outcome: &Outcome) -> usize {
    let near = outcome.ends.iter().filter(|end| function.is_near(**end)).count();
    near * 100 / outcome.ends.len().max(1)
}

/// Draws the sheet and writes it as PNG.
pub(crate) fn write(
    path: &Path,
    contestants: &[Contestant],
    outcomes: &[Vec<Outcome>],
    scale: Scale,
) -> Result<()> {
    let width = MARGIN + NAMES + FUNCTIONS.len() * (CELL[0] + GAP) - GAP + MARGIN;
    let height = HEAD + contestants.len() * (CELL[1] + GAP) - GAP + MARGIN;
    let mut canvas = Canvas::new([width, height]);
    head(&mut canvas, scale)?;
    for (column, function) in FUNCTIONS.iter().enumerate() {
        let x = MARGIN + NAMES + column * (CELL[0] + GAP);
        let center = (x + CELL[0] / 2) as f64;
        let y = HEAD as f64;
        canvas.text(function.name, [center, y - 40.0], Side::Center, 24, INK)?;
        canvas.text(function.formula, [center, y - 14.0], Side::Center, 14, FAINT_INK)?;
        let ground = ground(function);
        for (row, outcomes) in outcomes.iter().enumerate() {
            let frame = Frame { at: [x, HEAD + row * (CELL[1] + GAP)], size: CELL };
            canvas.fill(frame, |x, y| ground[y * CELL[0] + x]);
            let outcome = &outcomes[column];
            cell(&mut canvas, frame, function, outcome);
            plate(&mut canvas, frame, share(function, outcome))?;
        }
    }
    for (row, Contestant { rule, said, .. }) in contestants.iter().enumerate() {
        let y = (HEAD + row * (CELL[1] + GAP)) as f64;
        let x = MARGIN as f64;
        canvas.text(rule, [x, y + 14.0], Side::Left, 21, INK)?;
        let lines = std::iter::once(format!("lr {}", said[0])).chain(lines(&said[1]));
        for (line, words) in lines.enumerate() {
            let place = [x, y + 42.0 + 22.0 * line as f64];
            canvas.text(&words, place, Side::Left, 17, FAINT_INK)?;
        }
    }
    canvas.write(path)
}

/// Options, each on a line of its own.
fn lines(options: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut depth = 0;
    for (i, letter) in options.char_indices() {
        match letter {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && options[i..].starts_with(", ") {
            lines.push(String::new());
        } else if let Some(line) = lines.last_mut().filter(|line| letter != ' ' || !line.is_empty())
        {
            line.push(letter);
        }
    }
    lines
}

/// A sign of the legend, drawn around a place.
type Sign = dyn Fn(&mut Canvas, Frame, Place);

/// The title and the legend.
fn head(canvas: &mut Canvas, Scale { points, steps }: Scale) -> Result<()> {
    let x = MARGIN as f64;
    let title = format!("Where {points} starting points go in {steps} steps");
    canvas.text(&title, [x, 38.0], Side::Left, 34, INK)?;
    let explanation = format!(
        "%: points that end nearer than {NEAR} to a minimum. Lines: contours, {CONTOURS} in a decade. \
        lr: the learning rate, the same for all five functions; to 0: it falls along a cosine."
    );
    canvas.text(&explanation, [x, 112.0], Side::Left, 18, FAINT_INK)?;
    let signs: [(&str, &Sign); 4] = [
        ("a path to a minimum", &|canvas, frame, at| sample(canvas, frame, at, ARRIVED)),
        ("a path that ends elsewhere", &|canvas, frame, at| sample(canvas, frame, at, ASTRAY)),
        ("a minimum", &minimum),
        ("where all other points end that are at no minimum", &|canvas, frame, [x, y]| {
            for [dx, dy] in [[-10.0, 3.0], [-2.0, -4.0], [5.0, 4.0], [11.0, -2.0]] {
                stray(canvas, frame, [x + dx, y + dy]);
            }
        }),
    ];
    for (i, (words, draw)) in signs.into_iter().enumerate() {
        let at = MARGIN + i * 330;
        let y = 80.0;
        let frame = Frame { at: [at, y as usize - 14], size: [40, 28] };
        draw(canvas, frame, [at as f64 + 20.0, y]);
        canvas.text(words, [at as f64 + 48.0, y], Side::Left, 18, INK)?;
    }
    Ok(())
}

/// A path in the legend.
fn sample(canvas: &mut Canvas, frame: Frame, [x, y]: Place, color: Color) {
    canvas.line(frame, [[x - 14.0, y], [x + 14.0, y]], 2.0, color, 1.0);
    start(canvas, frame, [x - 14.0, y], color);
    end(canvas, frame, [x + 14.0, y], color);
}

/// The colors of a function's contours, row by row.
fn ground(function: &Function) -> Vec<Color> {
    let level = |x: f64, y: f64| {
        let [x, y] = plane(function, [x, y]);
        let above = (function.value)(x, y) - function.lowest;
        CONTOURS * (above.max(1e-30).log10() - LOWEST_CONTOUR)
    };
    let pixels = || (0..CELL[1]).flat_map(|y| (0..CELL[0]).map(move |x| [x as f64, y as f64]));
    let highest = pixels().map(|[x, y]| level(x, y)).fold(1.0, f64::max);
    let color = |[x, y]: [f64; 2]| {
        let [here, left, right, up, down] =
            [[0.5, 0.5], [0.0, 0.5], [1.0, 0.5], [0.5, 0.0], [0.5, 1.0]]
                .map(|[dx, dy]| level(x + dx, y + dy));
        let shade = (here.floor().max(0.0) / highest).min(1.0);
        let ground = mix(GROUND[0], GROUND[1], shade);
        if here < -0.5 {
            return ground;
        }
        let slope = (right - left).hypot(down - up).max(1e-9);
        let off = (here - here.round()).abs() / slope;
        // Where contours are less than two pixels apart, they are one grey.
        mix(ground, CONTOUR, (1.0 - off).clamp(0.0, 1.0) * 0.8_f64.min(0.3 / slope))
    };
    pixels().map(color).collect()
}

/// The point of the plane at a place in a cell.
fn plane(function: &Function, [x, y]: Place) -> [f64; 2] {
    let [[left, right], [bottom, top]] = function.view;
    let [width, height] = CELL.map(|side| side as f64);
    [left + (right - left) * x / width, top - (top - bottom) * y / height]
}

/// The place on the canvas of a point of the plane.
fn place(function: &Function, frame: Frame, [x, y]: [f64; 2]) -> Place {
    let [[left, right], [bottom, top]] = function.view;
    let [width, height] = CELL.map(|side| side as f64);
    let [x, y] = [(x - left) / (right - left) * width, (top - y) / (top - bottom) * height];
    [frame.at[0] as f64 + x, frame.at[1] as f64 + y]
}

fn cell(canvas: &mut Canvas, frame: Frame, function: &Function, outcome: &Outcome) {
    let place = |[x, y]: [f32; 2]| place(function, frame, [x, y].map(f64::from));
    let is_finite = |p: &[f32; 2]| p.iter().all(|part| part.is_finite());
    for end in outcome.ends.iter().filter(|end| is_finite(end) && !function.is_near(**end)) {
        stray(canvas, frame, place(*end));
    }
    for path in &outcome.paths {
        let arrived = path.last().is_some_and(|end| function.is_near(*end));
        let color = if arrived { ARRIVED } else { ASTRAY };
        let places: Vec<Place> = path.iter().copied().filter(is_finite).map(place).collect();
        for pair in places.windows(2) {
            canvas.line(frame, [pair[0], pair[1]], 1.6, color, 0.85);
        }
        if let [first, .., last] = places[..] {
            start(canvas, frame, first, color);
            end(canvas, frame, last, color);
        }
    }
    for point in function.minima {
        minimum(canvas, frame, self::place(function, frame, *point));
    }
}

fn start(canvas: &mut Canvas, frame: Frame, at: Place, color: Color) {
    canvas.disc(frame, at, 9.0, color, 1.0);
    canvas.disc(frame, at, 5.0, WHITE, 1.0);
}

fn end(canvas: &mut Canvas, frame: Frame, at: Place, color: Color) {
    canvas.disc(frame, at, 7.0, color, 1.0);
}

fn stray(canvas: &mut Canvas, frame: Frame, at: Place) {
    canvas.disc(frame, at, 2.4, ASTRAY, 0.7);
}

/// A cross with a white rim.
fn minimum(canvas: &mut Canvas, frame: Frame, [x, y]: Place) {
    for (width, reach, color) in [(6.0, 7.0, WHITE), (2.6, 6.5, INK)] {
        for (dx, dy) in [(reach, reach), (reach, -reach)] {
            canvas.line(frame, [[x - dx, y - dy], [x + dx, y + dy]], width, color, 1.0);
        }
    }
}

/// The percentage in a corner.
fn plate(canvas: &mut Canvas, frame: Frame, share: usize) -> Result<()> {
    let [x, y] = [(frame.at[0] + frame.size[0]) as f64, frame.at[1] as f64 + 18.0];
    canvas.line(frame, [[x - 52.0, y], [x - 18.0, y]], 26.0, WHITE, 0.9);
    canvas.text(&format!("{share} %"), [x - 10.0, y], Side::Right, 20, INK)
}
