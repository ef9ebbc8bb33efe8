//! A whole checkpoint: the state dicts of a model and of its optimizer, wherever a file has them.

use std::collections::{HashMap, HashSet};

use super::library::Library;
use super::load::load;
use super::optimizer::{Optimizer, Param};
use super::save::save;
use super::value::{Tensor, Value};

/// The keys of a file that may hold the model, and the optimizer. The first is the one that is written.
const MODEL: [&str; 3] = ["model", "state_dict", "model_state_dict"];
const OPTIMIZER: [&str; 2] = ["optimizer", "optimizer_state_dict"];

/// The names in an error, at most.
const SHOWN: usize = 12;

/// A model and its optimizer.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    /// The entries of the model's state dict, in its order; empty if there is no model.
    pub(crate) model: Vec<(String, Tensor)>,
    pub(crate) optimizer: Option<Optimizer>,
    /// The keys of the file that are neither.
    pub(crate) left_out: Vec<String>,
}

/// All that a file may leave open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hints<'a> {
    /// The optimizer's rule.
    pub(crate) rule: Option<&'a str>,
    /// The names of the optimizer's parameters, in the order of its groups. Names of the file's own must be equal.
    pub(crate) names: Option<&'a [String]>,
    /// Whether the model's tensors are in the order in which the model has its parameters.
    pub(crate) is_ordered: bool,
}

/// Finds model and optimizer in a value of `torch.save`: a dict of both, or one of them alone.
pub(crate) fn from_torch(value: &Value, hints: Hints<'_>) -> Result<Checkpoint, String> {
    let is_optimizer =
        |value: &Value| value.get("param_groups").is_some() && value.get("state").is_some();
    let is_model = |value: &Value| match value {
        Value::Dict(all) => {
            !all.is_empty() && all.iter().all(|(_, value)| matches!(value, Value::Tensor(_)))
        }
        _ => false,
    };
    let (mut model, mut optimizer, mut left_out) = (None, None, Vec::new());
    if is_optimizer(value) {
        optimizer = Some(value);
    } else if is_model(value) {
        model = Some(value);
    } else {
        for (key, part) in value.entries()? {
            let is_either = |keys: &[&str], one: Option<&Value>| {
                keys.contains(&key) && one.is_none() && matches!(part, Value::Dict(_))
            };
            if is_either(&MODEL, model) {
                model = Some(part);
            } else if is_either(&OPTIMIZER, optimizer) {
                optimizer = Some(part);
            } else {
                left_out.push(key.to_owned());
            }
        }
    }
    if model.is_none() && optimizer.is_none() {
        let keys = if left_out.is_empty() { "nothing".to_owned() } else { shown(&left_out) };
        return Err(format!(
            "it holds neither a model nor an optimizer, but {keys}; save them as torch.save({{\"model\": \
             model.state_dict(), \"optimizer\": optimizer.state_dict()}}, path)"
        ));
    }
    let model = match model {
        None => Vec::new(),
        Some(model) => tensors(model).map_err(|e| format!("the model: {e}"))?,
    };
    let optimizer = match optimizer {
        None => None,
        Some(dict) => {
            let optimizer = load(dict, hints.rule).and_then(|loaded| named(loaded, &model, hints));
            Some(optimizer.map_err(|e| format!("the optimizer: {e}"))?)
        }
    };
    Ok(Checkpoint { model, optimizer, left_out })
}

/// The value for `torch.save`, of an optimizer of a library; if none is said, the one that has such state.
pub(crate) fn to_torch(checkpoint: &Checkpoint, library: Option<Library>) -> Result<Value, String> {
    let Checkpoint { model, optimizer, .. } = checkpoint;
    let tensors = model.iter().map(|(name, tensor)| (name, Value::Tensor(tensor.clone())));
    let model_dict = (!model.is_empty()).then(|| (MODEL[0], Value::dict(tensors)));
    let optimizer = match optimizer {
        None => None,
        Some(optimizer) => {
            let dict =
                save(optimizer, model, library).map_err(|e| format!("the optimizer: {e}"))?;
            Some((OPTIMIZER[0], dict))
        }
    };
    Ok(Value::dict(model_dict.into_iter().chain(optimizer)))
}

/// The tensors of a model's state dict.
fn tensors(model: &Value) -> Result<Vec<(String, Tensor)>, String> {
    let tensor = |(name, value): (&str, &Value)| match value {
        Value::Tensor(tensor) => Ok((name.to_owned(), tensor.clone())),
        other => Err(format!("`{name}` is {}, not a tensor", other.kind())),
    };
    model.entries()?.into_iter().map(tensor).collect()
}

/// Names the parameters, and checks their state against the model's shapes.
fn named(
    mut optimizer: Optimizer,
    model: &[(String, Tensor)],
    hints: Hints<'_>,
) -> Result<Optimizer, String> {
    let params = &mut optimizer.params;
    if let Some(names) = hints.names {
        if names.len() != params.len() {
            let (given, has) = (names.len(), params.len());
            return Err(format!("--names has {given} names, but there are {has} parameters"));
        }
        for (position, (param, name)) in params.iter_mut().zip(names).enumerate() {
            if let Some(own) = param.name.as_ref().filter(|own| *own != name) {
                return Err(format!(
                    "--names has `{name}` at position {position}, but the file's own `param_names` has `{own}` there; \
                     leave out --names"
                ));
            }
            param.name = Some(name.clone());
        }
    } else if params.iter().any(|param| param.name.is_none()) && !model.is_empty() {
        let fits = |(param, (_, tensor)): (&Param, &(String, Tensor))| {
            param.shapes().all(|(_, shape)| shape == tensor.shape)
        };
        // The order of groups is that of the model only if there is one.
        let is_order = hints.is_ordered
            && optimizer.groups.len() == 1
            && params.len() == model.len()
            && params.iter().zip(model).all(fits);
        if !is_order {
            return Err(format!(
                "which tensor of the model belongs to which of its {} parameters in {} groups is not certain, as the \
                 file has no `param_names` and the model {} tensors; give the names in the order of the groups as \
                 --names a,b,c, or make the optimizer of model.named_parameters()",
                params.len(),
                optimizer.groups.len(),
                model.len()
            ));
        }
        for (param, (name, _)) in params.iter_mut().zip(model) {
            param.name = Some(name.clone());
        }
    }
    let shapes: HashMap<&str, &[usize]> =
        model.iter().map(|(name, tensor)| (name.as_str(), &tensor.shape[..])).collect();
    let mut seen = HashSet::new();
    for param in &optimizer.params {
        let Some(name) = &param.name else { continue };
        if !seen.insert(name) {
            return Err(format!("two parameters are called `{name}`"));
        }
        let shape = shapes.get(name.as_str());
        if shape.is_none() && !model.is_empty() {
            let there: Vec<String> = model.iter().map(|(name, _)| name.clone()).collect();
            return Err(format!("the model has no `{name}`, but {}", shown(&there)));
        }
        for (slot, own) in param.shapes() {
            if let Some(shape) = shape.filter(|shape| **shape != own) {
                return Err(format!(
                    "`{slot}` of `{name}` has shape {:?}, the parameter {shape:?}; they must be equal",
                    own
                ));
            }
        }
    }
    Ok(optimizer)
}

/// All names, or the first of very many.
fn shown(names: &[String]) -> String {
    let all: Vec<_> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more =
        if names.len() > SHOWN { format!(", … ({} in all)", names.len()) } else { String::new() };
    all.join(", ") + &more
}
