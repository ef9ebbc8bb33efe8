//! The settings of every rule: one for all five functions, found by trying factors of two and five.

use serde_json::{Map, Value};
use wgpu_optim::config::config;
use wgpu_optim::{Group, Target, rule};

/// The steps after which points are counted, unless others are asked for.
pub(crate) const STEPS: u64 = 3000;

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The rule's name in the registry and in CONFIG.
    pub(crate) rule: &'static str,
    pub(crate) lr: f64,
    /// Whether the learning rate falls to 0 along a cosine, in as many steps as are taken: rules whose steps do not
    /// shrink with the gradient need that to come to rest.
    pub(crate) falls: bool,
    /// Other options, as in CONFIG; the rule's defaults for all that are not here.
    pub(crate) options: &'static str,
}

const fn row(rule: &'static str, lr: f64, falls: bool, options: &'static str) -> Setting {
    Setting { rule, lr, falls, options }
}

/// A rule without a row here is shown with its defaults; `tests/landscape.rs` then asks for the row.
pub(crate) const SETTINGS: &[Setting] = &[
    row("sgd", 5e-4, false, "\"momentum\": 0.9"),
    row("adagrad", 0.5, false, ""),
    row("lion", 0.01, true, ""),
    row("rmsprop", 0.02, true, ""),
    row("adam", 0.2, true, ""),
    row("nadam", 0.1, true, ""),
    // Its first steps are SGD's, so they must be short.
    row("radam", 2e-3, false, "\"betas\": [0.9, 0.99]"),
    row("adamax", 0.2, true, "\"betas\": [0.9, 0.99]"),
    row("adadelta", 1.0, true, ""),
    row("adabelief", 0.05, false, ""),
    row("yogi", 0.2, false, ""),
    row("adan", 0.05, false, ""),
    row("asgd", 1e-3, false, ""),
    row("rprop", 0.01, false, ""),
    row("signum", 5e-3, true, ""),
    row("ademamix", 0.1, true, "\"betas\": [0.9, 0.999, 0.99], \"alpha\": 1"),
    row("adopt", 0.1, true, "\"betas\": [0.9, 0.99]"),
    row("madgrad", 0.01, true, ""),
    row("grams", 0.2, true, ""),
    row("adam_atan2", 0.05, true, ""),
    row("laprop", 0.2, true, ""),
    row("schedule_free_sgd", 0.01, false, "\"warmup_steps\": 100"),
    row("schedule_free_adamw", 0.2, false, "\"betas\": [0.95, 0.99], \"warmup_steps\": 100"),
];

impl Setting {
    /// The setting as CONFIG.
    pub(crate) fn config(&self, steps: u64) -> String {
        let Self { rule, lr, falls, options } = self;
        let lr = match falls {
            true => {
                format!(r#"{{"schedule": "cosine", "start": {lr}, "end": 0, "steps": {steps}}}"#)
            }
            false => lr.to_string(),
        };
        let comma = if options.is_empty() { "" } else { ", " };
        format!(r#"{{"optimizer": "{rule}", "lr": {lr}{comma}{options}}}"#)
    }

    /// The learning rate in words.
    pub(crate) fn rate(&self) -> String {
        format!("{}{}", self.lr, if self.falls { " to 0" } else { "" })
    }
}

/// A rule under its setting.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    pub(crate) rule: &'static str,
    /// The learning rate, and the other options, in words.
    pub(crate) said: [String; 2],
    pub(crate) group: Group,
}

impl Contestant {
    /// The rule that the user's CONFIG describes.
    pub(crate) fn given(json: &str) -> Result<Self, String> {
        let Self { rule, group, .. } = Self::read(json, Default::default())?;
        let course = group.schedules.iter().find(|(target, _)| *target == Target::Lr);
        let lr = course.map_or(group.lr.to_string(), |(_, schedule)| schedule.name().to_owned());
        let mut keys: Map<String, Value> = serde_json::from_str(json).map_err(|e| e.to_string())?;
        keys.retain(|key, _| key != "optimizer" && key != "lr");
        let options = keys.iter().map(|(key, value)| format!("{key}: {value}"));
        let options = options.collect::<Vec<_>>().join(", ").replace('"', "");
        Ok(Self { rule, said: [lr, options], group })
    }

    fn read(json: &str, said: [String; 2]) -> Result<Self, String> {
        let mut config = config(json)?;
        match config.groups.pop() {
            Some(part) if config.groups.is_empty() && part.rates.is_none() => {
                Ok(Self { rule: part.group.rule.name(), said, group: part.group })
            }
            _ => Err("give one group, and a number or a schedule for `lr`".to_owned()),
        }
    }
}

/// Every rule of the registry under its setting for so many steps.
pub(crate) fn contestants(steps: u64) -> Result<Vec<Contestant>, String> {
    let mut all = Vec::new();
    for entry in rule::ALL {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.rule == entry.name) {
            let said = [setting.rate(), setting.options.replace('"', "")];
            let contestant = Contestant::read(&setting.config(steps), said);
            all.push(contestant.map_err(|e| format!("the row of `{}`: {e}", entry.name))?);
        } else if let Some(variant) = (entry.variants)().into_iter().next() {
            let said = [variant.lr.to_string(), "defaults".to_owned()];
            all.push(Contestant { rule: entry.name, said, group: variant.into() });
        }
    }
    Ok(all)
}
