//! The sweep in words. Every one of them follows from the numbers, whichever optimizer they favour.

use std::io::Write;

use wgpu_optim::{Control, Format, LossScale, StateFormats};

use super::Result;
use super::data::Digits;
use super::settings::Settings;
use super::sweep::{SHARE, Series};

/// Tells how many images there are, and how they are learned from.
pub(crate) fn images(out: &mut impl Write, digits: &Digits, settings: &Settings) -> Result<()> {
    let Settings { epochs, batch, .. } = settings;
    let (train, test) = (digits.train.len(), digits.test.len());
    writeln!(
        out,
        "{train} images to learn from, {test} held out; {epochs} epochs in batches of {batch}"
    )?;
    if let Some(setup) = setup(settings) {
        writeln!(out, "{setup}")?;
    }
    Ok(())
}

/// Formats, clipping and loss scale in a line, unless all of them are as they are by default.
fn setup(settings: &Settings) -> Option<String> {
    let Settings { precision, state_format, control, .. } = settings;
    let in_f32 = *state_format == StateFormats::default();
    if *precision == Format::F32 && in_f32 && *control == Control::default() {
        return None;
    }
    let clip =
        control.clip_norm.map_or("not clipped".to_owned(), |norm| format!("clipped to {norm}"));
    let scale = match control.loss_scale {
        LossScale::Fixed(scale) => format!("{scale}"),
        LossScale::Dynamic { init, .. } => format!("dynamic, {init} at first"),
        other => format!("{other:?}"),
    };
    let name = precision.name();
    let state = if in_f32 { String::new() } else { format!(", state in {state_format}") };
    Some(format!("parameters and gradients in {name}{state}, norm {clip}; loss scale {scale}"))
}

/// Accuracy by rate and optimizer.
pub(crate) fn table(all: &[Series]) -> String {
    let row = |name: &str, cells: Vec<String>| format!("{name:<13}{}", cells.concat());
    let mut lines = vec![row(
        "learning rate",
        all.iter().map(|series| format!("{:>10}  ", series.name)).collect(),
    )];
    for (i, run) in all.first().map(|series| &series.runs).into_iter().flatten().enumerate() {
        let cell = |series: &Series| {
            let mark = match i {
                _ if i == series.best() => '*',
                _ if series.range().contains(&i) => '+',
                _ => ' ',
            };
            format!("{:>10.4} {mark}", series.runs[i].accuracy)
        };
        lines.push(row(&rate(run.rate), all.iter().map(cell).collect()));
    }
    let mean = |series: &Series| format!("{:>10.4}  ", series.mean());
    lines.push(row("mean", all.iter().map(mean).collect()));

    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    format!(
        "Accuracy on the held-out images after training\n\n{}\n\n\
         * an optimizer's best, + its range: where it reaches {} of its best; mean: over all rates\n",
        lines.join("\n"),
        share(),
    )
}

/// The range of each optimizer and its width.
pub(crate) fn ranges(all: &[Series]) -> String {
    let line = |series: &Series| {
        let range = series.range();
        let [low, high] = [range.start(), range.end()].map(|&i| rate(series.runs[i].rate));
        let range = format!("{low} to {high}");
        format!("{:<9}{range:<18}{}\n", series.name, width(series))
    };
    let lines: String = all.iter().map(line).collect();
    format!("Rates at which each optimizer reaches {} of its best\n\n{lines}", share())
}

/// The verdict of the numbers on the first optimizer, which has one rate for all parameters and no memory,
/// and of each of the others, which adapt.
pub(crate) fn conclusion(all: &[Series]) -> String {
    let Some((plain, adaptive)) = all.split_first() else {
        return String::new();
    };
    let mut text = String::new();
    for series in adaptive {
        let wider = series.decades() - plain.decades();
        let (how, so) = match wider {
            // Rates stand half a decade apart; less than that is rounding.
            _ if wider > 0.1 => (format!("{} wider than", decades(wider)), "less sensitive"),
            _ if wider < -0.1 => (format!("{} narrower than", decades(-wider)), "more sensitive"),
            _ => ("as wide as".to_owned(), "equally sensitive"),
        };
        text += &format!(
            "{}'s range is {how} {}'s: in this sweep it is {so} to the learning rate.\n",
            series.name, plain.name
        );
    }
    let open: Vec<&str> =
        all.iter().filter(|series| series.open()).map(|series| series.name).collect();
    if !open.is_empty() {
        text += &format!(
            "The range may go on outside the sweep, where nothing was measured: {}.\n",
            open.join(", "),
        );
    }
    text
}

/// Whether an optimizer is as accurate at its best rate as it must be.
pub(crate) fn check(all: &[Series], name: &str, goal: f64) -> Result<()> {
    let best = |series: &Series| series.runs[series.best()].clone();
    let Some(best) = all.iter().find(|series| series.name == name).map(best) else {
        return Err(format!("nothing was trained with {name}").into());
    };
    if best.accuracy >= goal {
        return Ok(());
    }
    Err(format!(
        "{name} recognizes {:.4} of the held-out images at its best rate, {}; it must be {goal} or more",
        best.accuracy,
        rate(best.rate),
    )
    .into())
}

