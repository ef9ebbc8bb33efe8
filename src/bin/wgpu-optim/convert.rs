//! Checkpoints from one form into another.

mod named;
mod native;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wgpu_optim::checkpoint::{Error, write_file};

use crate::Failure;
use crate::torch;

/// The choice of files, and all that they do not tell.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A checkpoint of this crate (`.safetensors`, as `replay --save` and `Optimizer::save` write it), or one of
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
    /// crate's file.
    #[arg(long, value_delimiter = ',', value_name = "a,b,c")]
    names: Option<Vec<String>>,
    /// The rule of PyTorch's optimizer, as `adamw`, where the file does not tell it.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
}

/// The form of a file.
enum Form {
    Torch,
    Safetensors,
}

impl Form {
    fn of(path: &Path) -> Result<Self, String> {
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
    let Options { from, to, names, rule } = options;
    let (source, form) = (Form::of(from)?, Form::of(to)?);
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
        Form::Safetensors if !is_native => native::write(&checkpoint, to),
        _ => torch::to_torch(&checkpoint).map_err(Failure::from).and_then(|value| match form {
            Form::Torch => write(to, |file| {
                let mut file = BufWriter::new(file);
                torch::write(&value, &mut file)?;
                Ok(file.flush()?)
            }),
            Form::Safetensors => write(to, |file| named::write(&value, file)),
        }),
    };
    written.map_err(|e| format!("{}: {e}", to.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a file beside its place, and moves it there when it is whole.
fn write(path: &Path, how: impl FnOnce(&mut File) -> Result<(), Failure>) -> Result<(), Failure> {
    write_file(path, |file| how(file).map_err(Failed)).map_err(|Failed(e)| e)
}

/// An error of the file's writer, or of the file's place.
struct Failed(Failure);

impl From<Error> for Failed {
    fn from(e: Error) -> Self {
        Self(e.into())
    }
}
