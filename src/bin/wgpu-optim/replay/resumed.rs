//! The checkpoint that a run goes on from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wgpu_optim::checkpoint::{Container, Entry, Saved};
use wgpu_optim::config::{self, Config, Part};

use super::range::Place;
use crate::Failure;
use crate::trace::{Behind, Stored, Trace};

/// The key of the note with the gradients of the trace that lie behind a checkpoint.
pub(super) const PLACE: &str = "gradients";

/// The key of the note with the config.
pub(super) const CONFIG: &str = "config";

/// The part of a config that a checkpoint does not hold otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Noted {
    /// Recorded gradients that make up a step's.
    pub(super) accumulate: u32,
    pub(super) groups: Vec<NotedGroup>,
}

/// A group as CONFIG has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NotedGroup {
    options: Map<String, Value>,
    /// The learning rate of each step, if CONFIG has a list of them.
    rates: Option<Vec<f64>>,
}

impl Noted {
    pub(super) fn of(config: &Config) -> Result<Self, String> {
        let group = |part: &Part| {
            let options = config::options(&part.group)?;
            Ok(NotedGroup { options, rates: part.rates.clone() })
        };
        let groups = config.groups.iter().map(group).collect::<Result<_, String>>()?;
        Ok(Self { accumulate: config.accumulate, groups })
    }
}

/// A checkpoint that is whole.
pub(super) struct Resumed {
    pub(super) path: PathBuf,
    pub(super) saved: Saved,
    pub(super) file: Container<File>,
    noted: Option<Noted>,
}

