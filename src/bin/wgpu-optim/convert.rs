//! Checkpoints from one form into another.

mod named;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::Failure;
use crate::torch;
use crate::torch::value::Value;

/// The choice of files, and what they do not tell.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A file of torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "x.pt"), or a
    /// safetensors file with the same in PyTorch's names: `model.<name>`, `optimizer.state.<position>.<key>`, and as
    /// metadata `optimizer.param_groups`, the groups as JSON.
    ///
    /// The model may also be under "state_dict" or "model_state_dict", the optimizer under "optimizer_state_dict", and
    /// either may be alone, or the whole file. All else in it is left out.
    #[arg(value_name = "IN")]
    from: PathBuf,
    /// The file to write, in the form that its name ends with: `.safetensors`, `.pt` or `.pth`.
    #[arg(value_name = "OUT")]
    to: PathBuf,
    /// The names of the optimizer's parameters in the order of its groups, where the file has no `param_names` and the
    /// order of the model's tensors is not theirs.
    #[arg(long, value_delimiter = ',', value_name = "a,b,c")]
    names: Option<Vec<String>>,
    /// The optimizer's rule, as `adamw`, where the file does not tell it.
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
    let value = match source {
        Form::Torch => torch::read(from)?,
        Form::Safetensors => named::read(from)?,
    };
    // Safetensors files are in the order of names.
    let is_ordered = matches!(source, Form::Torch);
    let (rule, names) = (rule.as_deref(), names.as_deref());
    let checkpoint = torch::from_torch(&value, torch::Hints { rule, names, is_ordered })
        .map_err(|e| format!("{}: {e}", from.display()))?;
    for key in &checkpoint.left_out {
        eprintln!("convert: `{key}` is left out, which is neither the model nor the optimizer");
    }
    let value = torch::to_torch(&checkpoint).map_err(|e| format!("{}: {e}", to.display()))?;
    write(to, &form, &value).map_err(|e| format!("{}: {e}", to.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a file beside its place, and moves it there when it is whole.
fn write(path: &Path, form: &Form, value: &Value) -> Result<(), Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = tempfile::Builder::new()
        .prefix(".wgpu-optim-")
        .tempdir_in(parent.unwrap_or(Path::new(".")))?;
    let whole = directory.path().join("out");
    match form {
        Form::Torch => {
            let mut file = BufWriter::new(File::create(&whole)?);
            torch::write(value, &mut file)?;
            file.flush()?;
        }
        Form::Safetensors => {
            named::write(value, &whole)?;
            // It is its owner's alone; a result is as any file this user makes.
            let ordinary = File::create(directory.path().join("ordinary"))?;
            std::fs::set_permissions(&whole, ordinary.metadata()?.permissions())?;
        }
    }
    Ok(std::fs::rename(&whole, path)?)
}
