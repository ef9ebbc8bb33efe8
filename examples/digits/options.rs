//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use wgpu_optim::{Control, Format, LossScale};

use super::Result;

pub(crate) const USAGE: &str = "\
usage: digits [--out DIR] [--quick] [--precision f32|bf16|f16] [--clip MAX_NORM]
              [--loss-scale NUMBER|dynamic]

  --out DIR              where loss.png and accuracy.png go; target/digits if not given
  --quick                few epochs and rates: seconds in place of a minute
  --precision FORMAT     how parameters and gradients are stored: f32, bf16 or f16;
                         f32 if not given
  --clip MAX_NORM        shorten gradients whose norm over all parameters is larger
  --loss-scale SCALE     multiply the loss by a number, or by one that adapts itself:
                         dynamic; 1 if not given
  --help                 this text";

/// The options that were asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) out: PathBuf,
    pub(crate) quick: bool,
    pub(crate) precision: Format,
    pub(crate) control: Control,
    pub(crate) help: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            out: "target/digits".into(),
            quick: false,
            precision: Format::F32,
            control: Control::default(),
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
                "--quick" => options.quick = true,
                "--help" | "-h" => options.help = true,
                "--out" => options.out = value("a directory")?.into(),
                "--precision" => options.precision = precision(&value("a format")?)?,
                "--clip" => options.control.clip_norm = Some(number(&argument, &value("a norm")?)?),
                "--loss-scale" => {
                    let scale = value("a number or `dynamic`")?;
                    options.control.loss_scale = match scale.to_str() {
                        Some("dynamic") => LossScale::dynamic(),
                        _ => LossScale::Fixed(number(&argument, &scale)?),
                    };
                }
                unknown => return Err(format!("unknown argument `{unknown}`")),
            }
        }
        options.control.check().map_err(|e| e.to_string())?;
        Ok(options)
    }
}

fn precision(name: &OsStr) -> Result<Format, String> {
    let named = |format: &Format| name == format.name();
    let unknown = || format!("no precision is called `{}`", name.display());
    Format::ALL.into_iter().find(named).ok_or_else(unknown)
}

fn number(argument: &str, text: &OsStr) -> Result<f64, String> {
    let parsed = text.to_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| format!("`{argument}`: `{}` is not a number", text.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Options> {
        Options::parse(arguments.split_whitespace().map(OsString::from))
    }

    #[test]
    fn arguments_are_understood_or_refused_with_the_usage() -> Result<()> {
        let given = parse("--quick --out plots")?;
        assert_eq!(given, Options { out: "plots".into(), quick: true, ..Options::default() });
        assert_eq!(parse("")?, Options::default());
        assert_eq!(Options::default().out, PathBuf::from("target/digits"));
        for (wrong, what) in [
            ("--fast", "unknown argument `--fast`"),
            ("--out", "`--out` needs a directory"),
            ("--precision", "`--precision` needs a format"),
            ("--precision f64", "no precision is called `f64`"),
            ("--clip", "`--clip` needs a norm"),
            ("--clip much", "`--clip`: `much` is not a number"),
            ("--clip -1", "`clip_norm` is -1; it must be a finite number, 0 or more"),
            ("--clip nan", "`clip_norm` is NaN"),
            ("--loss-scale", "`--loss-scale` needs a number or `dynamic`"),
            ("--loss-scale Dynamic", "`--loss-scale`: `Dynamic` is not a number"),
            ("--loss-scale 0", "`loss_scale` is 0; it must be a finite f32 number above 0"),
            ("--loss-scale inf", "`loss_scale` is inf"),
        ] {
            let message = parse(wrong).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.starts_with(what) && message.contains("usage:"), "{wrong}: {message}");
        }
        Ok(())
    }

    #[test]
    fn precision_clipping_and_loss_scale_are_understood() -> Result<()> {
        for format in Format::ALL {
            assert_eq!(parse(&format!("--precision {}", format.name()))?.precision, format);
        }
        let control = Control::default();
        assert_eq!(
            parse("--precision bf16 --clip 1.0 --loss-scale dynamic")?,
            Options {
                precision: Format::Bf16,
                control: Control {
                    clip_norm: Some(1.0),
                    loss_scale: LossScale::dynamic(),
                    ..control
                },
                ..Options::default()
            }
        );
        let fixed = Control { loss_scale: LossScale::Fixed(128.0), ..control };
        assert_eq!(parse("--loss-scale 128")?.control, fixed);
        Ok(())
    }
}
