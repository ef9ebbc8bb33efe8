//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Result;
use super::settings::STEPS;

pub(crate) const USAGE: &str = "\
usage: landscape [--out FILE] [--points N] [--steps N] [--config JSON]…

  --out FILE      where the sheet goes; target/landscape.png if not given
  --points N      starting points of each function; 4096 if not given
  --steps N       steps; 3000 if not given
  --config JSON   a rule with options of yours in place of all rules, as
                  '{\"optimizer\": \"adam\", \"lr\": 0.1}'; may be given again and again
  --help          this text";

/// The options that were asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) out: PathBuf,
    pub(crate) points: u32,
    pub(crate) steps: u64,
    pub(crate) configs: Vec<String>,
    pub(crate) help: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            out: "target/landscape.png".into(),
            points: 4096,
            steps: STEPS,
            configs: Vec::new(),
            help: false,
        }
    }
}

impl Options {
    /// Reads the arguments that follow the program's name.
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self> {
        Self::read(arguments).map_err(|message| format!("{message}\n\n{USAGE}").into())
    }

    fn read(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let argument = argument.to_string_lossy();
            let mut value =
                |what| arguments.next().ok_or_else(|| format!("`{argument}` needs {what}"));
            match &*argument {
                "--help" | "-h" => options.help = true,
                "--out" => options.out = value("a file")?.into(),
                "--points" => options.points = number(&argument, value("a number")?, 1 << 20)?,
                "--steps" => options.steps = number(&argument, value("a number")?, 1 << 20)?.into(),
                "--config" => {
                    options.configs.push(value("a JSON object")?.to_string_lossy().into_owned());
                }
                unknown => return Err(format!("unknown argument `{unknown}`")),
            }
        }
        Ok(options)
    }
}

fn number(argument: &str, text: OsString, most: u32) -> Result<u32, String> {
    let parsed = text.to_str().and_then(|text| text.parse().ok());
    parsed.filter(|number| (1..=most).contains(number)).ok_or_else(|| {
        format!("`{argument}`: `{}` is no whole number from 1 to {most}", text.display())
    })
}
