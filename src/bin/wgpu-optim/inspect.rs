//! The contents of a checkpoint, by group and parameter.

mod blocks;
mod text;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use wgpu_optim::Control;
use wgpu_optim::checkpoint::{Container, Entry, KEY, Saved, SavedController};

use crate::Failure;
use crate::trace::{Stored, other_kind};
use text::{printable, text};

/// The key of the note in which `replay` keeps its config.
const CONFIG: &str = "config";

/// A checkpoint, as `--json` prints it.
#[derive(Serialize)]
struct Contents {
    /// The version of the format.
    version: u32,
    /// The tensors, in bytes.
    bytes: u64,
    /// Steps recorded, taken and skipped.
    steps: u64,
    steps_taken: u64,
    steps_skipped: u64,
    /// Gradients added up since the last step.
    added: u32,
    /// Gradients that make up a step's, if the file was written by `replay`.
    accumulate: Option<u32>,
    loss_scale: Option<f64>,
    growth_tracker: Option<u32>,
    control: Control,
    notes: std::collections::BTreeMap<String, String>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Group {
    /// The rule's name.
    optimizer: String,
    options: Map<String, Value>,
    /// The learning rate of each step, if the config of `replay` has a list of them.
    rates: Option<Vec<f64>>,
    /// The steps recorded for the group.
    steps: u64,
    bytes: u64,
    params: Vec<Param>,
}

#[derive(Serialize)]
struct Param {
    name: String,
    shape: Vec<usize>,
    elements: u64,
    /// The step of the parameter: those recorded less those skipped.
    step: u64,
    skipped: u64,
    frozen: bool,
    bytes: u64,
    tensors: Vec<Tensor>,
}

#[derive(Serialize)]
struct Tensor {
    /// The name in the file.
    name: String,
    /// `param`, `ema`, `master`, `sum`, or the name of a slot.
    slot: String,
    dtype: String,
    shape: Vec<usize>,
    bytes: u64,
    /// The Euclidean norm of the finite numbers; "inf" if it is larger than any f64.
    #[serde(serialize_with = "number")]
    norm: f64,
    /// The largest magnitude of the finite numbers.
    largest: f64,
    /// The number of Inf and NaN.
    nonfinite: u64,
    /// The codes and scales, if the slot is in blocks. The figures above are those of the numbers that they stand for.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<blocks::InBlocks>,
}

/// The figures of many numbers.
#[derive(Default)]
struct Figures {
    largest: f64,
    /// The sum of squares in units of the largest magnitude, so that no square is too large or too small.
    squares: f64,
    nonfinite: u64,
}

impl Figures {
    fn take(&mut self, numbers: impl IntoIterator<Item = f64>) {
        for x in numbers {
            if !x.is_finite() {
                self.nonfinite += 1;
            } else if x.abs() > self.largest {
                self.squares = self.squares * (self.largest / x.abs()).powi(2) + 1.0;
                self.largest = x.abs();
            } else if x != 0.0 {
                self.squares += (x / self.largest).powi(2);
            }
        }
    }

    fn norm(&self) -> f64 {
        self.largest * self.squares.sqrt()
    }

    /// Makes the norm NaN.
    fn forget_norm(&mut self) {
        self.squares = f64::NAN;
    }
}

/// The config of `replay`, as far as it is not among the options.
#[derive(Deserialize)]
struct Noted {
    accumulate: u32,
    groups: Vec<NotedGroup>,
}

#[derive(Deserialize)]
struct NotedGroup {
    rates: Option<Vec<f64>>,
}

impl Noted {
    fn of(saved: &Saved) -> Option<Self> {
        let noted: Self = serde_json::from_str(saved.notes.get(CONFIG)?).ok()?;
        (noted.groups.len() == saved.groups.len()).then_some(noted)
    }
}

/// A number, or its name where JSON has none.
fn number<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match x.is_finite() {
        true => serializer.serialize_f64(*x),
        false => serializer.collect_str(x),
    }
}

