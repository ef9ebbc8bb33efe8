//! The registry's entry of a rule.

use std::sync::Arc;

use super::contract::Rule;
#[cfg(feature = "checkpoint")]
use super::json::Json;

/// A rule this crate ships.
#[derive(Debug)]
pub struct Entry {
    /// [`Rule::name`], and the name of its two files.
    pub name: &'static str,
    /// [`Rule::wgsl`].
    pub wgsl: &'static str,
    /// The formula in a paper's letters, a line each.
    pub formula: &'static str,
    /// The paper: its authors, its year and its address.
    pub paper: &'static str,
    /// Every combination of switches, and a spread of hyper-parameters and conventions: what
    /// `verify`, the tests and the benches walk. The first has the rule's defaults.
    pub variants: fn() -> Vec<Variant>,
    /// The rule in a JSON object of its options, for `wgpu-optim replay`.
    #[cfg(feature = "checkpoint")]
    #[cfg_attr(docsrs, doc(cfg(feature = "checkpoint")))]
    pub json: Json,
}

/// A rule with all of its options, and the options of a [`Group`](crate::Group) that concern its arithmetic.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The rule.
    pub rule: Arc<dyn Rule>,
    /// Learning rate.
    pub lr: f64,
    /// λ.
    pub weight_decay: f64,
    /// Whether weight decay stays out of the rule.
    pub decoupled: bool,
    /// Whether weight decay leaves out elements that the step moves away from 0.
    pub cautious: bool,
    /// Whether to climb.
    pub maximize: bool,
}

impl Variant {
    /// `rule` at learning rate `lr`, without weight decay, minimizing.
    pub(super) fn new(lr: f64, rule: impl Rule) -> Self {
        let rule = Arc::new(rule);
        Self { rule, lr, weight_decay: 0.0, decoupled: false, cautious: false, maximize: false }
    }

    /// The same with an L2 penalty.
    pub(super) fn l2(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// The same with decoupled weight decay.
    pub(super) fn decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, decoupled: true, ..self }
    }

    /// The same with cautious weight decay.
    pub(super) fn cautious(self, weight_decay: f64) -> Self {
        Self { cautious: true, ..self.decay(weight_decay) }
    }

    /// The same, climbing.
    pub(super) fn maximize(self) -> Self {
        Self { maximize: true, ..self }
    }
}
