//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Result;

pub(crate) const USAGE: &str = "\
usage: digits [--out DIR] [--quick]

  --out DIR   where loss.png and accuracy.png go; target/digits if not given
  --quick     few epochs and rates: seconds in place of a minute
  --help      this text";

/// What was asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) out: PathBuf,
    pub(crate) quick: bool,
    pub(crate) help: bool,
}

impl Options {
    /// Reads the arguments that follow the program's name.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self> {
        let mut options = Self { out: "target/digits".into(), quick: false, help: false };
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--quick") => options.quick = true,
                Some("--help" | "-h") => options.help = true,
                Some("--out") => {
                    let missing = || format!("`--out` needs a directory\n\n{USAGE}");
                    options.out = arguments.next().ok_or_else(missing)?.into();
                }
                _ => {
                    let unknown = argument.display();
                    return Err(format!("unknown argument `{unknown}`\n\n{USAGE}").into());
                }
            }
        }
        Ok(options)
    }
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
        assert_eq!(given, Options { out: "plots".into(), quick: true, help: false });
        assert_eq!(parse("")?.out, PathBuf::from("target/digits"));
        for (wrong, what) in [("--fast", "unknown argument `--fast`"), ("--out", "`--out` needs")] {
            let message = parse(wrong).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.starts_with(what) && message.contains("usage:"), "{message}");
        }
        Ok(())
    }
}
