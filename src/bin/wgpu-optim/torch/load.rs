//! The reading of an optimizer's state dict.

use std::collections::HashMap;

use safetensors::Dtype;
use serde_json::{Map, Number, Value as Json};
use wgpu_optim::{Slot, config};

use super::bitsandbytes;
use super::blocks::Blocks;
use super::classes::{ADAMW, Class, DECOUPLED, STEP, ambiguous, defaults, is_apart};
use super::derived::derived;
use super::optimizer::{Group, Optimizer, Param};
use super::value::{Tensor, Value};

/// Reads a state dict of the optimizer that is named, or else inferred from its keys.
///
/// SGD keeps no count of its steps: a parameter with a momentum buffer counts as one after its first step. No later
/// step depends on the count, because only the first leaves out the dampening.
pub(super) fn load(dict: &Value, rule: Option<&str>) -> Result<Optimizer, String> {
    let groups = dict.get("param_groups").and_then(Value::items).unwrap_or_default();
    let Some(Value::Dict(states)) = dict.get("state") else {
        return Err("`state` is missing, or no dict".to_owned());
    };
    if groups.is_empty() {
        return Err("`param_groups` is missing, or no list of dicts".to_owned());
    }
    let translated;
    let mut said = rule;
    let (class, groups, states) = if bitsandbytes::is_one(states) {
        translated = bitsandbytes::to_pytorch(groups, states, rule)?;
        // Its Adam has the decay of AdamW, whichever is said.
        said = None;
        (translated.0, &translated.1[..], &translated.2)
    } else {
        (class(rule, groups, states)?, groups, states)
    };
    let mut left: HashMap<i64, &Value> = HashMap::new();
    for (id, state) in states {
        let Value::Int(id) = id else {
            return Err(format!("`state` has the key {}, which is no position", id.kind()));
        };
        left.insert(*id, state);
    }
    let mut optimizer = Optimizer::default();
    let mut seen = std::collections::HashSet::new();
    for (i, group) in groups.iter().enumerate() {
        let place = |e: String| format!("param_groups[{i}]: {e}");
        let config = options(class, group, said).map_err(place)?;
        let slots = slots(&config).map_err(place)?;
        let ids = positions(group).map_err(place)?;
        let mut names = names(group, ids.len()).map_err(place)?.into_iter();
        for id in ids {
            if !seen.insert(id) {
                return Err(place(format!("the position {id} is there twice")));
            }
            let name = names.next();
            let (slots_of, blocks) = (Vec::new(), Vec::new());
            let mut param = Param { name, group: i, steps: None, slots: slots_of, blocks };
            if let Some(state) = left.remove(&id) {
                let place = |e| format!("state[{id}]: {e}");
                let (steps, kept, blocks) = kept(class, &config, &slots, state).map_err(place)?;
                (param.steps, param.slots, param.blocks) = (steps, kept, blocks);
            }
            optimizer.params.push(param);
        }
        optimizer.groups.push(Group { config });
    }
    match left.keys().min() {
        None => Ok(optimizer),
        Some(id) => Err(format!("`state` has {id}, which is in no group's `params`")),
    }
}

/// The class that is named, or else inferred.
fn class(
    rule: Option<&str>,
    groups: &[Value],
    states: &[(Value, Value)],
) -> Result<&'static Class, String> {
    match rule {
        Some(rule) => Class::of(rule),
        None => {
            let groups: Vec<&Value> = groups.iter().collect();
            let states: Vec<&Value> = states.iter().map(|(_, state)| state).collect();
            Class::inferred(&groups, &states)
        }
    }
}

