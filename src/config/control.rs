//! The options that count for all groups together.

use serde_json::{Map, Value};

use super::keys::ACCUMULATIONS;
use super::words::kind;
use crate::control::{Accumulation, Control, LossScale};

/// The treatment of gradients, and how many make up a step's.
pub(super) fn control(values: &Map<String, Value>) -> Result<(Control, u32), String> {
    let number = |key: &str| values.get(key).and_then(Value::as_f64);
    let accumulation = ACCUMULATIONS
        .into_iter()
        .find(|(name, _)| values.get("accumulation").is_some_and(|word| word == name));
    let control = Control {
        clip_norm: number("clip_norm"),
        clip_value: number("clip_value"),
        loss_scale: loss_scale(values.get("loss_scale").unwrap_or(&Value::Null))?,
        skip_nonfinite: values.get("skip_nonfinite").and_then(Value::as_bool).unwrap_or(false),
        accumulation: accumulation.map_or_else(Accumulation::default, |(_, how)| how),
        ..Control::default()
    };
    control.check().map_err(|e| e.to_string())?;
    let accumulate = values.get("accumulate").and_then(Value::as_u64).unwrap_or(1);
    Ok((control, accumulate as u32))
}

/// `"dynamic"`, a number, or an object of what a dynamic scale is made of.
fn loss_scale(value: &Value) -> Result<LossScale, String> {
    let must =
        "it must be a number, \"dynamic\", or an object of `init`, `growth`, `backoff`, `interval`";
    let wrong = |value: &Value| format!("`loss_scale` is {}; {must}", kind(value));
    let LossScale::Dynamic { mut init, mut growth, mut backoff, mut interval } =
        LossScale::dynamic()
    else {
        return Err(must.to_owned());
    };
    match value {
        Value::Number(number) => {
            return number.as_f64().map(LossScale::Fixed).ok_or_else(|| wrong(value));
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
        _ => return Err(wrong(value)),
    }
    Ok(LossScale::Dynamic { init, growth, backoff, interval })
}
