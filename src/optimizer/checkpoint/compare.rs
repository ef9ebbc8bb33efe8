//! The comparison of a file with the optimizer, before anything is loaded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read, Seek};

use safetensors::Dtype;
use serde_json::Value;

use super::super::Optimizer;
use super::blocks;
use super::sources::{Kept, kept, tensor_name};
use crate::checkpoint::{Container, Entry, LoadOptions, Saved, SavedGroup, SavedParam, dtype};
use crate::config;
use crate::group::Group;
use crate::model::{GroupKind, OPERANDS, operand};
use crate::num::{Format, Master};
use crate::plan::PARAM;
use crate::rule::{self, slot_names};

/// Everything that a load needs to know, once the file is known to fit.
pub(super) struct Plan {
    /// Each parameter to load, by its index in the model, and its index in the file; in the file's order.
    pub(super) pairs: Vec<(usize, usize)>,
    /// For each group of the optimizer, the groups of the file whose parameters come into it.
    pub(super) sources: Vec<BTreeSet<usize>>,
    /// For each group of the optimizer, its new options, if there are such.
    pub(super) groups: Vec<Option<Group>>,
    /// Whether all parameters of the optimizer are loaded, and so all else that lasts.
    pub(super) is_full: bool,
    /// The tensors of each pair, the parameter's own among them.
    pub(super) tensors: Vec<Vec<Kept>>,
    /// Whether the file has sums of gradients.
    pub(super) has_sums: bool,
}

/// The state that a group keeps for a parameter, in words.
fn structure(group: &Group, in_16_bits: bool) -> String {
    let slots = slot_names(&*group.rule);
    let slots = match slots.len() {
        0 => "no state".to_owned(),
        _ => slots.join(", "),
    };
    format!("{slots} in {}", group.keeps(&group.rule.slots(), in_16_bits))
}

impl Optimizer {
    /// Compares a file with the optimizer.
    ///
    /// # Errors
    /// Every difference.
    pub(super) fn compare<R: Read + Seek>(
        &self,
        file: &mut Container<R>,
        saved: &Saved,
        options: &LoadOptions,
    ) -> Result<Plan, Vec<String>> {
        let mut wrong = Vec::new();
        let pairs = self.pairs(saved, options, &mut wrong);
        let (sources, groups) = self.groups_of(saved, &pairs, options, &mut wrong);
        let entries: HashMap<String, Entry> =
            file.entries().into_iter().map(|entry| (entry.name.clone(), entry)).collect();
        check_names(&entries, saved, &mut wrong);
        let selected = || pairs.iter().map(|(_, at)| &saved.params[*at].name);
        let has =
            |kind: &str| selected().any(|name| entries.contains_key(&format!("{kind}.{name}")));
        let is_full = pairs.len() == self.model.params.len();
        // Sums of some parameters alone would be of other gradients than those of the rest.
        let (has_params, has_sums) = (has("param"), is_full && saved.added > 0 && has("sum"));
        let mut tensors = Vec::new();
        for (index, at) in &pairs {
            let of = (*index, saved.params[*at].name.as_str());
            let needed = self.needed(of, has_params, has_sums);
            for one in &needed {
                self.check_tensors(*index, one, &entries, &mut wrong);
            }
            tensors.push(needed);
        }
        if wrong.is_empty() && has_params {
            self.check_masters(file, &pairs, saved, &mut wrong);
        }
        if wrong.is_empty() {
            check_blocks(file, &tensors, &mut wrong);
        }
        let plan = Plan { pairs, sources, groups, is_full, tensors, has_sums };
        if wrong.is_empty() { Ok(plan) } else { Err(wrong) }
    }

