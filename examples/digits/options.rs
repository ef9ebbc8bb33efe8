//! The command line.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use super::Result;
use super::settings::Settings;

pub(crate) const USAGE: &str = "\
usage: digits [--out DIR] [--quick] [--precision f32|bf16|f16]
              [--state-format f32|f16|bf16|block8|block4] [--clip MAX_NORM]
              [--loss-scale NUMBER|dynamic]
       digits --run RULE [--lr RATE] [--schedule constant|cosine] [--epochs N] [--seed N]
              [--batch IMAGES] [--accumulate BATCHES] [--precision FORMAT]
              [--state-format FORMAT] [--clip MAX_NORM] [--loss-scale SCALE]
              [--save FILE [--save-every STEPS]]
       digits --resume FILE [--epochs N] [--save FILE [--save-every STEPS]]

A sweep of three optimizers over learning rates:
  --out DIR              where loss.png and accuracy.png go; target/digits if not given
  --quick                few epochs and rates: seconds in place of a minute

A single run (needs the feature `checkpoint`):
  --run RULE             sgd, adagrad, rmsprop, adam, adamw or lion
  --lr RATE              the learning rate; 1e-3 if not given
  --schedule COURSE      the rate's course: constant, or cosine with a warmup; constant if not given
  --epochs N             12 if not given
  --seed N               of images held out, of their order and of weights; 1 if not given
  --batch IMAGES         images in a mini-batch; 32 if not given
  --accumulate BATCHES   mini-batches whose mean gradient makes a step; 1 if not given
  --save FILE            where checkpoints go, the last one at the end
  --save-every STEPS     how often; after every epoch if not given
  --resume FILE          go on with the run that the file is of, to the same bits as without a break;
                         from a file that another program wrote, with its parameters, state and options

Both:
  --precision FORMAT     how parameters and gradients are stored: f32, bf16 or f16;
                         f32 if not given
  --state-format FORMAT  how the optimizer's state is stored: f32, f16, bf16, block8 or block4, or a
                         format for each slot, as exp_avg:block8,exp_avg_sq:bf16; f32 if not given
  --clip MAX_NORM        shorten gradients whose norm over all parameters is larger
  --loss-scale SCALE     multiply the loss by a number, or by one that adapts itself:
                         dynamic; 1 if not given
  --help                 this text";

/// The options of both that a sweep has, too.
const SHARED: [&str; 4] = ["precision", "state-format", "clip", "loss-scale"];

/// The options that were asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) out: PathBuf,
    pub(crate) quick: bool,
    pub(crate) settings: Settings,
    /// The names of the settings that were given.
    pub(crate) given: BTreeSet<&'static str>,
    pub(crate) save: Option<PathBuf>,
    /// The steps from one checkpoint to the next.
    pub(crate) save_every: Option<u64>,
    pub(crate) resume: Option<PathBuf>,
    pub(crate) help: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            out: "target/digits".into(),
            quick: false,
            settings: Settings::default(),
            given: BTreeSet::new(),
            save: None,
            save_every: None,
            resume: None,
            help: false,
        }
    }
}

impl Options {
    /// Reads the arguments that follow the program's name.
    pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self> {
        Self::read(arguments).map_err(|message| format!("{message}\n\n{USAGE}").into())
    }

    /// Whether it is a single run that is asked for.
    pub(crate) fn is_single(&self) -> bool {
        self.resume.is_some() || self.given.contains("run")
    }

    fn read(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut of_sweep = None;
        while let Some(argument) = arguments.next() {
            let argument = argument.to_string_lossy();
            let mut value =
                |what| arguments.next().ok_or_else(|| format!("`{argument}` needs {what}"));
            match &*argument {
                "--quick" => options.quick = true,
                "--help" | "-h" => options.help = true,
                "--out" => options.out = value("a directory")?.into(),
                "--save" => options.save = Some(value("a file")?.into()),
                "--resume" => options.resume = Some(value("a file")?.into()),
                "--save-every" => {
                    let text = value("a number of steps")?;
                    let number = text.to_str().and_then(|text| text.parse().ok());
                    let number = number.filter(|steps| *steps > 0).ok_or_else(|| {
                        format!("`{argument}`: `{}` is not a number of steps", text.display())
                    });
                    options.save_every = Some(number?);
                }
                other => {
                    let known = |(key, _): &&(&str, &str)| other.strip_prefix("--") == Some(*key);
                    let Some((key, what)) = Settings::KEYS.iter().find(known) else {
                        return Err(format!("unknown argument `{other}`"));
                    };
                    options.settings.set(key, &value(what)?)?;
                    options.given.insert(key);
                }
            }
            if matches!(&*argument, "--quick" | "--out") {
                of_sweep = Some(argument.into_owned());
            }
        }
        options.settings.control.check().map_err(|e| e.to_string())?;
        options.check(of_sweep)?;
        Ok(options)
    }

