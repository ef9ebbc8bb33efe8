//! The optimizers of PyTorch whose rules this crate has.

use serde_json::{Map, Value as Json};
use wgpu_optim::config::{self, Described};

use super::value::Value;

/// A class of `torch.optim`.
#[derive(Debug)]
pub(super) struct Class {
    /// The rule's name in CONFIG.
    pub(super) rule: &'static str,
    /// The name in `torch.optim`.
    pub(super) name: &'static str,
    /// The keys of its `param_groups` but for `params`, in PyTorch's order.
    pub(super) keys: &'static [&'static str],
    /// All that it may keep of a parameter, in PyTorch's order.
    pub(super) state: &'static [&'static str],
}

/// The steps that were taken, in a parameter's state.
pub(super) const STEP: &str = "step";

/// The name under which `Adam` has decoupled weight decay.
pub(super) const ADAMW: &str = "adamw";

/// The keys that older releases do not have.
const NEWER: [&str; 2] = ["maximize", DECOUPLED];

/// The key that says whether weight decay stays out of the rule.
pub(super) const DECOUPLED: &str = "decoupled_weight_decay";

/// The keys that say how PyTorch computes, but not which numbers: here their values are left out.
pub(super) const INERT: [&str; 4] = ["foreach", "fused", "capturable", "differentiable"];

/// The notes of learning-rate schedulers, which no step reads.
const NOTES: [&str; 6] =
    ["initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum", "swa_lr"];

/// The keys that are about parameters.
const PARAMS: [&str; 2] = ["params", "param_names"];