    /// The parameters that are in both.
    fn pairs(
        &self,
        saved: &Saved,
        options: &LoadOptions,
        wrong: &mut Vec<String>,
    ) -> Vec<(usize, usize)> {
        let model = &self.model;
        let mut pairs = Vec::new();
        let mut from: BTreeMap<usize, &str> = BTreeMap::new();
        for (at, SavedParam { name: in_file, elements, .. }) in saved.params.iter().enumerate() {
            let name = options.name(in_file);
            if !options.wants(name) {
                continue;
            }
            let Some(&index) = model.names.get(name) else {
                if !options.allow_extra {
                    wrong.push(format!(
                        "the file has parameter `{in_file}`, the optimizer has no `{name}`; add it, rename it, or allow more"
                    ));
                }
                continue;
            };
            if let Some(other) = from.insert(index, in_file) {
                wrong
                    .push(format!("`{other}` and `{in_file}` are both to be loaded into `{name}`"));
                continue;
            }
            let len = model.params[index].view.len;
            if *elements != len {
                wrong.push(format!("`{in_file}` has {elements} elements, `{name}` {len}"));
            }
            pairs.push((index, at));
        }
        for (index, param) in model.params.iter().enumerate() {
            let is_missing = options.wants(&param.name) && !from.contains_key(&index);
            if is_missing && !options.allow_missing {
                wrong.push(format!(
                    "the optimizer has parameter `{}`, the file has not; rename one, or allow it to be missing",
                    param.name
                ));
            }
        }
        let known = |name: &str| saved.params.iter().any(|param| param.name == name);
        for (in_file, name) in options.rename.iter().filter(|(in_file, _)| !known(in_file)) {
            wrong.push(format!("`{in_file}`, to be renamed `{name}`, is not in the file"));
        }
        if pairs.is_empty()
            && wrong.is_empty()
            && !(model.params.is_empty() && saved.params.is_empty())
        {
            wrong.push("no parameter is to be loaded; name patterns that match some".to_owned());
        }
        pairs
    }

    /// The groups of the file that come into each group of the optimizer, and the options that it takes from there.
    fn groups_of(
        &self,
        saved: &Saved,
        pairs: &[(usize, usize)],
        options: &LoadOptions,
        wrong: &mut Vec<String>,
    ) -> (Vec<BTreeSet<usize>>, Vec<Option<Group>>) {
        let model = &self.model;
        let mut sources = vec![BTreeSet::new(); model.groups.len()];
        let mut targets: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for (index, at) in pairs {
            let (own, of) = (model.params[*index].group, saved.params[*at].group);
            sources[own].insert(of);
            targets.entry(of).or_default().insert(own);
        }
        let mut groups = vec![None; model.groups.len()];
        for (own, from) in sources.iter_mut().enumerate() {
            // A group without parameters takes the place of the one of its number.
            let is_idle = |at: usize| !targets.contains_key(&at) && saved.groups.len() > at;
            let empty = !model.params.iter().any(|param| param.group == own);
            if empty && is_idle(own) && !saved.params.iter().any(|param| param.group == own) {
                from.insert(own);
            }
            if !options.keep_options && from.len() > 1 {
                wrong.push(format!(
                    "group {own} has parameters of the file's groups {from:?}; group them as the file does, or keep the optimizer's options"
                ));
            }
            for &at in from.iter() {
                let many = targets.get(&at).is_some_and(|all| all.len() > 1);
                if !options.keep_options && many && targets[&at].first() == Some(&own) {
                    let all = &targets[&at];
                    wrong.push(format!(
                        "the file's group {at} has parameters of the groups {all:?}; group them as the file does, or keep the optimizer's options"
                    ));
                }
                let read = self.group_in(&saved.groups[at], own);
                match read {
                    Err(e) => wrong.push(format!("the file's group {at}: {e}")),
                    Ok(group) => {
                        self.check_group(own, (at, &group), options, wrong);
                        if !options.keep_options {
                            groups[own] = Some(group);
                        }
                    }
                }
            }
        }
        (sources, groups)
    }

