//! The memory of learning rates, for rules whose steps depend on all rates so far.

use super::contract::Rule;
use super::formula::{At, Past};

/// The rate of the last step, and what the rule remembers of all steps, once the rate has changed. Up to then, the
/// rule knows it from t alone.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) rate: Option<f64>,
    pub(crate) past: Option<Past>,
}

impl Memory {
    /// Notes a step, and returns what the rule remembers after it, if that does not follow from t.
    pub(crate) fn note(&mut self, rule: &dyn Rule, at: At) -> Option<Past> {
        let rate = self.rate.replace(at.lr)?;
        if self.past.is_none() && rate == at.lr {
            return None;
        }
        let before = At { t: at.t - 1, lr: rate, past: None, ..at };
        let past = self.past.or_else(|| rule.remember(before, None));
        self.past = rule.remember(at, past);
        self.past
    }
}
