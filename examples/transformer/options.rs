//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use super::Result;
use super::formats;

pub(crate) const USAGE: &str = "\
usage: transformer [--steps N] [--seed N] [--optimizer NAME] [--lr RATE] [--state-format FORMAT] [--json FILE]
       transformer --compare [--seeds N] [--out FILE] [--steps N] [--seed N] [--optimizer NAME] [--lr RATE]
                   [--json FILE]

  --steps N              steps of a training; 600 if not given
  --seed N               of the first parameters and of the order of the text; 1 if not given
  --optimizer NAME       adamw, adam, rmsprop or lion; adamw if not given
  --lr RATE              the highest learning rate; 8e-3 if not given, for rmsprop 1e-3, for lion 5e-4
  --state-format FORMAT  how the optimizer's state is stored: f32, f16, bf16, block8 or block4; f32 if not given
  --compare              train with every format and several seeds
  --seeds N              how many, from --seed on; 5 if not given
  --out FILE             where the picture of a comparison goes; target/transformer.png if not given
  --json FILE            where all numbers go, if anywhere
  --help                 this text";

/// The options that were asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) steps: usize,
    pub(crate) seed: u64,
    pub(crate) optimizer: String,
    pub(crate) lr: Option<f64>,
    pub(crate) state_format: String,
    pub(crate) compare: bool,
    pub(crate) seeds: u64,
    pub(crate) out: PathBuf,
    pub(crate) json: Option<PathBuf>,
    pub(crate) help: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            steps: 600,
            seed: 1,
            optimizer: "adamw".into(),
            lr: None,
            state_format: "f32".into(),
            compare: false,
            seeds: 5,
            out: "target/transformer.png".into(),
            json: None,
            help: false,
        }
    }
}

impl Options {
    /// Reads the arguments that follow the program's name.
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self> {
        Self::read(arguments).map_err(|message| format!("{message}\n\n{USAGE}").into())
    }

    fn read(mut arguments: impl Iterator<Item = OsString>) -> Result<Self> {
        let mut options = Self::default();
        let mut of_comparison = None;
        let mut of_one = None;
        while let Some(argument) = arguments.next() {
            let argument = argument.to_string_lossy();
            let mut value =
                |what| arguments.next().ok_or_else(|| format!("`{argument}` needs {what}"));
            match &*argument {
                "--help" | "-h" => options.help = true,
                "--compare" => options.compare = true,
                "--steps" => options.steps = number(&argument, value("a number")?, 1, 100_000)?,
                "--seed" => options.seed = number(&argument, value("a number")?, 0, 1 << 32)?,
                "--seeds" => options.seeds = number(&argument, value("a number")?, 1, 1000)?,
                "--lr" => options.lr = Some(number(&argument, value("a rate")?, 0.0, 1e3)?),
                "--optimizer" => options.optimizer = text(value("an optimizer")?),
                "--state-format" => options.state_format = text(value("a format")?),
                "--out" => options.out = value("a file")?.into(),
                "--json" => options.json = Some(value("a file")?.into()),
                unknown => return Err(format!("unknown argument `{unknown}`").into()),
            }
            match &*argument {
                "--seeds" | "--out" => of_comparison = Some(argument.into_owned()),
                "--state-format" => of_one = Some(argument.into_owned()),
                _ => {}
            }
        }
        match (options.compare, of_comparison, of_one) {
            (false, Some(given), _) => return Err(format!("`{given}` needs `--compare`").into()),
            (true, _, Some(given)) => {
                return Err(format!("`{given}` is for one training, not for a comparison").into());
            }
            _ => {}
        }
        let group = formats::optimizer(&options.optimizer, options.lr)?;
        formats::with_state(group, &options.state_format)?;
        Ok(options)
    }
}

fn text(value: OsString) -> String {
    value.to_string_lossy().into_owned()
}

fn number<T>(argument: &str, value: OsString, least: T, most: T) -> Result<T>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    let right = parsed.filter(|number| (&least..=&most).contains(&number));
    Ok(right.ok_or_else(|| {
        format!("`{argument}`: `{}` is no number from {least} to {most}", value.display())
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Options> {
        Options::parse(arguments.split_whitespace().map(OsString::from))
    }

    #[test]
    fn arguments_are_understood_or_refused_with_the_usage() -> Result<()> {
        assert_eq!(parse("")?, Options::default());
        let given = parse("--compare --seeds 3 --lr 1e-3 --optimizer lion")?;
        assert_eq!((given.compare, given.seeds, given.lr), (true, 3, Some(1e-3)));
        for (wrong, said) in [
            ("--fast", "unknown argument `--fast`"),
            ("--steps 0", "`--steps`: `0` is no number from 1 to 100000"),
            ("--lr -1", "`--lr`: `-1` is no number"),
            ("--lr nan", "`--lr`: `nan` is no number"),
            ("--optimizer x", "no optimizer is called `x`; there are adamw"),
            ("--state-format f64", "no format of state is called `f64`; there are f32, f16"),
            ("--out f", "`--out` needs `--compare`"),
            ("--compare --state-format f16", "`--state-format` is for one training"),
        ] {
            let message = parse(wrong).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.starts_with(said) && message.contains("usage:"), "{wrong}: {message}");
        }
        Ok(())
    }
}
