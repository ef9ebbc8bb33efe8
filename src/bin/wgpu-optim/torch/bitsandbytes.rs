//! The state dicts of bitsandbytes, in the keys of PyTorch's and back.
//!
//! bitsandbytes calls every optimizer's slots `state1` and `state2`, and every group's options `betas` and `eps`, so
//! that little tells its optimizers apart. Weight decay stays out of its Adam, as out of its AdamW.

use safetensors::Dtype;
use wgpu_optim::StateFormat;

use super::blocks::{Blocks, check_table, code};
use super::classes::{ADAMW, Class, DECOUPLED, STEP};
use super::value::{Tensor, Value};

/// The key under which newer releases have all but the step.
const WRAPPED: &str = "__bnb_optimizer_quant_state__";

/// The slots, with their scales and their tables.
const SLOTS: [[&str; 3]; 2] = [["state1", "absmax1", "qmap1"], ["state2", "absmax2", "qmap2"]];

/// The slots of Adam and AdamW, which alone have two.
const ADAM: [&str; 2] = ["exp_avg", "exp_avg_sq"];

/// The rules with one slot.
const SINGLE: &str = "`lion`, `sgd`, `rmsprop` or `adagrad`";

static LION: Class = Class {
    rule: "lion",
    name: "Lion",
    keys: &["lr", "betas", "weight_decay", "maximize", DECOUPLED],
    state: &[STEP, "exp_avg"],
};

/// SGD, whose steps are counted, as PyTorch does not.
static SGD: Class = Class {
    rule: "sgd",
    name: "SGD",
    keys: &["lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"],
    state: &[STEP, "momentum_buffer"],
};

/// The class of a rule that bitsandbytes has.
pub(super) fn class(rule: &str) -> Result<&'static Class, String> {
    match rule.to_lowercase().as_str() {
        "lion" => Ok(&LION),
        "sgd" => Ok(&SGD),
        "adam" | ADAMW | "rmsprop" | "adagrad" => Class::of(rule),
        _ => Err(format!(
            "no 8-bit optimizer of bitsandbytes for the rule `{rule}` is known here; known are `{ADAMW}`, {SINGLE}"
        )),
    }
}

/// Whether some states are those of bitsandbytes.
pub(super) fn is_one(states: &[(Value, Value)]) -> bool {
    states.iter().any(|(_, state)| state.get(WRAPPED).or(state.get(SLOTS[0][0])).is_some())
}

