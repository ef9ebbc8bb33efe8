//! Descriptions of all rules, for a person who writes a CONFIG.

use serde::Serialize;
use serde_json::{Map, Value};

use super::keys::KEYS;
use crate::num::Format;
use crate::rule::{self, Convention, Entry, Preset};

/// A rule in words and numbers.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Described {
    /// The rule's name in CONFIG.
    pub name: &'static str,
    /// The rule's type in Rust.
    pub rust: String,
    /// Further names, which stand for the rule with other defaults.
    pub presets: Vec<Named>,
    /// The formula, a line each.
    pub formula: &'static str,
    /// The paper.
    pub paper: &'static str,
    /// The words for `convention`.
    pub conventions: Vec<Named>,
    /// The rule's own options.
    pub options: Vec<Choice>,
    /// The options that every rule has.
    pub general: Vec<Choice>,
    /// The state that is kept, with each combination of switches.
    pub kept: Vec<Kept>,
}

/// A name, and the options that have another default under it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Named {
    /// The name.
    pub name: &'static str,
    /// The options with their defaults.
    pub defaults: Map<String, Value>,
}

/// An option of a rule.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Choice {
    /// The key.
    pub name: &'static str,
    /// The default.
    pub default: Value,
    /// The values that it takes, in words.
    pub range: String,
}

/// The state that a rule keeps under some switches.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Kept {
    /// The switches that are on.
    pub switches: Vec<&'static str>,
    /// The slots.
    pub slots: Vec<&'static str>,
    /// Bytes of state for each parameter, in f32.
    pub state_bytes: u64,
    /// Bytes that a step reads and writes for each parameter, in f32.
    pub step_bytes: u64,
}

/// Every rule, in the registry's order.
///
/// # Errors
/// If a rule's defaults are no JSON.
pub fn rules() -> Result<Vec<Described>, String> {
    rule::ALL.iter().map(described).collect()
}

fn described(entry: &'static Entry) -> Result<Described, String> {
    let json = &entry.json;
    let defaults = (json.defaults)().map_err(|e| e.to_string())?;
    let own = json.ranges.iter().map(|&(name, range)| {
        let default = defaults.get(name).cloned().unwrap_or_default();
        Choice { name, default, range: range.to_owned() }
    });
    let general = KEYS.iter().filter_map(|key| {
        Some(Choice { name: key.name, default: key.default(json)?, range: key.range() })
    });
    let differing = |name, options: Result<Value, serde_json::Error>| {
        let Value::Object(mut all) = options.map_err(|e| e.to_string())? else {
            return Err(format!("the options of {name} are no object"));
        };
        all.retain(|key, value| defaults.get(key) != Some(value));
        Ok(Named { name, defaults: all })
    };
    let convention = |of: &Convention| differing(of.name, (of.options)());
    let conventions: Vec<Named> =
        json.conventions.iter().map(convention).collect::<Result<_, _>>()?;
    let preset = |of: &Preset| {
        let mut named = differing(of.name, (of.options)())?;
        named.defaults.insert("weight_decay".to_owned(), of.weight_decay.into());
        named.defaults.insert("decoupled".to_owned(), of.decoupled.into());
        Ok(named)
    };
    let presets: Vec<Named> = json.presets.iter().map(preset).collect::<Result<_, String>>()?;
    Ok(Described {
        name: entry.name,
        rust: type_name(entry),
        presets,
        formula: entry.formula,
        paper: entry.paper,
        conventions,
        options: own.collect(),
        general: general.collect(),
        kept: kept(entry),
    })
}

/// The name of a rule's type: `Sgd` from "Sgd { momentum: 0.0, … }".
fn type_name(entry: &Entry) -> String {
    let first = (entry.variants)().into_iter().next();
    let options = first.map(|variant| format!("{:?}", variant.rule)).unwrap_or_default();
    options.split([' ', '{']).next().unwrap_or_default().to_owned()
}

/// The state with each combination of switches that the registry has.
fn kept(entry: &Entry) -> Vec<Kept> {
    let mut all: Vec<Kept> = Vec::new();
    for variant in (entry.variants)() {
        let switches: Vec<_> = variant
            .rule
            .switches()
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| name)
            .collect();
        if all.iter().any(|kept| kept.switches == switches) {
            continue;
        }
        let slots: Vec<_> = variant.rule.slots().iter().map(|slot| slot.name).collect();
        let (bytes, count) = (Format::F32.bytes(), slots.len() as u64);
        // Parameter, gradient and slots are read, parameter and slots written.
        let step_bytes = bytes * (2 + count) + bytes * (1 + count);
        all.push(Kept { switches, slots, state_bytes: bytes * count, step_bytes });
    }
    all
}

#[cfg(test)]
mod tests {
    use crate::rule;

    /// Ranges are written for every option, in the order of the fields, and for nothing else.
    #[test]
    fn every_option_has_a_range() {
        for entry in rule::ALL {
            let defaults = (entry.json.defaults)().unwrap_or_else(|e| panic!("{e}"));
            let mut fields: Vec<&String> =
                defaults.as_object().into_iter().flat_map(|o| o.keys()).collect();
            let mut ranges: Vec<&str> = entry.json.ranges.iter().map(|(name, _)| *name).collect();
            fields.sort();
            ranges.sort_unstable();
            assert_eq!(fields, ranges, "{}", entry.name);
        }
    }
}
