//! This module has the host's part of a checkpoint: plain data, as the file's metadata hold them in JSON.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::container::Container;
use crate::control::Control;
use crate::rule::Past;

/// The key in the metadata of the file.
pub const KEY: &str = "wgpu_optim";

/// The version of the format that this crate writes. It reads this one and all before it.
pub const VERSION: u32 = 1;

/// The most steps that a checkpoint may count: the GPU counts in 32 bits.
const MOST_STEPS: u64 = u32::MAX as u64;

/// The most finite steps since the loss scale last changed: far from where 32 bits end.
const MOST_GOOD: u32 = i32::MAX as u32;

/// Everything of a checkpoint that is no tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// The version of the format: [`VERSION`].
    pub version: u32,
    /// The steps recorded in all.
    pub recorded: u64,
    /// The groups.
    pub groups: Vec<SavedGroup>,
    /// The parameters, in the order in which their gradients enter a norm.
    pub params: Vec<SavedParam>,
    /// The treatment of gradients.
    pub control: Control,
    /// The numbers that lasted on the GPU, if steps depended on gradients.
    pub controller: Option<SavedController>,
    /// The number of gradients added up since the last step.
    pub added: u32,
    /// The caller's own notes.
    #[serde(default)]
    pub notes: BTreeMap<String, String>,
}

/// A group of parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedGroup {
    /// Every option under its key, as in the CONFIG of `wgpu-optim replay`.
    pub options: Map<String, Value>,
    /// The options of a rule from outside this crate, as its `Debug` text has them.
    pub foreign: Option<String>,
    /// The steps recorded for the group.
    pub recorded: u64,
    /// The learning rate of the last step.
    pub rate: Option<f64>,
    /// The numbers that the rule remembers of all rates.
    pub past: Option<Past>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedParam {
    /// The name.
    pub name: String,
    /// The index of the group.
    pub group: usize,
    /// The number of elements.
    pub elements: u64,
    /// The element of its buffer at which the parameter was added, from which random bits count.
    pub origin: u64,
    /// The steps recorded for the parameter.
    pub steps: u64,
    /// The steps among them that were not taken.
    pub skipped: u64,
    /// Whether the parameter was frozen.
    pub frozen: bool,
}

/// The numbers that lasted on the GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedController {
    /// Whether the GPU counted steps, because one could have been skipped.
    pub counts: bool,
    /// The loss scale.
    pub scale: f64,
    /// The finite steps since the loss scale last changed.
    pub growth_tracker: u32,
    /// Whether a dynamic loss scale was to begin anew after the next step.
    pub restarts: bool,
    /// The steps that were not taken.
    pub skipped: u32,
    /// The steps that looked at gradients.
    pub looked: u32,
    /// Whether more steps in a row were skipped than scalars were kept for.
    pub overrun: bool,
    /// The last norm, as text, because JSON has no Inf.
    pub norm: String,
    /// The last clipping coefficient, as text.
    pub coefficient: String,
    /// The first parameter whose gradient had an Inf or NaN in the last step.
    pub found_inf: Option<String>,
}

impl Saved {
    /// The JSON text.
    ///
    /// # Errors
    /// Everything for which [`Saved::from_json`] would refuse the text.
    pub fn to_json(&self) -> Result<String, String> {
        let text = serde_json::to_string(self).map_err(|e| e.to_string())?;
        match Self::from_json(&text) {
            Ok(_) => Ok(text),
            Err(all) => Err(format!("nothing could load the file: {}", all.join("; "))),
        }
    }

    /// The host's part of an open file, checked by itself.
    ///
    /// # Errors
    /// A file that is no checkpoint, and those of [`Saved::from_json`].
    pub fn of<R: Read + Seek>(file: &Container<R>) -> Result<Self, Vec<String>> {
        let text = file.metadata(KEY);
        let none =
            || vec![format!("its metadata have no `{KEY}`; it is no checkpoint of wgpu-optim")];
        Self::from_json(text.ok_or_else(none)?)
    }