/// The class, groups and states in PyTorch's keys.
pub(super) type Translated = (&'static Class, Vec<Value>, Vec<(Value, Value)>);

/// Translates a state dict's parts.
pub(super) fn to_pytorch(
    groups: &[Value],
    states: &[(Value, Value)],
    rule: Option<&str>,
) -> Result<Translated, String> {
    let mut flat = Vec::new();
    for (id, state) in states {
        let place = |e: String| format!("state[{}]: {e}", id.kind());
        flat.push((id, entries(state).map_err(place)?));
    }
    let two = SLOTS[1][0];
    let is_double = flat.iter().any(|(_, state)| state.iter().any(|(key, _)| *key == two));
    let class = match (rule, is_double) {
        (None, true) => class(ADAMW)?,
        (None, false) => {
            return Err(format!(
                "a checkpoint of bitsandbytes does not say its optimizer, and this one may be {SINGLE}; say which \
                 with --rule"
            ));
        }
        (Some(rule), _) => class(rule)?,
    };
    if is_double != (class.rule == "adam") {
        let count = if is_double { "two slots" } else { "one slot" };
        return Err(format!(
            "its states have {count}, which {} of bitsandbytes has not",
            class.name
        ));
    }
    let group = |(i, group)| to_group(class, group).map_err(|e| format!("param_groups[{i}]: {e}"));
    let groups = groups.iter().enumerate().map(group).collect::<Result<_, _>>()?;
    let mut translated = Vec::new();
    for (id, state) in flat {
        let state = to_state(class, &state).map_err(|e| format!("state[{}]: {e}", id.kind()))?;
        translated.push((id.clone(), state));
    }
    Ok((class, groups, translated))
}

/// The entries of a state, wrapped or not.
fn entries(state: &Value) -> Result<Vec<(&str, &Value)>, String> {
    let mut all = Vec::new();
    for (key, value) in state.entries()? {
        if key == WRAPPED {
            all.extend(value.entries()?);
        } else {
            all.push((key, value));
        }
    }
    Ok(all)
}

fn to_group(class: &Class, group: &Value) -> Result<Value, String> {
    let mut all = Vec::new();
    for (key, value) in group.entries()? {
        let is_zero = || value.number().is_ok_and(|x| x == 0.0);
        let beta = |i: usize| match value.items() {
            Some(betas @ [_, _]) => Ok(betas[i].clone()),
            _ => Err(format!("`betas` is {}; only two numbers are read", value.kind())),
        };
        match (class.rule, key) {
            ("adam" | "lion", "betas") => {
                all.push(("betas", Value::Tuple(vec![beta(0)?, beta(1)?])));
            }
            ("sgd", "betas") => all.push(("momentum", beta(0)?)),
            ("rmsprop", "betas") => all.push(("alpha", beta(0)?)),
            ("adagrad", "betas") | ("lion" | "sgd", "eps") => {}
            ("adam", "alpha") if is_zero() => {}
            ("adam", "t_alpha" | "t_beta3") if matches!(value, Value::None) => {}
            (_, "alpha" | "t_alpha" | "t_beta3") => {
                return Err(format!("`{key}` is {}: AdEMAMix is not read", value.kind()));
            }
            _ => all.push((key, value.clone())),
        }
    }
    let zero = || Value::Float(0.0);
    all.extend(match class.rule {
        "adam" => vec![("amsgrad", Value::Bool(false)), (DECOUPLED, Value::Bool(true))],
        "lion" => vec![(DECOUPLED, Value::Bool(true))],
        "sgd" => vec![("dampening", zero()), ("nesterov", Value::Bool(false))],
        "rmsprop" => vec![("momentum", zero()), ("centered", Value::Bool(false))],
        _ => vec![("lr_decay", zero()), ("initial_accumulator_value", zero())],
    });
    Ok(Value::dict(all))
}

/// The names of a class's slots, in the order of `state1` and `state2`.
fn slots(class: &Class) -> &'static [&'static str] {
    match class.rule {
        "adam" => &ADAM,
        "lion" => &ADAM[..1],
        "sgd" => &["momentum_buffer"],
        "rmsprop" => &["square_avg"],
        _ => &["sum"],
    }
}

fn to_state(class: &Class, entries: &[(&str, &Value)]) -> Result<Value, String> {
    let find = |key: &str| entries.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
    let known = || SLOTS.iter().flatten().chain([&STEP]);
    if let Some((key, _)) = entries.iter().find(|(key, _)| !known().any(|known| known == key)) {
        return Err(match *key {
            "unorm_vec" => {
                "`unorm_vec` is there: LAMB, LARS and `max_unorm` are not read".to_owned()
            }
            "max1" | "max2" | "new_max1" | "new_max2" | "gnorm_vec" => format!(
                "`{key}` is there, so that a tensor has one scale; only state in blocks is read (`block_wise=True`)"
            ),
            key => format!("unknown key `{key}` for bitsandbytes"),
        });
    }
    let mut all: Vec<(&str, Value)> =
        find(STEP).map(|step| (STEP, step.clone())).into_iter().collect();
    for (&slot, [key, scale, table]) in slots(class).iter().zip(SLOTS) {
        let tensor = |key: &str| match find(key) {
            Some(Value::Tensor(tensor)) => Ok(tensor),
            Some(other) => Err(format!("`{key}` is {}, not a tensor", other.kind())),
            None => Err(format!("`{key}` is missing")),
        };
        let numbers = match find(key) {
            Some(Value::None) | None if entries.is_empty() => continue,
            _ => tensor(key)?,
        };
        let value = match numbers.dtype {
            Dtype::U8 => {
                let code = code(StateFormat::Block8, key == SLOTS[0][0])?;
                check_table(tensor(table)?, code).map_err(|e| format!("`{table}`: {e}"))?;
                let blocks = Blocks::new(numbers.clone(), tensor(scale)?.clone(), code);
                Value::Blocks(blocks.map_err(|e| format!("`{key}`: {e}"))?)
            }
            _ => Value::Tensor(numbers.clone()),
        };
        all.push((slot, value));
    }
    Ok(Value::dict(all))
}

