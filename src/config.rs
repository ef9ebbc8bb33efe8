//! Groups from JSON: the CONFIG of `wgpu-optim replay`.

use serde_json::{Map, Value};

use crate::control::{Accumulation, Control, LossScale};
use crate::group::Group;
use crate::num::{Format, Master};
use crate::rule::{self, Json};

/// Every key with its default.
fn known(json: &Json) -> Result<Map<String, Value>, serde_json::Error> {
    let mut known = Map::new();
    known.insert("lr".into(), json.lr.into());
    if let Value::Object(own) = (json.defaults)()? {
        known.extend(own);
    }
    known.insert("weight_decay".into(), 0.0.into());
    if json.decoupled {
        known.insert("decoupled".into(), false.into());
    }
    known.insert("maximize".into(), false.into());
    known.insert("clip_norm".into(), Value::Null);
    known.insert("clip_value".into(), Value::Null);
    known.insert("loss_scale".into(), 1.0.into());
    known.insert("skip_nonfinite".into(), false.into());
    known.insert("master".into(), "none".into());
    known.insert("state_format".into(), "f32".into());
    known.insert("stochastic_rounding".into(), Value::Null);
    known.insert("accumulate".into(), 1.into());
    known.insert("accumulation".into(), "mean".into());
    known.insert("ema".into(), Value::Null);
    Ok(known)
}

/// The optimizer that a CONFIG object describes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The one group of all parameters.
    pub group: Group,
    /// The treatment of gradients.
    pub control: Control,
    /// Recorded gradients that make up a step's; 1.
    pub accumulate: u32,
}

/// Reads a CONFIG object. A missing key takes the crate's default.
///
/// # Errors
/// Text that is no JSON object, an unknown optimizer or key (with a list of those there are), a value
/// of the wrong kind or out of its range.
pub fn config(json: &str) -> Result<Config, String> {
    let value: Value = serde_json::from_str(json).map_err(|e| format!("not JSON: {e}"))?;
    let Value::Object(mut given) = value else {
        return Err(format!("a config is one JSON object, this is {}", kind(&value)));
    };
    let names = list(rule::ALL.iter().map(|entry| entry.name));
    let name = match given.remove("optimizer") {
        Some(Value::String(name)) => name,
        Some(other) => {
            return Err(format!("`optimizer` is {}; it must be one of {names}", kind(&other)));
        }
        None => return Err(format!("`optimizer` is missing; it must be one of {names}")),
    };
    let Some(entry) = rule::ALL.iter().find(|entry| entry.name == name) else {
        return Err(format!("unknown optimizer `{name}`; known are {names}"));
    };
    let mut values = known(&entry.json).map_err(|e| e.to_string())?;
    for (key, value) in given {
        let Some(default) = values.get_mut(&key) else {
            let keys = list(values.keys().map(String::as_str));
            return Err(format!("unknown key `{key}` for `{name}`; known are `optimizer`, {keys}"));
        };
        let must = match &*key {
            "clip_norm" | "clip_value" | "ema" if !value.is_number() && !value.is_null() => {
                Some("a number or null".to_owned())
            }
            "clip_norm" | "clip_value" | "ema" => None,
            "accumulate" if !value.as_u64().is_some_and(|k| (1..=MOST_ADDED).contains(&k)) => {
                Some(format!("a whole number from 1 to {MOST_ADDED}, the gradients of a step"))
            }
            "accumulate" => None,
            "accumulation" => one_of(&value, &ACCUMULATIONS.map(|(name, _)| name)),
            "master" => one_of(&value, &MASTERS.map(|(name, _)| name)),
            "state_format" => one_of(&value, &Format::ALL.map(Format::name)),
            "stochastic_rounding" if !value.is_u64() && !value.is_null() => {
                Some("a whole number, the seed, or null".to_owned())
            }
            "stochastic_rounding" => None,
            // Its own text says what it must be.
            "loss_scale" => None,
            _ => (!same_kind(default, &value)).then(|| kind(default)),
        };
        if let Some(must) = must {
            let is = kind(&value);
            return Err(format!("`{name}`: `{key}` is {is}, it must be {must}"));
        }
        *default = value;
    }
    assemble(entry, values)
}

