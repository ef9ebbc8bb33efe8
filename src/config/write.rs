//! Groups to JSON and back: one group of a CONFIG, with every option.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::keys::{MASTERS, wrong};
use super::options::{Given, Origin, state_formats};
use super::words::kind;
use crate::group::Group;
use crate::num::{Master, StateFormat, StateFormats};
use crate::rule::{self, Rule};
use crate::schedule::{Schedule, Target};

/// Every option of a group, as CONFIG has them. A rule from outside this crate is there by its name, without options
/// of its own.
///
/// # Errors
/// If an option is no JSON.
pub fn options(group: &Group) -> Result<Map<String, Value>, String> {
    let rule = &*group.rule;
    let own = rule::ALL.iter().find_map(|entry| (entry.json.options)(rule));
    let mut all = match own.transpose().map_err(|e| e.to_string())? {
        Some(Value::Object(own)) => own,
        _ => Map::new(),
    };
    let Group { lr, weight_decay, decoupled, cautious_weight_decay, maximize, .. } = *group;
    let Group { master, stochastic_rounding, ema, block_min_size, stochastic_state, .. } = *group;
    let word = MASTERS.into_iter().find(|(_, known)| *known == master);
    let word = word.map_or("none", |(word, _)| word);
    debug_assert!(master == Master::None || word != "none", "every master has its word");
    let general: [(&str, Value); 12] = [
        ("optimizer", rule.name().into()),
        ("lr", lr.into()),
        ("weight_decay", weight_decay.into()),
        ("decoupled", decoupled.into()),
        ("cautious_weight_decay", cautious_weight_decay.into()),
        ("maximize", maximize.into()),
        ("state_format", state_format(&group.state_format)),
        ("block_min_size", block_min_size.into()),
        ("stochastic_state", stochastic_state.into()),
        ("master", word.into()),
        ("stochastic_rounding", stochastic_rounding.into()),
        ("ema", ema.into()),
    ];
    all.extend(general.map(|(key, value)| (key.to_owned(), value)));
    for (target, schedule) in &group.schedules {
        put(&mut all, *target, schedule)?;
    }
    Ok(all)
}

/// The formats of state as JSON: one name for all slots, or a name for each.
fn state_format(formats: &StateFormats) -> Value {
    match formats {
        StateFormats::All(format) => format.name().into(),
        StateFormats::Each(named) => {
            let named = named.iter().map(|(slot, format)| (slot.clone(), format.name().into()));
            Value::Object(named.collect())
        }
    }
}

/// Puts a schedule in the place of its number.
fn put(all: &mut Map<String, Value>, target: Target, schedule: &Schedule) -> Result<(), String> {
    let value = serde_json::to_value(schedule).map_err(|e| e.to_string())?;
    let place = match target {
        Target::Lr => all.get_mut("lr"),
        Target::WeightDecay => all.get_mut("weight_decay"),
        Target::Momentum => all.get_mut("momentum"),
        Target::Beta(i) => all.get_mut("betas").and_then(|betas| betas.get_mut(i)),
    };
    *place.ok_or_else(|| format!("{target:?} follows a schedule, but has no key"))? = value;
    Ok(())
}

/// The group that [`options`] describes.
///
/// # Errors
/// As for a group of a CONFIG.
pub fn group(value: Value) -> Result<Group, String> {
    let Value::Object(mut given) = value else {
        return Err(format!("a group is {}; it must be an object", kind(&value)));
    };
    let named = Origin::of(given.remove("optimizer"))?;
    let (group, rates) = Given::read(named, given, true)?.group()?;
    match rates {
        None => Ok(group),
        Some(_) => Err("`lr` is a list; it must be a number or a schedule".to_owned()),
    }
}

/// The group that [`options`] describes, with a rule from outside this crate.
///
/// # Errors
/// As for a group of a CONFIG.
pub(crate) fn with_rule(given: Map<String, Value>, rule: Arc<dyn Rule>) -> Result<Group, String> {
    // Every rule has the general options, so that one of this crate's stands for the other while they are read.
    let mut given = given;
    given.insert("optimizer".to_owned(), crate::Sgd::default().name().into());
    // The names of slots are the rule's own.
    let formats = given.remove("state_format").unwrap_or_else(|| StateFormat::F32.name().into());
    if let Some(must) = wrong("state_format", &Value::Null, &formats) {
        return Err(format!("`state_format` is {formats}; it must be {must}"));
    }
    let plain = group(Value::Object(given))?;
    let made = Group { rule, state_format: state_formats(&formats), ..plain };
    made.check().map_err(|e| e.to_string())?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{group, options};
    use crate::group::{Group, all_groups};
    use crate::num::{Format, Master};
    use crate::schedule::{Schedule, Target};

    /// Every variant of every rule comes back as it was.
    #[test]
    fn groups_come_back() {
        let kept = |group: Group| {
            let formatted = group.state_format(Format::Bf16).master(Master::F32);
            formatted.stochastic_rounding(u64::MAX).ema(0.1 + 0.2)
        };
        let falling = Schedule::cosine(0.1, 1e-3, 7);
        let all = all_groups().into_iter();
        for one in all.flat_map(|one| [one.clone(), kept(one.clone()), one.lr(0.1 + 0.2)]) {
            let scheduled = one.clone().schedule(Target::Lr, falling.clone());
            for one in [one, scheduled] {
                let written = options(&one).map(Value::Object).and_then(group);
                assert_eq!(written.as_ref(), Ok(&one), "{one:?}");
            }
        }
        let decays = Schedule::linear(0.1, 0.2, 9);
        let one = Group::adamw(1e-3)
            .schedule(Target::WeightDecay, decays.clone())
            .schedule(Target::Beta(1), Schedule::linear(0.9, 0.99, 5));
        assert_eq!(options(&one).map(Value::Object).and_then(group), Ok(one));
        let one = Group::sgd(0.1).rule(crate::Sgd { momentum: 0.5, ..crate::Sgd::default() });
        let one = one.schedule(Target::Momentum, Schedule::linear(0.5, 0.9, 5));
        assert_eq!(options(&one).map(Value::Object).and_then(group), Ok(one));
    }
}
