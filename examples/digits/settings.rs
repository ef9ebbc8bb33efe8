//! Everything that a single run depends on, in words that the command line and a checkpoint share.

use std::ffi::OsStr;

use wgpu_optim::{Control, Format, LossScale, StateFormat, StateFormats};

/// The options of a run, by the names that they have after `--` and in a checkpoint's notes.
#[cfg_attr(not(feature = "checkpoint"), allow(dead_code, reason = "only a single run reads all"))]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) rule: String,
    pub(crate) lr: f64,
    pub(crate) schedule: Course,
    pub(crate) epochs: usize,
    /// All randomness there is: which images are held out, their order, and the initial weights.
    pub(crate) seed: u64,
    /// Images in a mini-batch.
    pub(crate) batch: usize,
    /// Mini-batches whose mean gradient makes a step.
    pub(crate) accumulate: u32,
    /// How parameters and gradients are stored.
    pub(crate) precision: Format,
    /// How the optimizer's state is stored.
    pub(crate) state_format: StateFormats,
    pub(crate) control: Control,
}

/// The course of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Course {
    /// The same at every step.
    Constant,
    /// From 0 up to the rate over a tenth of the steps, and down to 0 by half a cosine.
    Cosine,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rule: "adam".to_owned(),
            lr: 1e-3,
            schedule: Course::Constant,
            epochs: 12,
            seed: 1,
            batch: 32,
            accumulate: 1,
            precision: Format::F32,
            state_format: StateFormats::default(),
            control: Control::default(),
        }
    }
}

impl Settings {
    /// The names of the options, each with the kind of its value.
    pub(crate) const KEYS: [(&str, &str); 11] = [
        ("run", "an optimizer"),
        ("lr", "a rate"),
        ("schedule", "a schedule"),
        ("epochs", "a number"),
        ("seed", "a number"),
        ("batch", "a number"),
        ("accumulate", "a number"),
        ("precision", "a format"),
        ("state-format", "a format"),
        ("clip", "a norm"),
        ("loss-scale", "a number or `dynamic`"),
    ];

    /// Reads one option.
    pub(crate) fn set(&mut self, key: &str, text: &OsStr) -> Result<(), String> {
        let whole = |least: u64, most: u64| {
            let number = text.to_str().and_then(|text| text.parse::<u64>().ok());
            let number = number.filter(|number| (least..=most).contains(number));
            let place = text.display();
            number
                .ok_or(format!("`--{key}`: `{place}` is not a whole number from {least} to {most}"))
        };
        match key {
            "run" => self.rule = text.display().to_string(),
            "lr" => self.lr = number(key, text)?,
            "schedule" => {
                self.schedule = match text.to_str() {
                    Some("constant") => Course::Constant,
                    Some("cosine") => Course::Cosine,
                    _ => return Err(format!("no schedule is called `{}`", text.display())),
                };
            }
            "epochs" => self.epochs = whole(1, 1000)? as usize,
            "seed" => self.seed = whole(0, u64::MAX - 2)?,
            "batch" => self.batch = whole(1, 1000)? as usize,
            "accumulate" => self.accumulate = whole(1, 1000)? as u32,
            "precision" => {
                let named = |format: &Format| text == format.name();
                let unknown = || format!("no precision is called `{}`", text.display());
                self.precision = Format::ALL.into_iter().find(named).ok_or_else(unknown)?;
            }
            "state-format" => {
                self.state_format = state_formats(&text.to_string_lossy())?;
            }
            "clip" if text == "none" => self.control.clip_norm = None,
            "clip" => self.control.clip_norm = Some(number(key, text)?),
            "loss-scale" => {
                self.control.loss_scale = match text.to_str() {
                    Some("dynamic") => LossScale::dynamic(),
                    _ => LossScale::Fixed(number(key, text)?),
                };
            }
            unknown => return Err(format!("unknown option `{unknown}`")),
        }
        Ok(())
    }

    /// The text of one option, as [`Settings::set`] reads it.
    #[cfg(any(test, feature = "checkpoint"))]
    pub(crate) fn text(&self, key: &str) -> String {
        match key {
            "run" => self.rule.clone(),
            "lr" => self.lr.to_string(),
            "schedule" if self.schedule == Course::Cosine => "cosine".to_owned(),
            "schedule" => "constant".to_owned(),
            "epochs" => self.epochs.to_string(),
            "seed" => self.seed.to_string(),
            "batch" => self.batch.to_string(),
            "accumulate" => self.accumulate.to_string(),
            "precision" => self.precision.name().to_owned(),
            "state-format" => self.state_format.to_string(),
            "clip" => self.control.clip_norm.map_or("none".to_owned(), |norm| norm.to_string()),
            _ => match self.control.loss_scale {
                LossScale::Fixed(scale) => scale.to_string(),
                _ => "dynamic".to_owned(),
            },
        }
    }
}

/// Reads one format for all slots, or a format for each slot that is named.
fn state_formats(text: &str) -> Result<StateFormats, String> {
    let format = |name: &str| {
        let unknown = || format!("no format of state is called `{name}`");
        StateFormat::named(name).ok_or_else(unknown)
    };
    if !text.contains(':') {
        return Ok(format(text)?.into());
    }
    let each = text.split(',').map(|one| {
        let (slot, name) = one.split_once(':').ok_or_else(|| format!("`{one}` names no slot"))?;
        Ok((slot.trim().to_owned(), format(name.trim())?))
    });
    Ok(each.collect::<Result<Vec<_>, String>>()?.into())
}

fn number(key: &str, text: &OsStr) -> Result<f64, String> {
    let parsed = text.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("`--{key}`: `{}` is not a number", text.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_comes_back_from_its_text() -> Result<(), String> {
        let mut one = Settings::default();
        for (key, text) in [
            ("run", "lion"),
            ("lr", "0.0003"),
            ("schedule", "cosine"),
            ("epochs", "7"),
            ("seed", "18446744073709551613"),
            ("batch", "13"),
            ("accumulate", "4"),
            ("precision", "bf16"),
            ("state-format", "block4"),
            ("clip", "0.5"),
            ("loss-scale", "dynamic"),
        ] {
            one.set(key, text.as_ref())?;
            assert_eq!(one.text(key), text);
        }
        one.set("state-format", "exp_avg:block8,exp_avg_sq:bf16".as_ref())?;
        assert_eq!(one.text("state-format"), "exp_avg: block8, exp_avg_sq: bf16");
        for from in [&one, &Settings::default()] {
            let mut other = Settings::default();
            for (key, _) in Settings::KEYS {
                other.set(key, from.text(key).as_ref())?;
            }
            assert_eq!(&other, from);
        }
        Ok(())
    }
}