fn assemble(entry: &rule::Entry, mut values: Map<String, Value>) -> Result<Config, String> {
    let mut limit = |key: &str| values.remove(key).and_then(|v| v.as_f64());
    let (clip_norm, clip_value, ema) = (limit("clip_norm"), limit("clip_value"), limit("ema"));
    let loss_scale = loss_scale(values.remove("loss_scale").unwrap_or_default())?;
    let mut number = |key: &str| values.remove(key).and_then(|v| v.as_f64()).unwrap_or(0.0);
    let (lr, weight_decay) = (number("lr"), number("weight_decay"));
    let mut switch = |key: &str| values.remove(key).and_then(|v| v.as_bool()).unwrap_or(false);
    let (decoupled, maximize) = (switch("decoupled"), switch("maximize"));
    let skip_nonfinite = switch("skip_nonfinite");
    let stochastic_rounding = values.remove("stochastic_rounding").and_then(|v| v.as_u64());
    let accumulate = values.remove("accumulate").and_then(|v| v.as_u64()).unwrap_or(1) as u32;
    let mut word = |key: &str| values.remove(key).unwrap_or_default();
    let (master, format) = (word("master"), word("state_format"));
    let accumulation = word("accumulation");
    let accumulation = ACCUMULATIONS.into_iter().find(|(name, _)| accumulation == *name);
    let master = MASTERS.into_iter().find(|(name, _)| master == *name);
    let format = Format::ALL.into_iter().find(|known| format == known.name());
    let rule = (entry.json.parse)(Value::Object(values)).map_err(|e| e.to_string())?;
    let group = Group {
        weight_decay,
        decoupled,
        maximize,
        stochastic_rounding,
        ema,
        master: master.map_or(Master::None, |(_, master)| master),
        state_format: format.unwrap_or_default(),
        ..Group::with(lr, rule)
    };
    group.check().map_err(|e| e.to_string())?;
    let control = Control {
        clip_norm,
        clip_value,
        loss_scale,
        skip_nonfinite,
        accumulation: accumulation.map_or_else(Accumulation::default, |(_, how)| how),
        ..Control::default()
    };
    control.check().map_err(|e| e.to_string())?;
    Ok(Config { group, control, accumulate })
}

/// The words for what a step makes of several gradients.
const ACCUMULATIONS: [(&str, Accumulation); 2] =
    [("mean", Accumulation::Mean), ("sum", Accumulation::Sum)];

/// The most gradients of a step: more are a mistake.
const MOST_ADDED: u64 = 1 << 24;

/// Names of what 16-bit parameters are rounded from.
const MASTERS: [(&str, Master); 3] =
    [("none", Master::None), ("remainder", Master::Remainder), ("f32", Master::F32)];

/// The words that `value` may be, if it is none of them.
fn one_of(value: &Value, words: &[&str]) -> Option<String> {
    let known = words.iter().any(|word| value == word);
    let quoted = || words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>();
    (!known).then(|| quoted().join(" or "))
}

/// `"dynamic"`, a number, or an object of what a dynamic scale is made of.
fn loss_scale(value: Value) -> Result<LossScale, String> {
    let must =
        "it must be a number, \"dynamic\", or an object of `init`, `growth`, `backoff`, `interval`";
    let wrong = |value: &Value| format!("`loss_scale` is {}; {must}", kind(value));
    let LossScale::Dynamic { mut init, mut growth, mut backoff, mut interval } =
        LossScale::dynamic()
    else {
        return Err(must.to_owned());
    };
    match &value {
        Value::Number(number) => {
            return number.as_f64().map(LossScale::Fixed).ok_or_else(|| wrong(&value));
        }
        Value::String(name) if name == "dynamic" => {}
        Value::Object(given) => {
            for (key, value) in given {
                let whole = value.as_u64().and_then(|n| u32::try_from(n).ok());
                match (&**key, value.as_f64(), whole) {
                    ("init", Some(x), _) => init = x,
                    ("growth", Some(x), _) => growth = x,
                    ("backoff", Some(x), _) => backoff = x,
                    ("interval", _, Some(n)) => interval = n,
                    _ => return Err(format!("`loss_scale`: `{key}` is {}; {must}", kind(value))),
                }
            }
        }
        _ => return Err(wrong(&value)),
    }
    Ok(LossScale::Dynamic { init, growth, backoff, interval })
}

/// Whether `value` can stand where `default` does.
fn same_kind(default: &Value, value: &Value) -> bool {
    match (default, value) {
        (Value::Number(_), Value::Number(_)) | (Value::Bool(_), Value::Bool(_)) => true,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_kind(a, b))
        }
        _ => false,
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(s) => format!("the string \"{s}\""),
        Value::Array(a) if a.iter().all(Value::is_number) => {
            format!("a list of {} numbers", a.len())
        }
        Value::Array(a) => format!("a list of {} values", a.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