pub(crate) fn run(path: &Path, json: bool) -> Result<ExitCode, Failure> {
    let contents = contents(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let text = match json {
        true => serde_json::to_string_pretty(&contents)?,
        false => text(&contents),
    };
    writeln!(std::io::stdout().lock(), "{}", text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn contents(path: &Path) -> Result<Contents, Failure> {
    let mut file = File::open(path)?;
    let mut first = Vec::new();
    (&mut file).take(9).read_to_end(&mut first)?;
    if let Some(kind) = other_kind(&first) {
        let remedy = "`wgpu-optim convert` makes a checkpoint of a file of torch.save";
        return Err(format!("it is {kind}; {remedy}").into());
    }
    let mut file = Container::open(file)?;
    if file.metadata(KEY).is_none() {
        return Err(format!(
            "its metadata have no `{KEY}`: it is no checkpoint of wgpu-optim; `wgpu-optim convert` makes one of PyTorch's"
        )
        .into());
    }
    file.verify()?;
    let saved = Saved::of(&file).map_err(|all| printable(&all.join("; ")))?;
    let noted = Noted::of(&saved);
    let (accumulate, rates) = match noted {
        Some(Noted { accumulate, groups }) => {
            (Some(accumulate), groups.into_iter().map(|group| group.rates).collect())
        }
        None => (None, vec![None; saved.groups.len()]),
    };
    let entries = file.entries();
    let mut groups: Vec<Group> = saved
        .groups
        .iter()
        .zip(rates)
        .map(|(group, rates)| {
            let name = group.options.get("optimizer").and_then(Value::as_str);
            Group {
                optimizer: name.unwrap_or_default().to_owned(),
                options: group.options.clone(),
                rates,
                steps: group.recorded,
                bytes: 0,
                params: Vec::new(),
            }
        })
        .collect();
    for param in &saved.params {
        let mut tensors = Vec::new();
        for entry in &entries {
            match slot(&entry.name, &param.name) {
                Some(("code", slot)) => {
                    let options = &groups[param.group].options;
                    tensors.push(blocks::tensor(&mut file, entry, slot, options)?);
                }
                // They are shown beside the codes.
                Some(("scale", _)) | None => {}
                Some((_, slot)) => tensors.push(tensor(&mut file, entry, slot)?),
            }
        }
        // The parameter first, then its state, then all else.
        tensors.sort_by_key(|tensor: &Tensor| match tensor.name.split('.').next() {
            Some("param") => 0,
            Some("state" | "code") => 1,
            _ => 2,
        });
        let bytes = tensors.iter().map(|tensor| tensor.bytes).sum();
        let shape = tensors.first().map(|tensor: &Tensor| tensor.shape.clone());
        let group = &mut groups[param.group];
        group.bytes += bytes;
        group.params.push(Param {
            name: param.name.clone(),
            shape: shape.unwrap_or_else(|| vec![param.elements as usize]),
            elements: param.elements,
            step: param.steps - param.skipped,
            skipped: param.skipped,
            frozen: param.frozen,
            bytes,
            tensors,
        });
    }
    let controller = saved.controller.as_ref();
    let skipped = controller.map_or(0, |of| u64::from(of.skipped));
    Ok(Contents {
        version: saved.version,
        bytes: entries.iter().map(Entry::bytes).sum(),
        steps: saved.recorded,
        steps_taken: saved.recorded - skipped,
        steps_skipped: skipped,
        added: saved.added,
        accumulate,
        loss_scale: controller.map(|SavedController { scale, .. }| *scale),
        growth_tracker: controller.map(|of| of.growth_tracker),
        control: saved.control,
        notes: saved.notes,
        groups,
    })
}

/// The kind of a tensor and the part of its name that says what it is, if it belongs to a parameter.
fn slot<'a>(tensor: &'a str, param: &str) -> Option<(&'a str, &'a str)> {
    let (kind, rest) = tensor.split_once('.')?;
    let rest = rest.strip_prefix(param)?;
    match (kind, rest) {
        ("state" | "code" | "scale", slot) => {
            let slot = slot.strip_prefix('.').filter(|slot| !slot.contains('.'))?;
            Some((kind, slot))
        }
        (kind, "") => Some((kind, kind)),
        _ => None,
    }
}

fn tensor(file: &mut Container<File>, entry: &Entry, slot: &str) -> Result<Tensor, Failure> {
    let Entry { name, dtype, shape } = entry;
    let stored = Stored::of(*dtype).ok_or_else(|| format!("`{}` is {dtype:?}", printable(name)))?;
    let mut figures = Figures::default();
    file.pieces::<std::io::Error>(name, |_, bytes| {
        figures.take(stored.numbers(bytes));
        Ok(())
    })?;
    Ok(Tensor {
        name: name.clone(),
        slot: slot.to_owned(),
        dtype: dtype.to_string(),
        shape: shape.clone(),
        bytes: entry.bytes(),
        norm: figures.norm(),
        largest: figures.largest,
        nonfinite: figures.nonfinite,
        blocks: None,
    })
}