impl Resumed {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let named = |e: String| format!("{}: {e}", path.display());
        let file = File::open(path).map_err(|e| named(e.to_string()))?;
        let mut file = Container::open(file).map_err(named)?;
        file.verify().map_err(named)?;
        let saved = Saved::of(&file).map_err(|all| named(all.join("; ")))?;
        let noted = saved.notes.get(CONFIG).map(|text| serde_json::from_str(text));
        let noted = noted.transpose().map_err(|e| named(format!("its note `{CONFIG}`: {e}")))?;
        let noted = noted.filter(|noted: &Noted| noted.groups.len() == saved.groups.len());
        if noted.as_ref().is_some_and(|noted| noted.accumulate == 0) {
            return Err(named("its note says that a step takes 0 gradients".to_owned()).into());
        }
        Ok(Self { path: path.to_owned(), saved, file, noted })
    }

    fn named(&self, e: &str) -> Failure {
        format!("{}: {e}", self.path.display()).into()
    }

    /// Recorded gradients that make up a step's, as far as FILE knows.
    fn accumulate(&self) -> Option<u32> {
        let known = || (self.saved.added == 0).then_some(1);
        self.noted.as_ref().map(|noted| noted.accumulate).or_else(known)
    }

    /// The gradient of the trace before which FILE stopped.
    pub(super) fn place(&self) -> Place {
        let noted = self.saved.notes.get(PLACE).and_then(|text| text.parse().ok());
        let accumulate = u64::from(self.accumulate().unwrap_or(1));
        let counted = || self.saved.recorded * accumulate + u64::from(self.saved.added);
        noted.map_or_else(|| Place::Counted(counted()), Place::Noted)
    }

    /// The steps that lie behind FILE.
    pub(super) fn behind(&self) -> Behind {
        let steps = self.saved.recorded;
        let skipped = self.saved.controller.as_ref().map_or(0, |of| u64::from(of.skipped));
        Behind { steps, taken: steps - skipped }
    }

    /// The steps that lie behind a parameter: all that it has, and the skipped ones among them.
    pub(super) fn steps_of(&self, name: &str) -> [u64; 2] {
        let of = self.saved.params.iter().find(|param| param.name == name);
        of.map_or([0, 0], |of| [of.steps, of.skipped])
    }

    /// The options of a group as they were at first.
    fn options(&self, group: usize) -> &Map<String, Value> {
        match &self.noted {
            Some(noted) => &noted.groups[group].options,
            None => &self.saved.groups[group].options,
        }
    }

    fn rates(&self, group: usize) -> Option<&Vec<f64>> {
        self.noted.as_ref().and_then(|noted| noted.groups[group].rates.as_ref())
    }

    /// The config of FILE, and the group of each name.
    pub(super) fn config(&self, names: &[&str]) -> Result<(Config, Vec<usize>), Failure> {
        let groups = (0..self.saved.groups.len()).map(|i| {
            let group = config::group(Value::Object(self.options(i).clone()));
            let group = group.map_err(|e| self.named(&format!("group {i}: {e}")))?;
            let own = self.saved.params.iter().filter(|param| param.group == i);
            let names = own.map(|param| param.name.clone()).collect();
            Ok(Part::new(group, self.rates(i).cloned(), names))
        });
        let groups = groups.collect::<Result<Vec<_>, Failure>>()?;
        let accumulate = self.accumulate().ok_or_else(|| {
            self.named("it has a part of a step's gradients, but not how many make up a step; give --optimizer CONFIG")
        })?;
        let group = |name: &&str| {
            let found = self.saved.params.iter().find(|param| param.name == **name);
            // A name that FILE does not have is reported with all others.
            found.map_or(0, |param| param.group)
        };
        let of_names = names.iter().map(group).collect();
        Ok((Config::new(groups, self.saved.control, accumulate), of_names))
    }

    /// Whether a config is FILE's.
    pub(super) fn check_config(
        &self,
        config: &Config,
        names: &[&str],
        groups: &[usize],
    ) -> Result<(), String> {
        let mut all: Vec<String> = Vec::new();
        let mut differ =
            |key: &str, file: &dyn std::fmt::Display, config: &dyn std::fmt::Display| {
                all.push(format!("{key} is {config} here, {file} in the checkpoint"));
            };
        if let Some(accumulate) = self.accumulate().filter(|of| *of != config.accumulate) {
            differ("`accumulate`", &accumulate, &config.accumulate);
        }
        let controls = [&self.saved.control, &config.control].map(serde_json::to_value);
        if let [Ok(Value::Object(file)), Ok(Value::Object(own))] = controls {
            for (key, value) in file.iter().filter(|(key, value)| own.get(*key) != Some(value)) {
                differ(&format!("`{key}`"), value, &own.get(key).cloned().unwrap_or_default());
            }
        }
        let noted = Noted::of(config)?;
        let mut seen: BTreeSet<(usize, usize)> = BTreeSet::new();
        for (name, own) in names.iter().zip(groups) {
            let found = self.saved.params.iter().find(|param| param.name == **name);
            let Some(param) = found else { continue };
            if !seen.insert((param.group, *own)) {
                continue;
            }
            let of = |key: &str| format!("`{key}` of the group of `{name}`");
            let NotedGroup { options, rates } = &noted.groups[*own];
            let file = self.options(param.group);
            let keys: BTreeSet<&String> = options.keys().chain(file.keys()).collect();
            for key in keys.into_iter().filter(|key| options.get(*key) != file.get(*key)) {
                let value = |of: &Map<String, Value>| of.get(key).cloned().unwrap_or_default();
                // A list of rates is compared as such.
                if *key != "lr" || (rates.is_none() && self.rates(param.group).is_none()) {
                    differ(&of(key), &value(file), &value(options));
                }
            }
            if rates.as_ref() != self.rates(param.group) {
                let text = |rates: Option<&Vec<f64>>| match rates {
                    Some(rates) => format!("a list of {}", rates.len()),
                    None => "no list".to_owned(),
                };
                differ(&of("lr"), &text(self.rates(param.group)), &text(rates.as_ref()));
            }
        }
        for (at, (file, own)) in seen.iter().enumerate() {
            let twice = |(f, o): &&(usize, usize)| (f == file) != (o == own);
            if seen.iter().skip(at + 1).any(|other| twice(&other)) {
                differ("the division into groups", &"another", &"one");
                break;
            }
        }
        if all.is_empty() {
            return Ok(());
        }
        let place = self.path.display();
        Err(format!(
            "it differs from {place}, so leave it out or give the same: {}",
            all.join("; ")
        ))
    }

    /// Has a trace begin with what FILE holds. Its parameters have to be FILE's, by name and shape.
    pub(super) fn adopt(&self, trace: &mut Trace, cpu: bool) -> Result<(), Failure> {
        let mut wrong = Vec::new();
        let entries: BTreeMap<String, Entry> =
            self.file.entries().into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        for tensor in &mut trace.tensors {
            let name = &tensor.name;
            tensor.kept.clear();
            let known = self.saved.params.iter().any(|param| param.name == *name);
            let entry = entries.get(&format!("param.{name}"));
            match entry {
                _ if !known => {
                    wrong.push(format!("it has no parameter `{name}`, which the trace has"))
                }
                None => wrong.push(format!("it has no `param.{name}`; save it with parameters")),
                Some(entry) if entry.shape != tensor.shape => wrong.push(format!(
                    "`{name}` has shape {:?} in it, {:?} in the trace",
                    entry.shape, tensor.shape
                )),
                Some(entry) => match Stored::of(entry.dtype) {
                    Some(Stored::F64) if !cpu => wrong
                        .push(format!("`{name}` is F64, as --cpu writes it; resume it with --cpu")),
                    // The reference computes in F64 in any case.
                    Some(stored) if !cpu => tensor.param.stored = stored,
                    Some(_) => {}
                    None => wrong.push(format!("`{name}` is {:?}", entry.dtype)),
                },
            }
        }
        for param in &self.saved.params {
            if !trace.tensors.iter().any(|tensor| tensor.name == param.name) {
                wrong.push(format!("it has parameter `{}`, which the trace has not", param.name));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(self.named(&wrong.join("; "))) }
    }

    /// The numbers of a tensor.
    pub(super) fn numbers(&mut self, name: &str) -> Result<Option<Vec<f64>>, Failure> {
        let Some(stored) = self.file.entry(name).and_then(|entry| Stored::of(entry.dtype)) else {
            return Ok(None);
        };
        let mut all = Vec::new();
        self.file.pieces::<std::io::Error>(name, |_, bytes| {
            all.extend(stored.numbers(bytes));
            Ok(())
        })?;
        Ok(Some(all))
    }
}
