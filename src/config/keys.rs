//! The keys that every optimizer has, besides its rule's own options.

use serde_json::Value;

use super::words::{choice, kind, kind_of, one_of, same_kind};
use crate::control::Accumulation;
use crate::num::{Master, StateFormat};
use crate::rule::Json;

/// The most gradients of a step: more are a mistake.
const MOST_ADDED: u64 = 1 << 24;

/// The words for what a step makes of several gradients.
pub(super) const ACCUMULATIONS: [(&str, Accumulation); 2] =
    [("mean", Accumulation::Mean), ("sum", Accumulation::Sum)];

/// Names of what 16-bit parameters are rounded from.
pub(super) const MASTERS: [(&str, Master); 3] =
    [("none", Master::None), ("remainder", Master::Remainder), ("f32", Master::F32)];

/// A key that does not depend on the rule.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The default as JSON. The learning rate's is the rule's.
    default: &'static str,
    /// Whether it counts for all groups together.
    pub(super) is_global: bool,
}

const fn own(name: &'static str, default: &'static str) -> Key {
    Key { name, default, is_global: false }
}

const fn global(name: &'static str, default: &'static str) -> Key {
    Key { name, default, is_global: true }
}

/// Every such key.
pub(super) const KEYS: [Key; 17] = [
    own("lr", "null"),
    own("weight_decay", "0.0"),
    own("decoupled", "false"),
    own("cautious_weight_decay", "false"),
    own("maximize", "false"),
    own("master", "\"none\""),
    own("state_format", "\"f32\""),
    own("block_min_size", "0"),
    own("stochastic_state", "null"),
    own("stochastic_rounding", "null"),
    own("ema", "null"),
    global("clip_norm", "null"),
    global("clip_value", "null"),
    global("loss_scale", "1.0"),
    global("skip_nonfinite", "false"),
    global("accumulate", "1"),
    global("accumulation", "\"mean\""),
];

impl Key {
    /// The default for a rule, or `None` if the rule has no such key.
    pub(super) fn default(&self, json: &Json) -> Option<Value> {
        match self.name {
            "lr" => Some(json.lr.into()),
            _ => serde_json::from_str(self.default).ok(),
        }
    }

    /// The values that the key takes, in words.
    pub(super) fn range(&self) -> String {
        match self.name {
            "lr" => "a number, 0 or more, a list of such, one a step, or a schedule".to_owned(),
            "weight_decay" => "a finite f32 number, 0 or more, or a schedule".to_owned(),
            "clip_norm" => "a finite number, 0 or more, or null".to_owned(),
            "clip_value" => "a finite f32 number above 0, or null".to_owned(),
            "ema" => "a number at least 0 and below 1, or null".to_owned(),
            "accumulate" => format!("a whole number from 1 to {MOST_ADDED}"),
            "accumulation" => choice(&ACCUMULATIONS.map(|(name, _)| name)),
            "master" => choice(&MASTERS.map(|(name, _)| name)),
            "state_format" => {
                format!("{}, or an object with one of these a slot", state_formats())
            }
            "block_min_size" => "a whole number of elements".to_owned(),
            "stochastic_rounding" | "stochastic_state" => {
                "a whole number, the seed, or null".to_owned()
            }
            "loss_scale" => {
                "a number, \"dynamic\", or an object of `init`, `growth`, `backoff`, `interval`"
                    .to_owned()
            }
            _ => "true or false".to_owned(),
        }
    }
}

/// The names of the formats of state, in words.
fn state_formats() -> String {
    choice(&StateFormat::ALL.map(StateFormat::name))
}

/// Whether a value is the name of a format of state.
fn is_state_format(value: &Value) -> bool {
    value.as_str().and_then(StateFormat::named).is_some()
}

/// The part of a value that is wrong, in words: where it is, and the value there.
pub(super) fn wrong_part(key: &str, value: &Value) -> (String, String) {
    match (key, value) {
        ("state_format", Value::Object(of)) => {
            let wrong = of.iter().find(|(_, value)| !is_state_format(value));
            wrong.map_or_else(
                || (key.to_owned(), kind(value)),
                |(slot, value)| (format!("{key}.{slot}"), kind(value)),
            )
        }
        ("block_min_size" | "stochastic_state", Value::Number(number)) => {
            (key.to_owned(), number.to_string())
        }
        _ => (key.to_owned(), kind(value)),
    }
}

/// The values that `key` takes, if `value` is not of their kind; `default` is the key's.
pub(super) fn wrong(key: &str, default: &Value, value: &Value) -> Option<String> {
    match key {
        "lr" => {
            let listed = |all: &Vec<Value>| !all.is_empty() && all.iter().all(Value::is_number);
            let listed = value.as_array().is_some_and(listed);
            // A schedule's own text says what it must be.
            let right = value.is_number() || listed || value.is_object();
            let must = "a number, a list of numbers, one a step, or an object with `schedule`";
            (!right).then(|| must.to_owned())
        }
        "accumulate" => {
            let right = value.as_u64().is_some_and(|k| (1..=MOST_ADDED).contains(&k));
            let must = || format!("a whole number from 1 to {MOST_ADDED}, the gradients of a step");
            (!right).then(must)
        }
        "accumulation" => one_of(value, &ACCUMULATIONS.map(|(name, _)| name)),
        "master" => one_of(value, &MASTERS.map(|(name, _)| name)),
        "state_format" => {
            let right = match value {
                Value::Object(of) => of.values().all(is_state_format),
                value => is_state_format(value),
            };
            let must = || match value {
                Value::Object(_) => state_formats(),
                _ => format!("{}, or an object with one of these a slot", state_formats()),
            };
            (!right).then(must)
        }
        "block_min_size" => {
            (!value.is_u64()).then(|| "a whole number of elements, 0 or more".to_owned())
        }
        "stochastic_rounding" | "stochastic_state" => {
            let right = value.is_u64() || value.is_null();
            (!right).then(|| "a whole number, the seed, or null".to_owned())
        }
        // Its own text says what it must be.
        "loss_scale" => None,
        _ => (!same_kind(default, value)).then(|| kind_of(default)),
    }
}

/// PyTorch's keys that change no number where they are off, and why they cannot be on.
pub(super) const INERT: [(&str, &str); 4] = [
    ("foreach", "parameters that lie together share their launches already"),
    ("fused", "every step here is fused already"),
    ("capturable", "wgpu captures no graphs"),
    ("differentiable", "no gradient passes through a step"),
];
