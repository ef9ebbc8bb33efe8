//! The values that a PyTorch checkpoint is made of.

use std::collections::HashSet;

use super::blocks::Blocks;
pub(crate) use super::tensor::{Each, Source, Tensor, Unreadable};

/// A value of Python.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    /// Entries in their order; where a key is there twice, the last counts.
    Dict(Vec<(Value, Value)>),
    Tensor(Tensor),
    /// A tensor in blocks, of a class of torchao's.
    Blocks(Blocks),
}

impl Value {
    /// The kind of value, for errors.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(on) => if *on { "True" } else { "False" }.to_owned(),
            Self::Int(n) => n.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Str(text) => format!("the string \"{text}\""),
            Self::List(all) => format!("a list of {}", all.len()),
            Self::Tuple(all) => format!("a tuple of {}", all.len()),
            Self::Dict(all) => format!("a dict of {}", all.len()),
            Self::Blocks(blocks) => format!("blocks of shape {:?}", blocks.codes.shape),
            Self::Tensor(tensor) => format!("a tensor of shape {:?}", tensor.shape),
        }
    }

    /// The number of an int, a float, or a tensor that has one number.
    pub(crate) fn number(&self) -> Result<f64, String> {
        match self {
            Self::Int(n) => Ok(*n as f64),
            Self::Float(x) => Ok(*x),
            Self::Tensor(tensor) => tensor.number().map_err(|e| e.to_string()),
            other => Err(format!("it is {}, not a number", other.kind())),
        }
    }

    /// The entries of a list or tuple.
    pub(crate) fn items(&self) -> Option<&[Value]> {
        match self {
            Self::List(all) | Self::Tuple(all) => Some(all),
            _ => None,
        }
    }

    /// The value that a dict has under a string.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let Self::Dict(all) = self else { return None };
        let is_it = |(known, _): &&(Value, Value)| matches!(known, Self::Str(name) if name == key);
        all.iter().rfind(is_it).map(|(_, value)| value)
    }

    /// A dict with strings for keys.
    pub(crate) fn dict<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (Self::Str(key.into()), value));
        Self::Dict(entries.collect())
    }

    /// The entries of a dict whose keys are all strings, each of them once.
    pub(crate) fn entries(&self) -> Result<Vec<(&str, &Value)>, String> {
        let Self::Dict(all) = self else {
            return Err(format!("it is {}, not a dict", self.kind()));
        };
        let mut seen = HashSet::new();
        let mut entries = Vec::new();
        for (key, value) in all {
            let Self::Str(name) = key else {
                return Err(format!("a key is {}; all must be strings", key.kind()));
            };
            if !seen.insert(name) {
                return Err(format!("`{name}` is there twice"));
            }
            entries.push((name.as_str(), value));
        }
        Ok(entries)
    }
}
