//! The options of one group: the names that are given, those that are inherited, and all others.

use serde_json::{Map, Value};

use super::keys::{INERT, KEYS, MASTERS, wrong, wrong_part};
use super::scheduled;
use super::words::{kind, list};
use crate::group::Group;
use crate::num::{Master, StateFormat, StateFormats};
use crate::rule::{self, Entry, Preset};

/// The two places of ε.
const EPSILONS: [&str; 2] = ["eps", "eps_root"];

/// Whether ε stands in both places by default.
fn has_both(defaults: &Map<String, Value>) -> bool {
    let is_there = |epsilon| defaults.get(epsilon).and_then(Value::as_f64) > Some(0.0);
    EPSILONS.into_iter().all(is_there)
}

/// The rule that a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    name: &'static str,
    entry: &'static Entry,
    preset: Option<&'static Preset>,
}

/// All names of optimizers.
fn named() -> impl Iterator<Item = Origin> {
    rule::ALL.iter().flat_map(|entry| {
        let own = Origin { name: entry.name, entry, preset: None };
        let presets = entry.json.presets.iter();
        let others =
            presets.map(move |preset| Origin { name: preset.name, entry, preset: Some(preset) });
        std::iter::once(own).chain(others)
    })
}

impl Origin {
    /// The rule of a name in any case.
    pub(super) fn of(value: Option<Value>) -> Result<Self, String> {
        let names = || list(named().map(|named| named.name));
        let name = match value {
            Some(Value::String(name)) => name,
            Some(other) => {
                return Err(format!(
                    "`optimizer` is {}; it must be one of {}",
                    kind(&other),
                    names()
                ));
            }
            None => return Err(format!("`optimizer` is missing; it must be one of {}", names())),
        };
        let found = named().find(|named| named.name == name.to_lowercase());
        found.ok_or_else(|| format!("unknown optimizer `{name}`; known are {}", names()))
    }

    /// Every key with its default: of the rule, or of one of its conventions.
    fn defaults(&self, convention: Option<&Value>) -> Result<Map<String, Value>, String> {
        let json = &self.entry.json;
        let mut all: Map<String, Value> =
            KEYS.iter().filter_map(|key| Some((key.name.to_owned(), key.default(json)?))).collect();
        let mut options = json.defaults;
        if let Some(preset) = self.preset {
            options = preset.options;
            all.insert("weight_decay".to_owned(), preset.weight_decay.into());
            all.insert("decoupled".to_owned(), preset.decoupled.into());
        }
        if let Some(name) = convention {
            let lower = name.as_str().map(str::to_lowercase);
            let found = json.conventions.iter().find(|known| Some(known.name) == lower.as_deref());
            let known = || list(json.conventions.iter().map(|known| known.name));
            options = match (found, name) {
                (Some(convention), _) => convention.options,
                (None, Value::String(name)) => {
                    return Err(format!(
                        "`{}`: unknown convention `{name}`; known are {}",
                        self.name,
                        known()
                    ));
                }
                (None, other) => {
                    return Err(format!(
                        "`{}`: `convention` is {}; it must be one of {}",
                        self.name,
                        kind(other),
                        known()
                    ));
                }
            };
        }
        if let Value::Object(own) = options().map_err(|e| e.to_string())? {
            all.extend(own);
        }
        Ok(all)
    }
}

/// The options that a config names, checked one by one.
#[derive(Clone, Debug)]
pub(super) struct Given {
    named: Origin,
    keys: Map<String, Value>,
}

/// A group at its first step, with the course of its learning rate, if that is not one for all steps.
pub(super) type Built = (Group, Option<Vec<f64>>);

impl Given {
    /// Reads what is given. A group of a config has no options of all groups.
    pub(super) fn read(
        named: Origin,
        given: Map<String, Value>,
        is_group: bool,
    ) -> Result<Self, String> {
        let name = named.name;
        let defaults = named.defaults(given.get("convention"))?;
        let mut keys = Map::new();
        for (key, value) in given {
            let inert = INERT.iter().find(|(inert, _)| *inert == key);
            if let Some((_, why)) = inert {
                match value {
                    Value::Null | Value::Bool(false) => continue,
                    Value::Bool(true) => {
                        return Err(format!(
                            "`{name}`: `{key}` is true, but {why}; set it to false or leave it out"
                        ));
                    }
                    other => {
                        let is = kind(&other);
                        return Err(format!("`{name}`: `{key}` is {is}, it must be false or null"));
                    }
                }
            }
            if key == "initial_lr" {
                if !value.is_number() {
                    let is = kind(&value);
                    return Err(format!("`{name}`: `{key}` is {is}, it must be a number"));
                }
                // A scheduler's note, which no step reads.
                continue;
            }
            let known = match &*key {
                "convention" => key,
                "decoupled_weight_decay" => "decoupled".into(),
                _ => {
                    if !defaults.contains_key(&key) {
                        let mut known: Vec<&str> = defaults.keys().map(String::as_str).collect();
                        let of_all =
                            |name: &&str| KEYS.iter().any(|k| k.is_global && k.name == *name);
                        known.retain(|name| !(is_group && of_all(name)));
                        known.extend(["convention", "params"]);
                        known.extend((!is_group).then_some("groups"));
                        known.sort_unstable();
                        let known = list(known.into_iter());
                        return Err(format!(
                            "unknown key `{key}` for `{name}`; known are `optimizer`, {known}"
                        ));
                    }
                    key
                }
            };
            // A schedule's own text says what it must be.
            let stands_for = scheduled::placeholder(&known, &value);
            let must = defaults
                .get(&known)
                .and_then(|default| wrong(&known, default, stands_for.as_ref().unwrap_or(&value)));
            if let Some(must) = must {
                let (place, is) = wrong_part(&known, &value);
                return Err(format!("`{name}`: `{place}` is {is}, it must be {must}"));
            }
            if keys.insert(known, value).is_some() {
                return Err(format!(
                    "`{name}`: `decoupled` and `decoupled_weight_decay` are one option; give one of them"
                ));
            }
        }
        Ok(Self { named, keys })
    }

