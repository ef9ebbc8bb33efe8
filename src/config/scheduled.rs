//! The options that may be schedules.

use serde_json::{Map, Value};

use super::schedule::schedule;
use crate::schedule::{Schedule, Target};

/// The keys of one number that a schedule may set.
const NUMBERS: [(&str, Target); 3] =
    [("lr", Target::Lr), ("weight_decay", Target::WeightDecay), ("momentum", Target::Momentum)];

/// The key of a list of numbers, each of which a schedule may set.
const BETAS: &str = "betas";

/// A value of the kind that `key` has without schedules, if `value` has some.
pub(super) fn placeholder(key: &str, value: &Value) -> Option<Value> {
    let number = Value::from(0.0);
    match value {
        Value::Object(_) if NUMBERS.iter().any(|(name, _)| *name == key) => Some(number),
        Value::Array(all) if key == BETAS && all.iter().any(Value::is_object) => {
            let each = |beta: &Value| if beta.is_object() { number.clone() } else { beta.clone() };
            Some(all.iter().map(each).collect())
        }
        _ => None,
    }
}

/// Takes the schedules out of all values, and leaves the numbers of the first step.
pub(super) fn take(values: &mut Map<String, Value>) -> Result<Vec<(Target, Schedule)>, String> {
    let mut all = Vec::new();
    let mut one = |path: &str, target: Target, value: &mut Value| -> Result<(), String> {
        if value.is_object() {
            let schedule = schedule(path, value)?;
            *value = schedule.at(1).into();
            all.push((target, schedule));
        }
        Ok(())
    };
    for (name, target) in NUMBERS {
        if let Some(value) = values.get_mut(name) {
            one(name, target, value)?;
        }
    }
    if let Some(Value::Array(betas)) = values.get_mut(BETAS) {
        for (i, beta) in betas.iter_mut().enumerate() {
            one(&format!("{BETAS}[{i}]"), Target::Beta(i), beta)?;
        }
    }
    Ok(all)
}
