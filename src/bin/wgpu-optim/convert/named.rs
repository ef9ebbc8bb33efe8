//! A checkpoint of PyTorch as a safetensors file, in PyTorch's names.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use serde_json::Value as Json;
use wgpu_optim::checkpoint::{Entry, Writer, sort_entries};

use crate::Failure;
use crate::torch::value::{Each, Source, Tensor, Value};
use crate::trace::read_header;

/// The bytes that are read at once.
const READ: usize = 1 << 20;

/// The beginnings of names.
const MODEL: &str = "model.";
const STATE: &str = "optimizer.state.";

/// The metadata's key for the groups.
const GROUPS: &str = "optimizer.param_groups";

/// Reads a file. Its tensors are read when they are asked for.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut file = File::open(path).map_err(|e| named(&e))?;
    let (header, begin) = read_header(&mut file).map_err(|e| named(&e))?;
    let file = Rc::new(RefCell::new(file));
    let mut model = Vec::new();
    let mut states: BTreeMap<i64, Vec<(String, Value)>> = BTreeMap::new();
    // In the order of the file, which is that of types and names.
    for key in header.offset_keys() {
        let Some(info) = header.info(&key) else { continue };
        let (from, to) = info.data_offsets;
        let data = Range { file: file.clone(), at: begin + from as u64, length: to - from };
        let tensor = Tensor { dtype: info.dtype, shape: info.shape.clone(), data: Rc::new(data) };
        let state = key.strip_prefix(STATE).and_then(|rest| rest.split_once('.'));
        match (key.strip_prefix(MODEL), state) {
            (Some(name), _) => model.push((name.to_owned(), Value::Tensor(tensor))),
            (_, Some((id, slot))) => {
                let id = id.parse().map_err(|e| named(&format!("`{key}`: the position: {e}")))?;
                states.entry(id).or_default().push((slot.to_owned(), Value::Tensor(tensor)));
            }
            _ => {
                let must = "names begin with `model.` or `optimizer.state.<position>.`";
                return Err(named(&format!("`{key}` is no part of a checkpoint; {must}")).into());
            }
        }
    }
    let groups = header.metadata().as_ref().and_then(|all| all.get(GROUPS));
    let optimizer = match groups {
        None if states.is_empty() => None,
        None => return Err(named(&format!("`{GROUPS}` is missing in the metadata")).into()),
        Some(text) => {
            let groups: Json =
                serde_json::from_str(text).map_err(|e| named(&format!("`{GROUPS}`: {e}")))?;
            let states = states.into_iter().map(|(id, all)| (Value::Int(id), Value::dict(all)));
            let states = Value::Dict(states.collect());
            Some((
                "optimizer",
                Value::dict([("state", states), ("param_groups", of_json(&groups))]),
            ))
        }
    };
    let model = (!model.is_empty()).then(|| ("model", Value::dict(model)));
    Ok(Value::dict(model.into_iter().chain(optimizer)))
}

/// Writes a value of model and optimizer.
pub(super) fn write(value: &Value, file: &mut File) -> Result<(), Failure> {
    let mut all: Vec<(Entry, &Tensor)> = Vec::new();
    let mut metadata = BTreeMap::new();
    if let Some(model) = value.get("model") {
        for (name, tensor) in model.entries()? {
            all.push(named(format!("{MODEL}{name}"), tensor)?);
        }
    }
    if let Some(optimizer) = value.get("optimizer") {
        if let Some(Value::Dict(states)) = optimizer.get("state") {
            for (id, state) in states {
                for (key, tensor) in state.entries()? {
                    all.push(named(format!("{STATE}{}.{key}", id.kind()), tensor)?);
                }
            }
        }
        let groups = json(optimizer.get("param_groups").unwrap_or(&Value::None))?;
        metadata.insert(GROUPS.to_owned(), groups.to_string());
    }
    sort_entries(&mut all, |(entry, _)| entry);
    let entries: Vec<Entry> = all.iter().map(|(entry, _)| entry.clone()).collect();
    let mut writer = Writer::plain(file, &metadata, &entries)?;
    for (_, tensor) in all {
        tensor.read(&mut |bytes| Ok(writer.write(bytes)?))?;
    }
    writer.finish()?;
    Ok(())
}

/// A tensor with its place in a file's header.
fn named(name: String, value: &Value) -> Result<(Entry, &Tensor), String> {
    match value {
        Value::Tensor(tensor) => {
            Ok((Entry { name, dtype: tensor.dtype, shape: tensor.shape.clone() }, tensor))
        }
        other => Err(format!(
            "`{name}` is {}, not a tensor, and has no place in a safetensors file; end OUT's name with .pt",
            other.kind()
        )),
    }
}

/// A part of a file.
struct Range {
    file: Rc<RefCell<File>>,
    at: u64,
    length: usize,
}

impl Source for Range {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(self.at))?;
        let mut buffer = vec![0; READ.min(self.length)];
        let mut left = self.length;
        while left > 0 {
            let part = &mut buffer[..READ.min(left)];
            file.read_exact(part)?;
            each(part)?;
            left -= part.len();
        }
        Ok(())
    }
}

/// The JSON of a value without tensors.
fn json(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::None => Json::Null,
        Value::Bool(on) => (*on).into(),
        Value::Int(n) => (*n).into(),
        Value::Float(x) => (*x).into(),
        Value::Str(text) => text.as_str().into(),
        Value::List(all) | Value::Tuple(all) => all.iter().map(json).collect::<Result<_, _>>()?,
        Value::Dict(_) => {
            let entries = value.entries()?.into_iter();
            let entries = entries.map(|(key, value)| Ok((key.to_owned(), json(value)?)));
            Json::Object(entries.collect::<Result<_, String>>()?)
        }
        Value::Blocks(_) => return Err("state in blocks has no JSON".to_owned()),
        Value::Tensor(_) => json(&Value::Float(value.number()?))?,
    })
}

/// The value of a JSON.
fn of_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::None,
        Json::Bool(on) => Value::Bool(*on),
        Json::Number(number) => match number.as_i64() {
            Some(n) => Value::Int(n),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Str(text.clone()),
        Json::Array(all) => Value::List(all.iter().map(of_json).collect()),
        Json::Object(all) => Value::dict(all.iter().map(|(key, value)| (key, of_json(value)))),
    }
}