    /// The options of a group of the file, for group `own`.
    fn group_in(&self, saved: &SavedGroup, own: usize) -> Result<Group, String> {
        let Some(foreign) = &saved.foreign else {
            return config::group(Value::Object(saved.options.clone()));
        };
        // The rule is the caller's: only the caller can make it.
        let rule = &self.model.groups[own].group.rule;
        let (text, name) = (format!("{rule:?}"), saved.options.get("optimizer"));
        if rule::is_of_this_crate(&**rule) || text != *foreign {
            let name = name.and_then(Value::as_str).unwrap_or_default();
            return Err(format!("its rule `{name}` is `{foreign}`, the optimizer's `{text}`"));
        }
        config::with_rule(saved.options.clone(), rule.clone())
    }

    /// Whether a group of the file keeps for each parameter what the optimizer's does.
    fn check_group(
        &self,
        own: usize,
        (at, group): (usize, &Group),
        options: &LoadOptions,
        wrong: &mut Vec<String>,
    ) {
        let params = || self.model.params.iter().filter(|param| param.group == own);
        let in_16_bits = params().any(|param| param.view.format != Format::F32);
        let mine = &self.model.groups[own].group;
        let names = [&group.rule, &mine.rule].map(|rule| rule.name());
        if names[0] != names[1] && !options.keep_options {
            let [theirs, ours] = names;
            wrong.push(format!(
                "group {own}: the file's rule is `{theirs}`, the optimizer's `{ours}`"
            ));
        }
        let [theirs, ours] = [group, mine].map(|group| structure(group, in_16_bits));
        if theirs != ours {
            wrong.push(format!(
                "group {own}: the file's group {at} keeps {theirs}, the optimizer's {ours}"
            ));
        }
    }

    /// The tensors that a parameter needs.
    fn needed(
        &self,
        (index, in_file): (usize, &str),
        has_params: bool,
        has_sums: bool,
    ) -> Vec<Kept> {
        let name = format!("param.{in_file}");
        let param = has_params.then_some(Kept { operand: PARAM, number: 0, name, blocks: None });
        param.into_iter().chain(kept(&self.model, index, in_file, has_sums)).collect()
    }

    /// Whether the file has tensors of the right types and sizes for an operand of a parameter.
    fn check_tensors(
        &self,
        index: usize,
        Kept { operand, number, name, blocks }: &Kept,
        entries: &HashMap<String, Entry>,
        wrong: &mut Vec<String>,
    ) {
        let param = &self.model.params[index];
        let len = param.view.len;
        let dtype = match OPERANDS[*operand].name {
            _ if blocks.is_some() => Dtype::U8,
            "param" => dtype(param.view.format),
            "slot" => dtype(self.model.spec(index).state.get(*number).format()),
            _ => Dtype::F32,
        };
        let all = format!("the parameter {len} elements");
        check_tensor(name, entries, (len, dtype), &all, wrong);
        if let Some((scales, code)) = blocks {
            let count = len.div_ceil(code.block());
            let all = format!("the parameter {count} blocks of {} elements", code.block());
            check_tensor(scales, entries, (count, Dtype::F32), &all, wrong);
        }
    }

