//! The state that a run begins with: what the trace holds besides gradients.

use wgpu_optim::config::Config;

use crate::trace::{Behind, Tensor, Trace};

/// The steps behind a trace, with all that the groups keep; 0 if the trace holds nothing of the kind.
pub(super) fn behind(trace: &Trace, config: &Config, groups: &[usize]) -> Result<Behind, String> {
    for (tensor, group) in trace.tensors.iter().zip(groups) {
        known(tensor, config, *group)?;
    }
    let Some(behind) = trace.behind else {
        let any = trace.tensors.iter().find_map(|tensor| tensor.kept.keys().next());
        return match any {
            None => Ok(Behind { steps: 0, taken: 0 }),
            Some(key) => Err(format!(
                "`{key}` is there, but the metadata have no `steps`; add how many lie behind it: \
                save_file(tensors, path, metadata={{\"steps\": \"100\"}})"
            )),
        };
    };
    if behind.taken > 0 {
        for (tensor, group) in trace.tensors.iter().zip(groups) {
            complete(tensor, config, *group, behind.taken)?;
        }
    }
    Ok(behind)
}

/// The slot of `state.<name>.<slot>`.
pub(super) fn slot<'a>(key: &'a str, name: &str) -> Option<&'a str> {
    key.strip_prefix("state.")?.strip_prefix(name)?.strip_prefix('.')
}

/// Whether a parameter's group keeps all that the trace has of it.
fn known(tensor: &Tensor, config: &Config, group: usize) -> Result<(), String> {
    let group = &config.groups[group].group;
    let slots: Vec<_> = group.rule.slots().iter().map(|slot| slot.name).collect();
    for key in tensor.kept.keys() {
        let Some(slot) = slot(key, &tensor.name) else {
            if key.starts_with("train.") && group.rule.average().is_none() {
                let rule = group.rule.name();
                return Err(format!(
                    "`{key}` is there, but `{rule}` keeps no average; leave the tensor out"
                ));
            }
            if key.starts_with("ema.") && group.ema.is_none() {
                return Err(format!(
                    "`{key}` is there, but CONFIG asks for no average; add \"ema\" to it or leave the tensor out"
                ));
            }
            continue;
        };
        if !slots.contains(&slot) {
            let rule = group.rule.name();
            let known = match &slots[..] {
                [] => "with these options it keeps no state".to_owned(),
                slots => {
                    let quoted: Vec<_> = slots.iter().map(|slot| format!("`{slot}`")).collect();
                    format!("its slots are {}", quoted.join(", "))
                }
            };
            return Err(format!("`{key}`: `{rule}` has no slot `{slot}`; {known}"));
        }
    }
    Ok(())
}

/// Whether the trace has all that a parameter's group keeps.
fn complete(tensor: &Tensor, config: &Config, group: usize, taken: u64) -> Result<(), String> {
    let group = &config.groups[group].group;
    let name = &tensor.name;
    let slots = group.rule.slots();
    let states = slots.iter().map(|slot| format!("state.{name}.{}", slot.name));
    let average = group.ema.map(|_| format!("ema.{name}"));
    let train = group.rule.average().map(|_| format!("train.{name}"));
    match states.chain(average).chain(train).find(|key| !tensor.kept.contains_key(key)) {
        None => Ok(()),
        Some(key) => Err(format!(
            "`{key}` is missing, but the metadata say that {taken} steps lie behind it; add it, or leave \
            `steps` out of the metadata to begin anew"
        )),
    }
}
