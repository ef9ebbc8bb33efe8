//! Groups from JSON: the CONFIG of `wgpu-optim replay`.

mod control;
mod describe;
mod keys;
mod options;
mod pattern;
mod schedule;
mod scheduled;
mod words;
mod write;

use serde_json::Value;

use crate::control::Control;
use crate::group::Group;
use crate::schedule::Target;

pub use describe::{Choice, Described, Kept, Named, rules};
use keys::KEYS;
use options::{Given, Origin};
pub(crate) use pattern::matches;
use words::{kind, some};
pub(crate) use write::with_rule;
pub use write::{group, options};

/// The optimizer that a CONFIG object describes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The groups, in the order of CONFIG; the default for all others is the first, if there is one.
    pub groups: Vec<Part>,
    /// The treatment of gradients.
    pub control: Control,
    /// Recorded gradients that make up a step's; 1.
    pub accumulate: u32,
}

/// A group of a [`Config`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Part {
    /// The options, at the first step's learning rate.
    pub group: Group,
    /// The learning rate of each step, if it is not one for all steps.
    pub rates: Option<Vec<f64>>,
    /// The patterns over the names of the group's parameters: `*` is any characters, `?` is one.
    pub params: Vec<String>,
    /// The place in CONFIG, for errors; empty for a config that is one group.
    place: String,
}

/// Reads a CONFIG object. A missing key takes the crate's default.
///
/// # Errors
/// Text that is no JSON object, an unknown optimizer, convention or key (with a list of those there are), a
/// value of the wrong kind or out of its range, an option of all groups inside a group.
pub fn config(json: &str) -> Result<Config, String> {
    let value: Value = serde_json::from_str(json).map_err(|e| format!("not JSON: {e}"))?;
    let Value::Object(mut given) = value else {
        return Err(format!("a config is one JSON object, this is {}", kind(&value)));
    };
    let named = Origin::of(given.remove("optimizer"))?;
    let (params, groups) = (given.remove("params"), given.remove("groups"));
    let top = Given::read(named, given, false)?;
    let (control, accumulate) = control::control(&top.values()?)?;
    let mut parts = Vec::new();
    let patterns = match (top_patterns(params)?, &groups) {
        (None, None) => Some((vec!["*".to_owned()], "")),
        (patterns, _) => patterns.map(|patterns| (patterns, "`params`")),
    };
    if let Some((params, place)) = patterns {
        let (group, rates) = top.group()?;
        parts.push(Part { group, rates, params, place: place.to_owned() });
    }
    match groups {
        None => {}
        Some(Value::Array(all)) if !all.is_empty() => {
            for (i, value) in all.into_iter().enumerate() {
                let place = format!("`groups[{i}]`");
                let part = part(value, &top, &place).map_err(|e| format!("{place}: {e}"))?;
                parts.push(part);
            }
        }
        Some(other) => {
            let must = "it must be a list of objects, as [{\"params\": [\"*.bias\"], \"weight_decay\": 0}]";
            return Err(format!("`groups` is {}; {must}", kind(&other)));
        }
    }
    Ok(Config { groups: parts, control, accumulate })
}

/// A group that changes some options of `top`.
fn part(value: Value, top: &Given, place: &str) -> Result<Part, String> {
    let Value::Object(mut given) = value else {
        return Err(format!("it is {}; it must be an object with `params`", kind(&value)));
    };
    let params = group_patterns(given.remove("params"))?;
    if let Some(key) = KEYS.iter().find(|key| key.is_global && given.contains_key(key.name)) {
        let name = key.name;
        return Err(format!(
            "`{name}` counts for all groups together; give it outside of `groups`"
        ));
    }
    let named = match given.remove("optimizer") {
        None => top.named(),
        some => Origin::of(some)?,
    };
    let given = Given::read(named, given, true)?.inheriting(top)?;
    let (group, rates) = given.group()?;
    Ok(Part { group, rates, params, place: place.to_owned() })
}

/// The patterns of the top level's `params`; `None` if there are none, or PyTorch's positions.
fn top_patterns(params: Option<Value>) -> Result<Option<Vec<String>>, String> {
    let must = "a list of patterns over names, as [\"*.weight\"], or PyTorch's positions";
    match params {
        None => Ok(None),
        Some(Value::Array(all)) if all.iter().all(Value::is_u64) => Ok(None),
        Some(value) => match strings(&value) {
            Some(patterns) => Ok(Some(patterns)),
            None => Err(format!("`params` is {}; it must be {must}", kind(&value))),
        },
    }
}

