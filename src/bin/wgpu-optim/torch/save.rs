//! The writing of an optimizer's state dict.

use safetensors::Dtype;
use serde_json::{Map, Value as Json};
use wgpu_optim::StateFormat;

use super::classes::{Class, DECOUPLED, INERT, STEP, defaults};
use super::derived::derived;
use super::library::Library;
use super::load::{check_format, slots};
use super::optimizer::{Optimizer, Param};
use super::value::{Tensor, Value};

/// The state dict of an optimizer, as `load_state_dict` takes it. The model's tensors tell the shapes of parameters
/// before their first step.
///
/// Blocks are in the form of the library, or else of the one that has such state.
pub(super) fn save(
    optimizer: &Optimizer,
    model: &[(String, Tensor)],
    library: Option<Library>,
) -> Result<Value, String> {
    let library = Library::chosen(library, optimizer)?;
    let (mut states, mut groups) = (Vec::new(), Vec::new());
    let mut first: Option<&'static Class> = None;
    let mut next = 0;
    for (i, group) in optimizer.groups.iter().enumerate() {
        let place = |e: String| format!("group {i}: {e}");
        let config = &group.config;
        let rule = config.get("optimizer").and_then(Json::as_str);
        let rule = rule.ok_or_else(|| place("`optimizer` is missing".to_owned()))?;
        let class = library.class(rule).map_err(place)?;
        let one = *first.get_or_insert(class);
        if one.rule != class.rule {
            return Err(place(format!(
                "its rule is `{}`, that of group 0 `{}`; an optimizer of PyTorch has one for all groups",
                class.rule, one.rule
            )));
        }
        let params = optimizer.params.iter().filter(|param| param.group == i);
        let format = format(params.clone(), model);
        check_expressible(class, library, config, format).map_err(place)?;
        let mut entries = options(class, config).map_err(place)?;
        let slots: Vec<&str> = slots(config).map_err(place)?.iter().map(|slot| slot.name).collect();
        let (mut ids, mut names) = (Vec::new(), Vec::new());
        for param in params {
            let shown = param.shown(next);
            let state =
                state(class, library, config, &slots, param).and_then(|state| match state {
                    Some(state) => library.state(class, state).map(Some),
                    None if library == Library::Torch => before(class, config, param, model),
                    None => Ok(None),
                });
            if let Some(state) = state.map_err(|e| format!("{shown}: {e}"))? {
                states.push((Value::Int(next as i64), state));
            }
            ids.push(Value::Int(next as i64));
            names.extend(param.name.clone().map(Value::Str));
            next += 1;
        }
        if names.len() == ids.len() {
            entries.insert(0, ("param_names", Value::List(names)));
        }
        entries.push(("params", Value::List(ids)));
        groups.push(library.group(class, Value::dict(entries)).map_err(place)?);
    }
    Ok(Value::dict([("state", Value::Dict(states)), ("param_groups", Value::List(groups))]))
}

/// The one format that all parameters have, if it is of 16 bits: PyTorch keeps their state in it, too.
fn format<'a>(
    params: impl Iterator<Item = &'a Param>,
    model: &[(String, Tensor)],
) -> Option<&'static str> {
    let own = |param: &Param| {
        let named = model.iter().find(|(name, _)| Some(name) == param.name.as_ref());
        named.map(|(_, tensor)| tensor.dtype)
    };
    let mut all: Vec<Option<Dtype>> = params.map(own).collect();
    all.dedup();
    match all[..] {
        [Some(Dtype::BF16)] => Some("bf16"),
        [Some(Dtype::F16)] => Some("f16"),
        _ => None,
    }
}

/// The options of a group as PyTorch has them, all that it has.
fn options(
    class: &Class,
    config: &Map<String, Json>,
) -> Result<Vec<(&'static str, Value)>, String> {
    let mut entries = Vec::new();
    for &key in class.keys {
        let value = match key {
            // As they are by default.
            "foreach" | "fused" => Value::None,
            key if INERT.contains(&key) => Value::Bool(false),
            DECOUPLED => Value::Bool(is_on(config, "decoupled")),
            "maximize" => Value::Bool(is_on(config, "maximize")),
            key => match config.get(key) {
                Some(value) => option(value).map_err(|e| format!("`{key}` is {value}; {e}"))?,
                None => return Err(format!("`{key}` is missing; {} has it", class.name)),
            },
        };
        entries.push((key, value));
    }
    Ok(entries)
}

fn is_on(config: &Map<String, Json>, key: &str) -> bool {
    config.get(key).and_then(Json::as_bool).unwrap_or(false)
}