/// A group as bitsandbytes has it, of one as PyTorch has it.
pub(super) fn of_group(class: &Class, group: &Value) -> Result<Value, String> {
    let get = |key: &str| group.get(key).cloned().unwrap_or(Value::None);
    let is_on = |key: &str| matches!(group.get(key), Some(Value::Bool(true)));
    let is_zero = |key: &str| group.get(key).is_none_or(|x| x.number().is_ok_and(|x| x == 0.0));
    for key in ["maximize", "amsgrad", "nesterov"] {
        if is_on(key) {
            return Err(format!("`{key}` is on, which bitsandbytes does not have"));
        }
    }
    let is_coupled = !is_on(DECOUPLED) && !is_zero("weight_decay");
    let betas = match class.rule {
        "adam" | "lion" if is_coupled => {
            let name = class.name;
            return Err(format!("bitsandbytes' {name} has only the decoupled `weight_decay`"));
        }
        "adam" | "lion" => get("betas"),
        "sgd" if is_zero("dampening") => Value::Tuple(vec![get("momentum"), Value::Float(0.0)]),
        "sgd" => return Err("`dampening` is not 0, which bitsandbytes does not have".to_owned()),
        _ => {
            return Err(format!(
                "bitsandbytes keeps the squares of {} in the table with signs, in which ours are not",
                class.name
            ));
        }
    };
    let eps = if class.rule == "adam" { get("eps") } else { Value::Float(0.0) };
    let names = group.get("param_names").map(|names| ("param_names", names.clone()));
    let mut all: Vec<(&str, Value)> = names.into_iter().collect();
    all.extend([("lr", get("lr")), ("betas", betas), ("eps", eps)]);
    all.push(("weight_decay", get("weight_decay")));
    if class.rule == "adam" {
        let zero = Value::Float(0.0);
        all.extend([("alpha", zero), ("t_alpha", Value::None), ("t_beta3", Value::None)]);
    }
    all.push(("params", get("params")));
    Ok(Value::dict(all))
}

/// A state as bitsandbytes has it, of one as PyTorch has it but for blocks.
pub(super) fn of_state(class: &Class, state: &Value) -> Result<Value, String> {
    let step = state.get(STEP).ok_or_else(|| format!("`{STEP}` is missing"))?.number()?;
    let mut all = Vec::new();
    for (&slot, [key, scale, table]) in slots(class).iter().zip(SLOTS) {
        match state.get(slot) {
            Some(Value::Blocks(blocks)) => {
                if blocks.code != code(StateFormat::Block8, key == SLOTS[0][0])? {
                    return Err(format!(
                        "`{slot}` is not in the codes that bitsandbytes has for it"
                    ));
                }
                let numbers = Tensor::of_f32(blocks.code.numbers());
                all.push((key, Value::Tensor(blocks.codes.clone())));
                all.push((table, Value::Tensor(numbers)));
                all.push((scale, Value::Tensor(blocks.scales.clone())));
            }
            Some(Value::Tensor(tensor)) if tensor.dtype == Dtype::F32 => {
                all.push((key, Value::Tensor(tensor.clone())));
            }
            _ => return Err(format!("`{slot}` is missing, or neither in blocks nor F32")),
        }
    }
    Ok(Value::dict([(STEP, Value::Int(step as i64)), (WRAPPED, Value::dict(all))]))
}