    /// Each parameter in 16 bits is its master, rounded.
    fn check_masters<R: Read + Seek>(
        &self,
        file: &mut Container<R>,
        pairs: &[(usize, usize)],
        saved: &Saved,
        wrong: &mut Vec<String>,
    ) {
        for (index, at) in pairs {
            let param = &self.model.params[*index];
            if param.master != Master::Remainder {
                continue; // any parameter and any f32 differ by some 32 bits
            }
            let name = &saved.params[*at].name;
            let (whole, stored) = (format!("master.{name}"), format!("param.{name}"));
            let mut stored_bytes = Vec::new();
            let mut from = 0;
            let read = file.pieces(&whole, |file, bytes| {
                stored_bytes.resize(bytes.len() / 2, 0);
                file.read(&stored, from, &mut stored_bytes)?;
                from += stored_bytes.len() as u64;
                let pairs = bytes.as_chunks::<4>().0.iter().zip(stored_bytes.as_chunks::<2>().0);
                let mut pairs =
                    pairs.map(|(w, s)| (u32::from_le_bytes(*w), u16::from_le_bytes(*s)));
                let found = pairs.find(|(whole, stored)| {
                    let made = u32::from(*stored) << 16;
                    param.master.whole(f32::from_bits(made), f32::from_bits(whole << 16)).to_bits()
                        != *whole
                });
                if let Some((whole, stored)) = found {
                    let [stored, whole] =
                        [u32::from(stored) << 16, whole].map(f32::from_bits);
                    return Err(std::io::Error::other(format!(
                        "it has {stored:e} where `master.{name}` has {whole:e}, which rounds to another"
                    )));
                }
                Ok(())
            });
            if let Err(e) = read {
                wrong.push(format!("`{stored}`: {e}"));
            }
        }
    }
}

/// Whether a file has a tensor of this size and type.
fn check_tensor(
    name: &str,
    entries: &HashMap<String, Entry>,
    (len, expected): (u64, Dtype),
    all: &str,
    wrong: &mut Vec<String>,
) {
    let Some(entry) = entries.get(name) else {
        wrong.push(format!("`{name}` is missing in the file"));
        return;
    };
    let elements: u64 = entry.shape.iter().map(|&n| n as u64).product();
    if elements != len {
        wrong.push(format!("`{name}` has shape {:?} in the file, {all}", entry.shape));
    }
    if entry.dtype != expected {
        wrong.push(format!("`{name}` is {:?} in the file, {expected:?} here", entry.dtype));
    }
}

/// Whether every code stands for a number, and every scale is one that a block can have.
fn check_blocks<R: Read + Seek>(
    file: &mut Container<R>,
    tensors: &[Vec<Kept>],
    wrong: &mut Vec<String>,
) {
    for Kept { name, blocks, .. } in tensors.iter().flatten() {
        let Some((scales, code)) = blocks else { continue };
        let read = blocks::read(file, (name, scales), *code, |_, _| Ok(()));
        wrong.extend(read.err().map(|e| e.to_string()));
    }
}

/// Whether every tensor of a file belongs to one of its parameters.
fn check_names(entries: &HashMap<String, Entry>, saved: &Saved, wrong: &mut Vec<String>) {
    let kinds = saved.groups.iter().map(|group| {
        // Only its own optimizer knows the slots of a rule from outside this crate.
        let parsed = group.foreign.is_none().then(|| Value::Object(group.options.clone()));
        parsed.and_then(|options| config::group(options).ok()).map(|group| GroupKind::of(&group))
    });
    let kinds: Vec<Option<GroupKind>> = kinds.collect();
    let mut known: BTreeSet<String> = BTreeSet::new();
    for param in &saved.params {
        match kinds.get(param.group).and_then(Option::as_ref) {
            Some(kind) => {
                let codes = kind.state_of(param.elements);
                for (i, slot) in kind.rule.slot_names().into_iter().enumerate() {
                    known.extend(Kept::slot(i, (&param.name, slot), codes.get(i)).names());
                }
            }
            None => {
                let kinds =
                    ["state", "code", "scale"].map(|kind| format!("{kind}.{}.", param.name));
                let own = |key: &&String| kinds.iter().any(|kind| key.starts_with(kind));
                known.extend(entries.keys().filter(own).cloned());
            }
        }
        let kept =
            OPERANDS.iter().filter(|row| row.is_ours() && operand(row.name) != operand("slot"));
        let kept = kept.map(|row| tensor_name(row.name, &param.name));
        known.extend(kept.chain([format!("param.{}", param.name)]));
    }
    let mut extra: Vec<&String> = entries.keys().filter(|name| !known.contains(*name)).collect();
    extra.sort();
    wrong.extend(
        extra.into_iter().map(|name| format!("`{name}` belongs to no parameter of the file")),
    );
}