/// The options of a group as CONFIG has them.
fn options(class: &Class, group: &Value, rule: Option<&str>) -> Result<Map<String, Json>, String> {
    let entries = group.entries()?;
    let given: HashMap<&str, &Value> = entries.iter().copied().collect();
    if let Some((key, _)) = entries.iter().find(|(key, _)| !class.knows(key)) {
        return Err(format!(
            "unknown key `{key}` for {}; known are {}",
            class.name,
            class.keys.join(", ")
        ));
    }
    if let Some(key) = class.needs().find(|key| !given.contains_key(key)) {
        return Err(format!("`{key}` is missing, which {} has", class.name));
    }
    let mut config = defaults(&class.described()?);
    for (&key, value) in given.iter().filter(|(key, _)| !is_apart(key) && **key != DECOUPLED) {
        let value = json(value).map_err(|e| format!("`{key}`: {e}"))?;
        config.insert(key.to_owned(), value);
    }
    let decoupled = decoupled(class, given.get(DECOUPLED).copied(), rule)?;
    let named = if class.rule == "adam" && decoupled { ADAMW } else { class.rule };
    config.insert("optimizer".to_owned(), named.into());
    config.insert("decoupled".to_owned(), decoupled.into());
    for (key, default) in [("maximize", Json::from(false)), ("weight_decay", Json::from(0.0))] {
        config.entry(key).or_insert(default);
    }
    Ok(config)
}

/// Whether weight decay stays out of the rule.
fn decoupled(class: &Class, key: Option<&Value>, rule: Option<&str>) -> Result<bool, String> {
    let is_adam = class.rule == "adam";
    let said = rule.map(|rule| rule.eq_ignore_ascii_case(ADAMW)).filter(|_| is_adam);
    match (key, said) {
        (Some(Value::Bool(false)), Some(true)) => {
            Err(format!("`{DECOUPLED}` is False, but --rule says `{ADAMW}`; say `adam`"))
        }
        (Some(Value::Bool(on)), _) => Ok(*on),
        (Some(other), _) => {
            Err(format!("`{DECOUPLED}` is {}; it must be True or False", other.kind()))
        }
        (None, Some(said)) => Ok(said),
        // Older releases of PyTorch write the same keys for both.
        (None, None) if is_adam => Err(ambiguous(&format!("`adam` or `{ADAMW}`"))),
        (None, None) => Ok(false),
    }
}

/// The slots that a rule with these options has.
pub(super) fn slots(config: &Map<String, Json>) -> Result<Vec<Slot>, String> {
    let config = config::config(&Json::Object(config.clone()).to_string())?;
    let rules = config.groups.iter().map(|part| &part.group.rule);
    Ok(rules.flat_map(|rule| rule.slots()).collect())
}

/// The positions of a group's parameters.
fn positions(group: &Value) -> Result<Vec<i64>, String> {
    let must = "`params` must be a list of positions";
    let all = group.get("params").and_then(Value::items).ok_or(must)?;
    let position = |value: &Value| match value {
        Value::Int(id) => Ok(*id),
        other => Err(format!("{must}; one is {}", other.kind())),
    };
    all.iter().map(position).collect()
}

/// The names of a group's parameters; none if the optimizer was made without.
fn names(group: &Value, count: usize) -> Result<Vec<String>, String> {
    let Some(names) = group.get("param_names") else { return Ok(Vec::new()) };
    let names = names.items().unwrap_or_default();
    let text = |value: &Value| match value {
        Value::Str(name) => Some(name.clone()),
        _ => None,
    };
    let names: Option<Vec<String>> = names.iter().map(text).collect();
    names.filter(|names| names.len() == count).ok_or_else(|| {
        format!("`param_names` must be a list of {count} strings, one for each of `params`")
    })
}

/// The steps of a parameter, its slots, and those that are in blocks.
type Kept = (Option<u64>, Vec<(String, Tensor)>, Vec<(String, Blocks)>);