    /// Whether the options that were given go together.
    fn check(&self, of_sweep: Option<String>) -> Result<(), String> {
        if self.is_single() {
            return match of_sweep {
                Some(given) => Err(format!("`{given}` is for a sweep, not for a single run")),
                None if self.save_every.is_some() && self.save.is_none() => {
                    Err("`--save-every` needs `--save FILE`".to_owned())
                }
                None => Ok(()),
            };
        }
        let single = self.given.iter().find(|key| !SHARED.contains(key)).copied();
        let save = self.save.as_ref().map(|_| "save");
        match single.or(save).or(self.save_every.map(|_| "save-every")) {
            Some(given) => {
                Err(format!("`--{given}` is for a single run; add `--run RULE` or `--resume FILE`"))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use wgpu_optim::{Control, Format, LossScale, StateFormat};

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
            ("--state-format", "`--state-format` needs a format"),
            ("--state-format block2", "no format of state is called `block2`"),
            ("--state-format exp_avg:block8,bf16", "`bf16` names no slot"),
            ("--state-format exp_avg:block2", "no format of state is called `block2`"),
            ("--clip", "`--clip` needs a norm"),
            ("--clip much", "`--clip`: `much` is not a number"),
            ("--clip -1", "`clip_norm` is -1; it must be a finite number, 0 or more"),
            ("--clip nan", "`clip_norm` is NaN"),
            ("--loss-scale", "`--loss-scale` needs a number or `dynamic`"),
            ("--loss-scale Dynamic", "`--loss-scale`: `Dynamic` is not a number"),
            ("--loss-scale 0", "`loss_scale` is 0; it must be a finite f32 number above 0"),
            ("--loss-scale inf", "`loss_scale` is inf"),
            ("--run", "`--run` needs an optimizer"),
            ("--run adam --lr x", "`--lr`: `x` is not a number"),
            ("--run adam --schedule x", "no schedule is called `x`"),
            ("--run adam --epochs 0", "`--epochs`: `0` is not a whole number from 1 to 1000"),
            ("--run adam --save f --save-every 0", "`--save-every`: `0` is not a number of steps"),
            ("--run adam --save-every 5", "`--save-every` needs `--save FILE`"),
            ("--run adam --quick", "`--quick` is for a sweep, not for a single run"),
            ("--resume f --out d", "`--out` is for a sweep, not for a single run"),
            ("--seed 7", "`--seed` is for a single run; add `--run RULE` or `--resume FILE`"),
            ("--save f", "`--save` is for a single run; add `--run RULE` or `--resume FILE`"),
        ] {
            let message = parse(wrong).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.starts_with(what) && message.contains("usage:"), "{wrong}: {message}");
        }
        Ok(())
    }

    #[test]
    fn formats_clipping_and_loss_scale_are_understood() -> Result<()> {
        for format in Format::ALL {
            let given = parse(&format!("--precision {}", format.name()))?;
            assert_eq!(given.settings.precision, format);
        }
        for format in StateFormat::ALL {
            let given = parse(&format!("--state-format {format}"))?;
            assert_eq!(given.settings.state_format, format.into());
            assert!(!given.is_single());
        }
        let control = Control::default();
        let given = parse("--precision bf16 --clip 1.0 --loss-scale dynamic")?;
        assert_eq!(given.settings.precision, Format::Bf16);
        let expected =
            Control { clip_norm: Some(1.0), loss_scale: LossScale::dynamic(), ..control };
        assert_eq!(given.settings.control, expected);
        assert_eq!(given.given, BTreeSet::from(["clip", "loss-scale", "precision"]));
        assert!(!given.is_single());
        let fixed = Control { loss_scale: LossScale::Fixed(128.0), ..control };
        assert_eq!(parse("--loss-scale 128")?.settings.control, fixed);
        Ok(())
    }

    #[test]
    fn a_single_run_is_understood() -> Result<()> {
        let given = parse("--run adamw --lr 3e-4 --seed 7 --save f --save-every 9")?;
        assert!(given.is_single());
        let Settings { rule, lr, seed, .. } = &given.settings;
        assert_eq!((rule.as_str(), *lr, *seed), ("adamw", 3e-4, 7));
        assert_eq!((given.save, given.save_every), (Some("f".into()), Some(9)));
        let resumed = parse("--resume f --epochs 20")?;
        assert!(resumed.is_single() && resumed.settings.epochs == 20);
        Ok(())
    }
}