    /// Reads the JSON text, and checks it by itself.
    ///
    /// # Errors
    /// Text of another version or structure, or numbers out of their range: all that is wrong.
    pub fn from_json(text: &str) -> Result<Self, Vec<String>> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| vec![format!("its metadata are no JSON: {e}")])?;
        let version = value.get("version").unwrap_or(&Value::Null);
        if version.as_u64() != Some(VERSION.into()) {
            return Err(vec![format!(
                "its format has version {version}, this crate reads up to {VERSION}; take a newer wgpu-optim"
            )]);
        }
        let saved: Self =
            serde_json::from_value(value).map_err(|e| vec![format!("its metadata: {e}")])?;
        let wrong = saved.wrong();
        if wrong.is_empty() { Ok(saved) } else { Err(wrong) }
    }

    /// Everything that is wrong by itself.
    fn wrong(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut check = |is: bool, what: &dyn Fn() -> String| {
            if !is {
                all.push(what());
            }
        };
        let few = |steps: u64| steps <= MOST_STEPS;
        check(few(self.recorded), &|| {
            format!("{} steps are recorded, at most 2³² − 1", self.recorded)
        });
        check(self.added < 1 << 24, &|| {
            format!("{} gradients are added up, below 2²⁴", self.added)
        });
        if let Err(e) = self.control.check() {
            check(false, &|| format!("its control: {e}"));
        }
        for (i, group) in self.groups.iter().enumerate() {
            // More than in all, if parameters with more steps were loaded into the group alone.
            let has = group.recorded;
            check(few(has), &|| format!("group {i} has {has} steps, at most 2³² − 1"));
            let numbers = group.rate.into_iter().chain(group.past.into_iter().flatten());
            let finite = numbers.into_iter().all(f64::is_finite);
            check(finite, &|| format!("group {i} remembers a rate that is no finite number"));
        }
        let mut names = std::collections::HashSet::new();
        for param in &self.params {
            let SavedParam { name, group, steps, skipped, .. } = param;
            check(names.insert(name), &|| format!("`{name}` is there twice"));
            check(skipped <= steps, &|| format!("`{name}` skipped {skipped} of {steps} steps"));
            match self.groups.get(*group) {
                None => check(false, &|| {
                    format!("`{name}` is in group {group} of {}", self.groups.len())
                }),
                Some(of) => {
                    let has = of.recorded;
                    check(*steps <= has, &|| {
                        format!("`{name}` has {steps} steps, its group {has}")
                    });
                }
            }
        }
        if let Some(controller) = &self.controller {
            let SavedController { scale, skipped, norm, coefficient, .. } = controller;
            let is = (*scale as f32).is_normal() && *scale > 0.0;
            check(is, &|| format!("its loss scale is {scale}, in f32 above 0 and finite"));
            let is = u64::from(*skipped) <= self.recorded;
            check(is, &|| format!("{skipped} steps were skipped of {}", self.recorded));
            let tracker = controller.growth_tracker;
            check(tracker <= MOST_GOOD, &|| {
                format!("{tracker} steps were finite in a row, below 2³¹")
            });
            let skipped = self.params.iter().find(|param| param.skipped > 0 && !controller.counts);
            if let Some(SavedParam { name, .. }) = skipped {
                check(false, &|| {
                    format!("`{name}` has skipped steps, but its controller counts none")
                });
            }
            for text in [norm, coefficient] {
                check(text.parse::<f32>().is_ok(), &|| format!("`{text}` is no number"));
            }
        } else {
            let skipped = self.params.iter().find(|param| param.skipped > 0);
            if let Some(SavedParam { name, .. }) = skipped {
                check(false, &|| {
                    format!("`{name}` has skipped steps, but nothing decided on them")
                });
            }
        }
        all
    }
}