    /// The rule's name.
    pub(super) fn named(&self) -> Origin {
        self.named
    }

    /// The same with what it leaves open taken from `top`. Another rule takes no option of the first.
    pub(super) fn inheriting(mut self, top: &Self) -> Result<Self, String> {
        let same = self.named.entry.name == top.named.entry.name;
        let defaults = self.named.defaults(None)?;
        let general = |key: &str| KEYS.iter().any(|known| known.name == key);
        for (key, value) in &top.keys {
            let other_epsilon = !has_both(&defaults)
                && EPSILONS.contains(&&**key)
                && EPSILONS.iter().any(|epsilon| self.keys.contains_key(*epsilon));
            let fits = general(key) && defaults.contains_key(key);
            if !self.keys.contains_key(key) && !other_epsilon && (same || fits) {
                self.keys.insert(key.clone(), value.clone());
            }
        }
        Ok(self)
    }

    /// Every key with its value.
    pub(super) fn values(&self) -> Result<Map<String, Value>, String> {
        let mut all = self.named.defaults(self.keys.get("convention"))?;
        // Where only one place of ε is named, ε stands there alone, unless the rule has both.
        let both = has_both(&all);
        let [eps, eps_root] = EPSILONS.map(|epsilon| self.keys.contains_key(epsilon));
        for (epsilon, other_alone) in EPSILONS.into_iter().zip([eps_root && !eps, eps && !eps_root])
        {
            if other_alone && !both && all.contains_key(epsilon) {
                all.insert(epsilon.to_owned(), 0.0.into());
            }
        }
        for (key, value) in &self.keys {
            if key != "convention" {
                all.insert(key.clone(), value.clone());
            }
        }
        Ok(all)
    }

    /// The group that all of it makes.
    pub(super) fn group(&self) -> Result<Built, String> {
        let mut values = self.values()?;
        for key in KEYS.iter().filter(|key| key.is_global) {
            values.remove(key.name);
        }
        let schedules = scheduled::take(&mut values)?;
        let rates: Option<Vec<f64>> = match values.get("lr") {
            Some(Value::Array(all)) => Some(all.iter().filter_map(Value::as_f64).collect()),
            _ => None,
        };
        let first = rates.as_ref().and_then(|rates| rates.first().copied());
        let mut number = |key: &str| values.remove(key).and_then(|v| v.as_f64());
        let (lr, weight_decay) = (number("lr").or(first), number("weight_decay"));
        let ema = number("ema");
        let mut switch = |key: &str| values.remove(key).and_then(|v| v.as_bool()).unwrap_or(false);
        let (decoupled, maximize) = (switch("decoupled"), switch("maximize"));
        let cautious_weight_decay = switch("cautious_weight_decay");
        let mut whole = |key: &str| values.remove(key).and_then(|v| v.as_u64());
        let stochastic_rounding = whole("stochastic_rounding");
        let (stochastic_state, block_min_size) =
            (whole("stochastic_state"), whole("block_min_size"));
        let mut word = |key: &str| values.remove(key).unwrap_or_default();
        let (master, format) = (word("master"), word("state_format"));
        let master = MASTERS.into_iter().find(|(name, _)| master == *name);
        let json = &self.named.entry.json;
        let rule = (json.parse)(Value::Object(values)).map_err(|e| e.to_string())?;
        let group = Group {
            weight_decay: weight_decay.unwrap_or(0.0),
            decoupled,
            cautious_weight_decay,
            maximize,
            stochastic_rounding,
            ema,
            master: master.map_or(Master::None, |(_, master)| master),
            state_format: state_formats(&format),
            stochastic_state,
            block_min_size: block_min_size.unwrap_or(0),
            ..Group::new(lr.unwrap_or(0.0), rule)
        };
        let schedules = schedules.into_iter();
        let group =
            schedules.fold(group, |group, (target, schedule)| group.schedule(target, schedule));
        group.check().map_err(|e| e.to_string())?;
        for (i, &lr) in rates.iter().flatten().enumerate() {
            let at_step = Group { lr, ..group.clone() };
            at_step.check_rate().map_err(|e| format!("lr[{i}]: {e}"))?;
        }
        Ok((group, rates))
    }
}

/// The formats of state that a checked value names.
pub(super) fn state_formats(value: &Value) -> StateFormats {
    let named = |value: &Value| value.as_str().and_then(StateFormat::named).unwrap_or_default();
    match value {
        Value::Object(slots) => {
            let slots = slots.iter().map(|(slot, value)| (slot.clone(), named(value)));
            StateFormats::from(slots.collect::<Vec<_>>())
        }
        value => named(value).into(),
    }
}
