//! The checkpoint that a run goes on from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use wgpu_optim::checkpoint::{Container, Entry, Saved, SavedParam};
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
    /// The steps before the first gradient ever, and the steps that were taken among them: those of a trace that went
    /// on from a result.
    #[serde(default)]
    pub(super) behind: [u64; 2],
}

/// A group as CONFIG has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NotedGroup {
    options: Map<String, Value>,
    /// The learning rate of each step, if CONFIG has a list of them.
    rates: Option<Vec<f64>>,
}

impl Noted {
    pub(super) fn of(config: &Config, behind: Behind) -> Result<Self, String> {
        let group = |part: &Part| {
            let options = config::options(&part.group)?;
            Ok(NotedGroup { options, rates: part.rates.clone() })
        };
        let groups = config.groups.iter().map(group).collect::<Result<_, String>>()?;
        let behind = [behind.steps, behind.taken];
        Ok(Self { accumulate: config.accumulate, groups, behind })
    }
}

/// A checkpoint that is whole.
pub(super) struct Resumed {
    pub(super) path: PathBuf,
    pub(super) saved: Saved,
    pub(super) file: Container<File>,
    /// The same file. Another one may be in its place by now.
    pub(super) handle: File,
    noted: Option<Noted>,
}

impl Resumed {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let named = |e: String| format!("{}: {e}", path.display());
        let opened = File::open(path).and_then(|file| Ok((file.try_clone()?, file)));
        let no_file = |e| named(format!("{e}; --resume takes a checkpoint that --save wrote"));
        let (handle, file) = opened.map_err(no_file)?;
        let mut file = Container::open(file).map_err(named)?;
        file.verify().map_err(named)?;
        let saved = Saved::of(&file).map_err(|all| named(all.join("; ")))?;
        let noted = saved.notes.get(CONFIG).map(|text| serde_json::from_str(text));
        let noted = noted.transpose().map_err(|e| named(format!("its note `{CONFIG}`: {e}")))?;
        let noted = noted.filter(|noted: &Noted| noted.groups.len() == saved.groups.len());
        let resumed = Self { path: path.to_owned(), saved, file, handle, noted };
        resumed.check().map_err(named)?;
        Ok(resumed)
    }

    /// Whether the note and the rest agree.
    fn check(&self) -> Result<(), String> {
        let Some(Noted { accumulate, groups, behind: [steps, taken] }) = &self.noted else {
            return Ok(());
        };
        if *accumulate == 0 {
            return Err("its note says that a step takes 0 gradients".to_owned());
        }
        if taken > steps || *taken > self.saved.recorded {
            return Err(format!(
                "its note has {steps} steps before its first gradient, {taken} of them taken, and it {} in all",
                self.saved.recorded
            ));
        }
        for (i, (noted, saved)) in groups.iter().zip(&self.saved.groups).enumerate() {
            let mut now = saved.options.clone();
            // With a list of rates, the rate is that of the last step.
            if noted.rates.is_some() {
                now.extend(noted.options.get("lr").map(|lr| ("lr".to_owned(), lr.clone())));
            }
            if now != noted.options {
                return Err(format!("group {i} has other options in its note `{CONFIG}`"));
            }
        }
        Ok(())
    }

    pub(super) fn named(&self, e: &str) -> Failure {
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

    /// The steps before the first gradient ever.
    pub(super) fn first(&self) -> Behind {
        let [steps, taken] = self.noted.as_ref().map_or([0, 0], |noted| noted.behind);
        Behind { steps, taken }
    }

    /// The steps that FILE counts.
    pub(super) fn counted(&self) -> Behind {
        let steps = self.saved.recorded;
        let skipped = self.saved.controller.as_ref().map_or(0, |of| u64::from(of.skipped));
        Behind { steps, taken: steps - skipped }
    }

    /// The steps that lie behind FILE, those of the time before it was counted included.
    pub(super) fn behind(&self) -> Behind {
        let (Behind { steps, taken }, first) = (self.counted(), self.first());
        Behind { steps: steps + (first.steps - first.taken), taken }
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

    /// The same with the options that an older file does not have, at their defaults.
    fn completed(&self, group: usize) -> Map<String, Value> {
        let all = self.options(group);
        let read = config::group(Value::Object(all.clone()));
        read.and_then(|group| config::options(&group)).unwrap_or_else(|_| all.clone())
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
                let own = own.get(key).cloned().unwrap_or_default();
                differ(&format!("`{key}`"), &in_config(value), &in_config(&own));
            }
        }
        let noted = Noted::of(config, self.first())?;
        let mut seen: BTreeSet<(usize, usize)> = BTreeSet::new();
        let mut of_first: BTreeMap<usize, &str> = BTreeMap::new();
        for (name, own) in names.iter().zip(groups) {
            let found = self.saved.params.iter().find(|param| param.name == **name);
            let Some(param) = found else { continue };
            if !seen.insert((param.group, *own)) {
                continue;
            }
            if let Some((other, _)) =
                seen.iter().find(|(file, here)| here == own && *file != param.group)
            {
                let group = param.group;
                differ(
                    &format!("the group of `{name}`"),
                    &format!("{group}"),
                    &format!("that of group {other}"),
                );
            }
            let of = |key: &str| format!("`{key}` of the group of `{name}`");
            let NotedGroup { options, rates } = &noted.groups[*own];
            let file = &self.completed(param.group);
            let value =
                |of: &Map<String, Value>, key: &str| of.get(key).cloned().unwrap_or_default();
            // Another rule has other options.
            if options.get("optimizer") != file.get("optimizer") {
                differ(&of("optimizer"), &value(file, "optimizer"), &value(options, "optimizer"));
                continue;
            }
            let keys: BTreeSet<&String> = options.keys().chain(file.keys()).collect();
            for key in keys.into_iter().filter(|key| options.get(*key) != file.get(*key)) {
                // A list of rates is compared as such.
                if *key != "lr" || (rates.is_none() && self.rates(param.group).is_none()) {
                    differ(&of(key), &value(file, key), &value(options, key));
                }
            }
            if rates.as_ref() != self.rates(param.group) {
                let [file, here] = rates_of(self.rates(param.group), rates.as_ref());
                differ(&of("lr"), &file, &here);
            }
            if let Some(other) = of_first.insert(param.group, name) {
                differ(&format!("the group of `{other}` and `{name}`"), &"one", &"not the same");
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
            if cpu {
                wrong.extend(self.not_for_cpu(param));
            }
            if !trace.tensors.iter().any(|tensor| tensor.name == param.name) {
                wrong.push(format!("it has parameter `{}`, which the trace has not", param.name));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(self.named(&wrong.join("; "))) }
    }

    /// The reason why the reference cannot go on with a parameter, if there is one.
    fn not_for_cpu(
        &self,
        SavedParam { name, group, steps, frozen, .. }: &SavedParam,
    ) -> Option<String> {
        if *frozen {
            return Some(format!(
                "`{name}` is frozen, which the reference does not know; leave out --cpu"
            ));
        }
        let of = &self.saved.groups[*group];
        let scheduled = self.options(*group).values().any(|value| {
            value.is_object()
                || value.as_array().is_some_and(|all| all.iter().any(Value::is_object))
        });
        (scheduled && *steps != of.recorded).then(|| {
            let group = of.recorded;
            format!(
                "`{name}` has {steps} steps, and its group {group}, which its schedule counts; the reference counts those of the parameter, so leave out --cpu"
            )
        })
    }

    /// The numbers of a tensor, if there is one.
    pub(super) fn numbers(&mut self, name: &str) -> Result<Option<Vec<f64>>, Failure> {
        let Some(Entry { dtype, .. }) = self.file.entry(name) else { return Ok(None) };
        let stored = Stored::of(dtype);
        let stored = stored.ok_or_else(|| self.named(&format!("`{name}` is {dtype:?}")))?;
        let mut all = Vec::new();
        self.file.pieces::<std::io::Error>(name, |_, bytes| {
            all.extend(stored.numbers(bytes));
            Ok(())
        })?;
        Ok(Some(all))
    }
}

/// A value of a control as CONFIG has it, which leaves out the kinds of loss scale.
fn in_config(value: &Value) -> Value {
    let kinds = ["Fixed", "Dynamic"].into_iter();
    kinds.filter_map(|kind| value.get(kind)).next().unwrap_or(value).clone()
}

/// Two lists of rates, as far as they differ: FILE's and CONFIG's.
fn rates_of(file: Option<&Vec<f64>>, here: Option<&Vec<f64>>) -> [String; 2] {
    let (Some(one), Some(two)) = (file, here) else {
        return [file, here].map(|rates| match rates {
            Some(rates) => format!("a list of {}", rates.len()),
            None => "no list".to_owned(),
        });
    };
    if one.len() != two.len() {
        return [one, two].map(|rates| format!("a list of {}", rates.len()));
    }
    let at = one.iter().zip(two).position(|(one, two)| one != two).unwrap_or_default();
    [one, two].map(|rates| format!("{} at index {at}", rates.get(at).copied().unwrap_or_default()))
}