/// Reads a parameter's state.
fn kept(
    class: &Class,
    config: &Map<String, Json>,
    slots: &[Slot],
    state: &Value,
) -> Result<Kept, String> {
    let entries = state.entries()?;
    // A look at it from Python makes an empty state.
    if entries.is_empty() {
        return Ok((None, Vec::new(), Vec::new()));
    }
    if let Some((key, _)) = entries.iter().find(|(key, _)| !class.state.contains(key)) {
        return Err(format!(
            "unknown key `{key}` for {}; known are {}",
            class.name,
            class.state.join(", ")
        ));
    }
    let steps = steps(class, state)?;
    if steps == Some(0) {
        return Ok((None, Vec::new(), Vec::new()));
    }
    let derived = derived(class.rule, config, steps.unwrap_or(0));
    for number in &derived {
        let key = number.key;
        let found = state.get(key).ok_or_else(|| format!("`{key}` is missing"))?.number();
        let found = found.map_err(|e| format!("`{key}`: {e}"))?;
        if found.is_nan() || (found - number.value).abs() > number.allowed {
            return Err(format!(
                "`{key}` is {found}, but {} steps with the options of the group make it {}; here it always follows \
                 from those, so options that changed during training cannot be read",
                steps.unwrap_or(0),
                number.value
            ));
        }
    }
    let is_derived = |key: &str| key == STEP || derived.iter().any(|number| number.key == key);
    let is_more = |(key, value): &&(&str, &Value)| {
        !is_derived(key)
            && !slots.iter().any(|slot| slot.name == *key)
            && !matches!(value, Value::None)
    };
    if let Some((key, _)) = entries.iter().find(is_more) {
        return Err(format!(
            "`{key}` is there, but {} keeps none with the options of its group; delete it, or correct the options",
            class.name
        ));
    }
    let (mut kept, mut blocks) = (Vec::new(), Vec::new());
    for Slot { name: slot, blocks: sign, .. } in slots {
        match state.get(slot) {
            Some(Value::Tensor(tensor)) => {
                check_format(tensor).map_err(|e| format!("`{slot}`: {e}"))?;
                kept.push(((*slot).to_owned(), tensor.clone()));
            }
            Some(Value::Blocks(own)) if *sign == Some(own.sign()) => {
                blocks.push(((*slot).to_owned(), own.clone()));
            }
            // In the other table, as the squares of bitsandbytes' RMSprop.
            Some(Value::Blocks(own)) => kept.push(((*slot).to_owned(), own.decoded())),
            // SGD before its first step.
            Some(Value::None) | None if class.rule == "sgd" => {
                return Ok((None, Vec::new(), Vec::new()));
            }
            Some(other) => return Err(format!("`{slot}` is {}, not a tensor", other.kind())),
            None => {
                return Err(format!(
                    "`{slot}` is missing, which {} has with the options of its group",
                    class.name
                ));
            }
        }
    }
    let is_uncounted = class.rule == "sgd" && !class.state.contains(&STEP);
    let steps = if is_uncounted && !kept.is_empty() { Some(1) } else { steps };
    Ok((steps, kept, blocks))
}

/// Whether a slot's numbers can be PyTorch's.
pub(super) fn check_format(tensor: &Tensor) -> Result<(), String> {
    match tensor.dtype {
        Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => Ok(()),
        other => Err(format!("its type is {other:?}; it must be F64, F32, F16 or BF16")),
    }
}

/// The largest count of steps.
const MOST_STEPS: f64 = u32::MAX as f64;

/// The steps of a parameter, if its class counts them.
fn steps(class: &Class, state: &Value) -> Result<Option<u64>, String> {
    if !class.state.contains(&STEP) {
        return Ok(None);
    }
    let found = state.get(STEP).ok_or_else(|| format!("`{STEP}` is missing"))?;
    let steps = found.number().map_err(|e| format!("`{STEP}`: {e}"))?;
    if steps.fract() != 0.0 || !(0.0..=MOST_STEPS).contains(&steps) {
        return Err(format!(
            "`{STEP}` is {steps}; it must be a whole number from 0 to {MOST_STEPS}"
        ));
    }
    Ok(Some(steps as u64))
}

/// The JSON of an option.
fn json(value: &Value) -> Result<Json, String> {
    match value {
        Value::Bool(on) => Ok((*on).into()),
        Value::List(all) | Value::Tuple(all) => all.iter().map(json).collect(),
        other => {
            let number = other.number()?;
            let json = Number::from_f64(number).map(Json::Number);
            json.ok_or_else(|| format!("it is {number}, which no option can be"))
        }
    }
}
