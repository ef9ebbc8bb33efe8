//! A rule as a JSON object of its options, for the command and for checkpoints.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

use super::contract::Rule;

/// How a rule is read from a JSON object of its options: through serde, whatever its fields.
#[derive(Clone, Copy, Debug)]
pub struct Json {
    /// The learning rate where none is given.
    pub(crate) lr: f64,
    /// Each option with its range, in words.
    pub(crate) ranges: &'static [(&'static str, &'static str)],
    /// The origins whose numbers the rule can give.
    pub(crate) conventions: &'static [Convention],
    /// Further names, which stand for the rule with other defaults.
    pub(crate) presets: &'static [Preset],
    /// Every option at its default.
    pub(crate) defaults: fn() -> Result<Value, Error>,
    /// The options of a rule, if it is this one.
    pub(crate) options: fn(&dyn Rule) -> Option<Result<Value, Error>>,
    /// The rule with these options.
    pub(crate) parse: fn(Value) -> Result<Arc<dyn Rule>, Error>,
}

/// The options with which a rule gives the numbers of another library.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convention {
    /// The library, in lower case.
    pub(crate) name: &'static str,
    /// Every option as the constructor of this name has it.
    pub(crate) options: fn() -> Result<Value, Error>,
}

/// A name of its own for a rule with other defaults.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preset {
    /// The name, in lower case.
    pub(crate) name: &'static str,
    /// Every option of the rule.
    pub(crate) options: fn() -> Result<Value, Error>,
    /// λ.
    pub(crate) weight_decay: f64,
    /// Whether weight decay stays out of the rule.
    pub(crate) decoupled: bool,
}

impl Json {
    /// The JSON of `R` at learning rate `lr`, without further names.
    pub(super) const fn of<R>(lr: f64, ranges: &'static [(&'static str, &'static str)]) -> Self
    where
        R: Rule + Default + Serialize + DeserializeOwned,
    {
        Self {
            lr,
            ranges,
            conventions: &[],
            presets: &[],
            defaults: || serde_json::to_value(R::default()),
            options: |rule| (rule as &dyn Any).downcast_ref::<R>().map(serde_json::to_value),
            parse: |value| Ok(Arc::new(serde_json::from_value::<R>(value)?)),
        }
    }
}
