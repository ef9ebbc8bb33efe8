//! Checkpoints from one form into another.

mod named;
mod native;
mod stored;
mod whole;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgpu_optim::checkpoint::{Error, write_file};

use crate::Failure;
use crate::torch;
use crate::torch::value::Unreadable;

/// The choice of files, and all that they do not tell.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A checkpoint of this crate (safetensors, as `replay --save` and `Optimizer::save` write it), or one of
    /// PyTorch: a file of torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "x.pt"), or a
    /// safetensors file with the same in PyTorch's names: `model.<name>`, `optimizer.state.<position>.<key>`, and as
    /// metadata `optimizer.param_groups`, the groups as JSON.
    ///
    /// PyTorch's model may also be under "state_dict" or "model_state_dict", its optimizer under
    /// "optimizer_state_dict", and either may be alone, or the whole file. All else in it is left out.
    #[arg(value_name = "IN")]
    from: PathBuf,
    /// The file to write. From this crate: PyTorch's, in the form that its name ends with, `.pt`, `.pth` or
    /// `.safetensors`. From PyTorch: this crate's if it ends with `.safetensors`, else PyTorch's.
    #[arg(value_name = "OUT")]
    to: PathBuf,
    /// The names of the optimizer's parameters in the order of its groups: where PyTorch's file has no `param_names`
    /// and the order of the model's tensors is not theirs, and where PyTorch is to have another order than this
    /// crate's file. Names with commas: as a JSON list, `["a,b", "c"]`, or this option twice or more, each time with
    /// one name.
    #[arg(long, value_name = "a,b,c")]
    names: Option<Vec<String>>,
    /// The rule of PyTorch's optimizer, as `adamw`, where the file does not tell it.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// The library whose optimizer is to go on from PyTorch's file, where more than one has state such as IN's, in 8
    /// bits. torch has none, and gets it in f32, as every safetensors file does.
    #[arg(long, value_name = "NAME", value_enum)]
    library: Option<torch::Library>,
}

/// The names that are given: in one option all of them, in several one each.
fn names(given: &[String]) -> Result<Vec<String>, String> {
    match given {
        [all] if all.starts_with('[') => serde_json::from_str(all).map_err(|e| {
            format!("--names: {e}; it begins as a JSON list of strings does, [\"a,b\", \"c\"]")
        }),
        [all] => Ok(all.split(',').map(str::to_owned).collect()),
        several => Ok(several.to_vec()),
    }
}

/// The form of a file.
enum Form {
    Torch,
    Safetensors,
}

/// The first bytes of a zip file.
const ZIP: &[u8] = b"PK\x03\x04";

/// The place of the brace with which the header of a safetensors file begins.
const BRACE: usize = 8;

impl Form {
    /// The form that a file's first bytes have, whatever its name.
    fn of_bytes(path: &Path) -> Result<Self, String> {
        let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let file = File::open(path).map_err(|e| named(&e))?;
        let mut first = Vec::new();
        file.take(BRACE as u64 + 1).read_to_end(&mut first).map_err(|e| named(&e))?;
        match first.get(BRACE) {
            Some(b'{') => Ok(Self::Safetensors),
            _ if first.starts_with(ZIP) => Ok(Self::Torch),
            _ => Err(named(
                &"it is neither a zip archive, as torch.save writes since PyTorch 1.6, nor a safetensors file; load \
                  it in Python and torch.save it again",
            )),
        }
    }

    /// The form that a file's name ends with.
    fn of_name(path: &Path) -> Result<Self, String> {
        let is_end =
            |name: &OsStr| path.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes());
        if !path.file_name().is_some_and(is_end) {
            return Err(format!("{}: it names a directory; name a file", path.display()));
        }
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("pt" | "pth") => Ok(Self::Torch),
            Some("safetensors") => Ok(Self::Safetensors),
            _ => Err(format!(
                "{}: its form is not clear; end its name with .pt, .pth or .safetensors",
                path.display()
            )),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Options { from, to, names: given, rule, library } = options;
    let names = given.as_deref().map(names).transpose()?;
    let (form, source) = (Form::of_name(to)?, Form::of_bytes(from)?);
    let place = from.canonicalize().map_err(|e| format!("{}: {e}", from.display()))?;
    if to.canonicalize().is_ok_and(|to| to == place) {
        return Err(format!("{}: that is IN; write elsewhere", to.display()).into());
    }
    let (rule, names) = (rule.as_deref(), names.as_deref());
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", from.display());
    let is_native = matches!(source, Form::Safetensors) && native::is_native(from);
    let checkpoint = if is_native {
        native::read(from, names).map_err(|e| named(&e))?
    } else {
        let value = match source {
            Form::Torch => torch::read(from)?,
            Form::Safetensors => named::read(from)?,
        };
        // Safetensors files are in the order of names.
        let is_ordered = matches!(source, Form::Torch);
        let hints = torch::Hints { rule, names, is_ordered };
        torch::from_torch(&value, hints).map_err(|e| named(&e))?
    };
    for key in &checkpoint.left_out {
        eprintln!("convert: `{key}` is left out, which is neither the model nor the optimizer");
    }
    let written = match form {
        Form::Safetensors if !is_native => {
            let whole = whole::whole(&checkpoint).map_err(|e| named(&e))?;
            write(to, |file| whole.write(file))
        }
        _ => {
            // Only files of torch.save have a place for blocks.
            let library = match form {
                Form::Torch => *library,
                Form::Safetensors => Some(library.unwrap_or(torch::Library::Torch)),
            };
            let value = torch::to_torch(&checkpoint, library).map_err(|e| named(&e))?;
            write(to, |file| match form {
                Form::Torch => {
                    let mut file = BufWriter::new(file);
                    torch::write(&value, &mut file)?;
                    Ok(file.flush()?)
                }
                Form::Safetensors => named::write(&value, file),
            })
        }
    };
    match written {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) if e.is::<Unreadable>() => Err(named(&e).into()),
        Err(e) => Err(e),
    }
}

/// Writes a file beside its place, and moves it there when it is whole. Errors name the file, but for those of what is
/// read in the meantime.
fn write(path: &Path, how: impl FnOnce(&mut File) -> Result<(), Failure>) -> Result<(), Failure> {
    let named = |e: Failure| -> Failure {
        match e.downcast_ref::<std::io::Error>() {
            Some(e) => Error::writing(path, e).into(),
            None if e.is::<Unreadable>() => e,
            None => format!("{}: {e}", path.display()).into(),
        }
    };
    write_file(path, |file| how(file).map_err(|e| Failed(named(e)))).map_err(|Failed(e)| e)
}

/// An error of the file's writer, or of the file's place.
struct Failed(Failure);

impl From<Error> for Failed {
    fn from(e: Error) -> Self {
        Self(e.into())
    }
}