fn group_patterns(params: Option<Value>) -> Result<Vec<String>, String> {
    let must = "a list of patterns over names, as [\"*.weight\"]";
    match params {
        None => Err(format!("`params` is missing; it must be {must}")),
        Some(value) => match strings(&value) {
            Some(patterns) => Ok(patterns),
            None => Err(format!("`params` is {}; it must be {must}", kind(&value))),
        },
    }
}

/// The strings of a list that has some and nothing else.
fn strings(value: &Value) -> Option<Vec<String>> {
    let all = value.as_array().filter(|all| !all.is_empty())?;
    all.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

impl Config {
    /// The group of each name: the last with a pattern that matches it.
    ///
    /// # Errors
    /// Names that no pattern matches, or a pattern that matches no name, by name.
    pub fn assign(&self, names: &[&str]) -> Result<Vec<usize>, String> {
        for part in &self.groups {
            let idle =
                |pattern: &&String| !names.iter().any(|name| pattern::matches(pattern, name));
            if let Some(pattern) = part.params.iter().find(idle).filter(|_| !part.place.is_empty())
            {
                return Err(format!(
                    "{}: the pattern `{pattern}` matches no parameter; there are {}",
                    part.place,
                    some(names)
                ));
            }
        }
        let group = |name: &&str| {
            let matches = |part: &Part| part.params.iter().any(|p| pattern::matches(p, name));
            self.groups.iter().rposition(matches)
        };
        let unmatched: Vec<&str> = names.iter().filter(|n| group(n).is_none()).copied().collect();
        if !unmatched.is_empty() {
            return Err(format!(
                "no pattern matches {}; add \"params\": [\"*\"] outside of `groups`, whose options are then the default",
                some(&unmatched)
            ));
        }
        Ok(names.iter().filter_map(group).collect())
    }

    /// Whether each list of learning rates is long enough for so many steps.
    ///
    /// # Errors
    /// The first that is not, with both numbers.
    pub fn check_steps(&self, steps: u64) -> Result<(), String> {
        for part in &self.groups {
            let has = part.rates.as_ref().map(|rates| rates.len() as u64);
            if let Some(has) = has.filter(|has| *has < steps) {
                let place = part.path();
                let place = if place.is_empty() { String::new() } else { format!("`{place}`: ") };
                return Err(format!(
                    "{place}`lr` is a list of {has} for {steps} steps; give one value a step"
                ));
            }
        }
        Ok(())
    }
}

/// An option that changes from step to step: its key, and its number at a step counted from 1.
pub type Course<'a> = (String, Box<dyn Fn(u64) -> f64 + 'a>);

impl Config {
    /// A config of these groups, each with its names of parameters.
    pub fn new(groups: Vec<Part>, control: Control, accumulate: u32) -> Self {
        Self { groups, control, accumulate }
    }
}

impl Part {
    /// A group of the parameters with these names.
    pub fn new(group: Group, rates: Option<Vec<f64>>, params: Vec<String>) -> Self {
        Self { group, rates, params, place: String::new() }
    }

    /// The learning rate of a step, counted from 0 at the first that there was, if CONFIG has a list of them.
    pub fn rate(&self, step: u64) -> Option<f64> {
        let rates = self.rates.as_ref()?;
        rates.get(usize::try_from(step).ok()?).copied()
    }

    /// The learning rate, and the other options that change from step to step.
    pub fn courses(&self) -> Vec<Course<'_>> {
        let lr = |t: u64| self.rate(t - 1).unwrap_or(self.group.lr);
        let mut all: Vec<Course<'_>> = vec![("lr".to_owned(), Box::new(lr))];
        for (target, schedule) in &self.group.schedules {
            let at = Box::new(|t| schedule.at(t));
            match target {
                Target::Lr => all[0].1 = at,
                Target::WeightDecay => all.push(("weight_decay".to_owned(), at)),
                Target::Momentum => all.push(("momentum".to_owned(), at)),
                Target::Beta(i) => all.push((format!("betas[{i}]"), at)),
            }
        }
        all
    }

    /// The place in CONFIG, as `groups[0]`; empty for the options outside of `groups`.
    pub fn path(&self) -> &str {
        let place = self.place.trim_matches('`');
        if place.starts_with("groups") { place } else { "" }
    }
}