/// Every class.
const CLASSES: [Class; 10] = [
    Class {
        rule: "adam",
        name: "Adam",
        keys: &[
            "lr",
            "betas",
            "eps",
            "weight_decay",
            "amsgrad",
            "maximize",
            "foreach",
            "capturable",
            "differentiable",
            "fused",
            DECOUPLED,
        ],
        state: &[STEP, "exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
    },
    Class {
        rule: "sgd",
        name: "SGD",
        keys: &[
            "lr",
            "momentum",
            "dampening",
            "weight_decay",
            "nesterov",
            "maximize",
            "foreach",
            "differentiable",
            "fused",
        ],
        state: &["momentum_buffer"],
    },
    Class {
        rule: "rmsprop",
        name: "RMSprop",
        keys: &[
            "lr",
            "momentum",
            "alpha",
            "eps",
            "centered",
            "weight_decay",
            "capturable",
            "foreach",
            "maximize",
            "differentiable",
        ],
        state: &[STEP, "square_avg", "momentum_buffer", "grad_avg"],
    },
    Class {
        rule: "adagrad",
        name: "Adagrad",
        keys: &[
            "lr",
            "lr_decay",
            "eps",
            "weight_decay",
            "initial_accumulator_value",
            "foreach",
            "maximize",
            "differentiable",
            "fused",
        ],
        state: &[STEP, "sum"],
    },
    Class {
        rule: "adadelta",
        name: "Adadelta",
        keys: &[
            "lr",
            "rho",
            "eps",
            "weight_decay",
            "maximize",
            "capturable",
            "foreach",
            "differentiable",
        ],
        state: &[STEP, "square_avg", "acc_delta"],
    },
    Class {
        rule: "adamax",
        name: "Adamax",
        keys: &[
            "lr",
            "betas",
            "eps",
            "weight_decay",
            "foreach",
            "maximize",
            "differentiable",
            "capturable",
        ],
        state: &[STEP, "exp_avg", "exp_inf"],
    },
    Class {
        rule: "nadam",
        name: "NAdam",
        keys: &[
            "lr",
            "betas",
            "eps",
            "weight_decay",
            "momentum_decay",
            DECOUPLED,
            "maximize",
            "foreach",
            "capturable",
            "differentiable",
        ],
        state: &[STEP, "mu_product", "exp_avg", "exp_avg_sq"],
    },
    Class {
        rule: "radam",
        name: "RAdam",
        keys: &[
            "lr",
            "betas",
            "eps",
            "weight_decay",
            "maximize",
            "foreach",
            "capturable",
            DECOUPLED,
            "differentiable",
        ],
        state: &[STEP, "exp_avg", "exp_avg_sq"],
    },
    Class {
        rule: "asgd",
        name: "ASGD",
        keys: &[
            "lr",
            "lambd",
            "alpha",
            "t0",
            "weight_decay",
            "foreach",
            "maximize",
            "differentiable",
            "capturable",
        ],
        state: &[STEP, "eta", "mu", "ax"],
    },
    Class {
        rule: "rprop",
        name: "Rprop",
        keys: &["lr", "etas", "step_sizes", "foreach", "maximize", "differentiable", "capturable"],
        state: &[STEP, "prev", "step_size"],
    },
];

impl Class {
    /// The class of a rule's name in any case.
    pub(super) fn of(rule: &str) -> Result<&'static Self, String> {
        let lower = rule.to_lowercase();
        let known = if lower == ADAMW { "adam" } else { lower.as_str() };
        CLASSES.iter().find(|class| class.rule == known).ok_or_else(|| {
            let all: Vec<_> = CLASSES.iter().map(|class| format!("`{}`", class.rule)).collect();
            format!(
                "PyTorch has no optimizer for the rule `{rule}`; it has {} and `{ADAMW}`",
                all.join(", ")
            )
        })
    }

    /// The class whose keys groups and states have.
    pub(super) fn inferred(groups: &[&Value], states: &[&Value]) -> Result<&'static Self, String> {
        let keys = keys(groups)?;
        let has_all = |class: &&Self| class.needs().all(|key| keys.contains(&key));
        let kept = self::keys(states)?;
        let knows_all = |class: &&Self| {
            let state = kept.iter().all(|key| class.state.contains(key));
            state && keys.iter().all(|key| class.knows(key))
        };
        let mut found: Vec<&'static Self> = CLASSES.iter().filter(has_all).collect();
        if found.iter().any(knows_all) {
            found.retain(knows_all);
        } else {
            // The nearest, so that the first key that it does not know is named.
            let most = found.iter().map(|class| class.needs().count()).max();
            found.retain(|class| Some(class.needs().count()) == most);
        }
        match found[..] {
            [class] => Ok(class),
            [] => Err(format!(
                "the keys of `param_groups` are those of no optimizer that is known here: {}; known are {}",
                keys.join(", "),
                CLASSES.map(|class| class.name).join(", ")
            )),
            ref several => {
                let several: Vec<_> =
                    several.iter().map(|class| format!("`{}`", class.rule)).collect();
                Err(ambiguous(&several.join(" or ")))
            }
        }
    }

    /// The keys that every release has.
    pub(super) fn needs(&self) -> impl Iterator<Item = &'static str> {
        let all = self.keys.iter().copied();
        all.filter(|key| !NEWER.contains(key) && !INERT.contains(key))
    }

    /// The rule's own options among the keys.
    pub(super) fn options(&self) -> impl Iterator<Item = &'static str> {
        self.needs().filter(|key| !["lr", "weight_decay"].contains(key))
    }

    /// Whether a group may have a key.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.keys.contains(&key) || is_apart(key)
    }

    /// The name with its module.
    pub(super) fn path(&self) -> String {
        format!("torch.optim.{}", self.name)
    }

    /// The rule in words.
    pub(super) fn described(&self) -> Result<Described, String> {
        let mut all = config::rules()?.into_iter();
        all.find(|known| known.name == self.rule).ok_or_else(|| format!("no rule `{}`", self.rule))
    }
}

/// Every option of a rule, as PyTorch has it by default.
pub(super) fn defaults(rule: &Described) -> Map<String, Json> {
    let own = rule.options.iter().map(|option| (option.name.to_owned(), option.default.clone()));
    let pytorch = rule.conventions.iter().filter(|convention| convention.name == "pytorch");
    own.chain(pytorch.flat_map(|convention| convention.defaults.clone())).collect()
}

/// Whether a key of a group is no option: parameters, and what changes no number.
pub(super) fn is_apart(key: &str) -> bool {
    PARAMS.contains(&key) || INERT.contains(&key) || NOTES.contains(&key)
}

/// The error of a rule that could be one or the other.
pub(super) fn ambiguous(rules: &str) -> String {
    format!(
        "a PyTorch checkpoint does not say its optimizer, and this one may be {rules}; say which with --rule"
    )
}

/// All keys of some dicts, in order.
fn keys<'a>(dicts: &[&'a Value]) -> Result<Vec<&'a str>, String> {
    let mut all = Vec::new();
    for dict in dicts {
        all.extend(dict.entries()?.into_iter().map(|(key, _)| key));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