/// A learning rate, as in "3.2e-5".
pub(crate) fn rate(rate: f64) -> String {
    format!("{rate:.1e}").replace(".0e", "e")
}

/// The width of a range, as in "2.5 decades", and whether it may be wider.
pub(crate) fn width(series: &Series) -> String {
    let width = match series.range().count() {
        1 => "one rate".to_owned(),
        _ => decades(series.decades()),
    };
    if series.open() { format!("{width} or more") } else { width }
}

fn decades(decades: f64) -> String {
    let unit = if (decades - 1.0).abs() < 0.05 { "decade" } else { "decades" };
    format!("{decades:.1} {unit}")
}

/// [`SHARE`], as in "90 %".
pub(crate) fn share() -> String {
    format!("{:.0} %", 100.0 * SHARE)
}

#[cfg(test)]
mod tests {
    use wgpu_optim::StateFormat;

    use super::super::sweep::tests::series;
    use super::*;

    const NARROW: &[f64] = &[0.1, 0.5, 0.95, 1.0, 0.2];
    const WIDE: &[f64] = &[0.1, 0.95, 0.95, 1.0, 0.2];

    #[test]
    fn the_table_marks_the_best_and_the_range() {
        let table = table(&[series("SGD", NARROW), series("ADAM", WIDE)]);
        let lines: Vec<&str> = table.lines().skip(2).take(7).collect();
        assert_eq!(
            lines,
            [
                "learning rate       SGD        ADAM",
                "1e-5             0.1000      0.1000",
                "3.2e-5           0.5000      0.9500 +",
                "1e-4             0.9500 +    0.9500 +",
                "3.2e-4           1.0000 *    1.0000 *",
                "1e-3             0.2000      0.2000",
                "mean             0.5500      0.6400",
            ]
        );
    }

    #[test]
    fn a_setup_is_told_unless_it_is_the_default() {
        let default = Settings::default;
        let with = |control| Settings { control, ..default() };
        let control = Control::default();
        assert_eq!(setup(&default()), None);
        let fixed = with(Control { loss_scale: LossScale::Fixed(128.0), ..control });
        assert_eq!(
            setup(&Settings { precision: Format::F16, ..fixed }),
            Some("parameters and gradients in f16, norm not clipped; loss scale 128".to_owned())
        );
        let loss_scale = LossScale::dynamic();
        assert_eq!(
            setup(&with(Control { clip_norm: Some(0.5), loss_scale, ..control })),
            Some(
                "parameters and gradients in f32, norm clipped to 0.5; \
                 loss scale dynamic, 65536 at first"
                    .to_owned()
            )
        );
        assert_eq!(
            setup(&Settings { state_format: StateFormat::Block8.into(), ..default() }),
            Some(
                "parameters and gradients in f32, state in block8, norm not clipped; loss scale 1"
                    .to_owned()
            )
        );
    }

    #[test]
    fn the_conclusion_follows_the_numbers_whichever_way_they_point() {
        let sensitive =
            |plain, adaptive| conclusion(&[series("SGD", plain), series("ADAM", adaptive)]);
        assert_eq!(
            sensitive(NARROW, WIDE),
            "ADAM's range is 0.5 decades wider than SGD's: \
             in this sweep it is less sensitive to the learning rate.\n"
        );
        assert_eq!(
            sensitive(WIDE, NARROW),
            "ADAM's range is 0.5 decades narrower than SGD's: \
             in this sweep it is more sensitive to the learning rate.\n"
        );
        assert_eq!(
            sensitive(WIDE, WIDE),
            "ADAM's range is as wide as SGD's: \
             in this sweep it is equally sensitive to the learning rate.\n"
        );
    }

    #[test]
    fn a_range_at_the_end_of_the_sweep_is_said_to_be_open() {
        let all = [series("SGD", &[0.1, 0.1, 1.0]), series("ADAM", NARROW)];
        assert_eq!(
            ranges(&all).lines().skip(2).collect::<Vec<_>>(),
            [
                "SGD      1e-4 to 1e-4      one rate or more",
                "ADAM     1e-4 to 3.2e-4    0.5 decades",
            ]
        );
        let conclusion = conclusion(&all);
        assert!(conclusion.ends_with("where nothing was measured: SGD.\n"), "{conclusion}");
    }

    #[test]
    fn too_little_accuracy_is_an_error_with_both_numbers() {
        let all = [series("ADAM", &[0.3, 0.9512])];
        assert!(check(&all, "ADAM", 0.95).is_ok());
        let message = check(&all, "ADAM", 0.96).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(message.contains("0.9512") && message.contains("0.96"), "{message}");
        assert!(check(&all, "LION", 0.1).is_err());
    }
}