/// Whether PyTorch's optimizer computes what the options say.
fn check_expressible(
    class: &Class,
    library: Library,
    config: &Map<String, Json>,
    format: Option<&str>,
) -> Result<(), String> {
    let rule = class.described()?;
    let defaults = defaults(&rule);
    let general = |key: &str| rule.general.iter().find(|choice| choice.name == key);
    for (key, value) in config {
        let known = ["optimizer", "lr", "weight_decay", "decoupled", "maximize"];
        if known.contains(&key.as_str()) || class.options().any(|option| option == key) {
            continue;
        }
        // The state itself says its form.
        if key == "block_min_size" || key == "state_format" && is_in_blocks(value) {
            continue;
        }
        // In numbers of its own, torch.optim rounds nothing.
        let was_in_blocks = config.get("state_format").is_some_and(is_in_blocks);
        if key == "stochastic_state" && library == Library::Torch && was_in_blocks {
            continue;
        }
        if key == "state_format" && format.is_some() && value.as_str() == format {
            continue;
        }
        let must = defaults.get(key).or(general(key).map(|choice| &choice.default));
        let Some(must) = must else {
            return Err(format!("unknown key `{key}` for `{}`", class.rule));
        };
        if !is_same(value, must) {
            return Err(format!(
                "`{key}` is {value}, which {} cannot express; only {must} can be written",
                library.path(class)
            ));
        }
    }
    if let Some(missing) = defaults.keys().find(|key| !config.contains_key(*key)) {
        return Err(format!(
            "`{missing}` is missing; every option of `{}` must be there",
            class.rule
        ));
    }
    let decay = config.get("weight_decay").unwrap_or(&Json::Null);
    let is_none = decay.is_null() || decay.as_f64() == Some(0.0);
    if !is_none && !class.keys.contains(&"weight_decay") {
        return Err(format!("`weight_decay` is {decay}, but torch.optim.{} has none", class.name));
    }
    if !is_none && is_on(config, "decoupled") && !class.keys.contains(&DECOUPLED) {
        return Err(format!(
            "`decoupled` is true with a `weight_decay` of {decay}, but torch.optim.{} only has the coupled one",
            class.name
        ));
    }
    Ok(())
}

/// Whether a `state_format` has slots in blocks, and all others in f32.
fn is_in_blocks(format: &Json) -> bool {
    let is_f32 = |name: &Json| name.as_str() == Some(StateFormat::F32.name());
    let is_blocks = |name: &Json| {
        let format = name.as_str().and_then(StateFormat::named);
        format.is_some_and(|format| format.plain().is_none())
    };
    match format {
        Json::Object(slots) => slots.values().all(|name| is_f32(name) || is_blocks(name)),
        all => is_blocks(all),
    }
}

/// Whether two options are the same, whether or not their numbers have a point.
fn is_same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (a, b) => a == b,
    }
}

/// An option as PyTorch has it.
fn option(value: &Json) -> Result<Value, String> {
    let must = "PyTorch takes a number, True or False, or a tuple of such, and no schedule";
    match value {
        Json::Bool(on) => Ok(Value::Bool(*on)),
        Json::Array(all) if all.len() == 2 => {
            Ok(Value::Tuple(all.iter().map(option).collect::<Result<_, _>>()?))
        }
        other => other.as_f64().map(Value::Float).ok_or_else(|| must.to_owned()),
    }
}

/// A parameter's state; `None` before the first step.
fn state(
    class: &Class,
    library: Library,
    config: &Map<String, Json>,
    slots: &[&str],
    param: &Param,
) -> Result<Option<Value>, String> {
    let steps = param.steps.unwrap_or(0);
    if steps == 0 {
        return Ok(None);
    }
    let mut entries = Vec::new();
    let derived = derived(class.rule, config, steps);
    // PyTorch's type for them is that of its numbers by default, which is f64 where everything is.
    let is_whole = param.slots.iter().any(|(_, tensor)| tensor.dtype == Dtype::F64);
    let dtype = if is_whole { Dtype::F64 } else { Dtype::F32 };
    for &key in class.state {
        let number = derived.iter().find(|number| number.key == key);
        let kept = param.slots.iter().find(|(slot, _)| slot == key);
        let blocks = param.blocks.iter().find(|(slot, _)| slot == key);
        let tensor = match (number, kept) {
            _ if key == STEP => Tensor::scalar(steps as f64),
            _ if let Some((_, blocks)) = blocks => {
                entries.push((key, library.blocks(blocks)));
                continue;
            }
            (Some(number), _) => Tensor::filled(dtype, number.value, Vec::new()),
            (None, Some((_, tensor))) => {
                check_format(tensor).map_err(|e| format!("`{key}`: {e}"))?;
                tensor.clone()
            }
            (None, None) if slots.contains(&key) => {
                return Err(format!("`{key}` is missing after {steps} steps"));
            }
            (None, None) => continue,
        };
        entries.push((key, Value::Tensor(tensor)));
    }
    if let Some((slot, _)) = param.slots.iter().find(|(slot, _)| !slots.contains(&slot.as_str())) {
        return Err(format!(
            "`{slot}` is there, which `{}` keeps not with these options",
            class.rule
        ));
    }
    Ok(Some(Value::dict(entries)).filter(|_| !slots.is_empty()))
}

/// The state before the first step, which only Adagrad has.
fn before(
    class: &Class,
    config: &Map<String, Json>,
    param: &Param,
    model: &[(String, Tensor)],
) -> Result<Option<Value>, String> {
    if class.rule != "adagrad" {
        return Ok(None);
    }
    let named = model.iter().find(|(name, _)| Some(name) == param.name.as_ref());
    let Some((_, tensor)) = named else {
        return Err("PyTorch's Adagrad has a `sum` before the first step, whose shape only the model tells; add the \
                    parameter's tensor"
            .to_owned());
    };
    let initial = config.get("initial_accumulator_value").and_then(Json::as_f64).unwrap_or(0.0);
    let sum = Tensor::filled(tensor.dtype, initial, tensor.shape.clone());
    let entries = [(STEP, Tensor::scalar(0.0)), ("sum", sum)];
    Ok(Some(Value::dict(entries.map(|(key, tensor)| (key, Value::Tensor(tensor))))))
}
