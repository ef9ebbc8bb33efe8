//! The libraries whose optimizers' state dicts are written.

use super::bitsandbytes;
use super::blocks::Blocks;
use super::classes::{Class, is_apart};
use super::optimizer::Optimizer;
use super::torchao::to_torchao;
use super::value::{Tensor, Value};

/// A library with optimizers for PyTorch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Library {
    /// `torch.optim`, which has no state in blocks: it is decoded.
    Torch,
    /// `torchao.optim`: Adam and AdamW, of 8 and 4 bits.
    Torchao,
    /// `bitsandbytes.optim`: AdamW, Lion and SGD, of 8 bits.
    Bitsandbytes,
}

impl Library {
    /// The one that is said, or else the only one that has such state.
    pub(super) fn chosen(said: Option<Self>, optimizer: &Optimizer) -> Result<Self, String> {
        let mut blocks = optimizer.params.iter().flat_map(|param| &param.blocks).peekable();
        let all_are = |rules: &[&str]| {
            optimizer.groups.iter().all(|group| {
                let rule = group.config.get("optimizer").and_then(|rule| rule.as_str());
                rule.is_some_and(|rule| rules.contains(&rule))
            })
        };
        match said {
            Some(said) => Ok(said),
            None if blocks.peek().is_none() => Ok(Self::Torch),
            None if all_are(&["lion", "sgd"]) => Ok(Self::Bitsandbytes),
            None if !all_are(&["adam", "adamw"]) => Ok(Self::Torch),
            None if blocks.any(|(_, own)| own.code.bits() == 4) => Ok(Self::Torchao),
            None => Err("torchao and bitsandbytes have such an optimizer; say which is to go on with --library \
                         torchao or --library bitsandbytes"
                .to_owned()),
        }
    }

    /// The class of a rule.
    pub(super) fn class(self, rule: &str) -> Result<&'static Class, String> {
        match self {
            Self::Torch => Class::of(rule),
            Self::Bitsandbytes => bitsandbytes::class(rule),
            Self::Torchao if matches!(rule, "adam" | "adamw") => Class::of(rule),
            Self::Torchao => Err(format!(
                "torchao has no optimizer for the rule `{rule}`; it has `adam` and `adamw`"
            )),
        }
    }

    /// The name of its optimizer, for errors.
    pub(super) fn path(self, class: &Class) -> String {
        match self {
            Self::Torch => class.path(),
            Self::Torchao => format!("torchao's {}", class.name),
            Self::Bitsandbytes => format!("bitsandbytes' {}", class.name),
        }
    }

    /// A slot in blocks.
    pub(super) fn blocks(self, blocks: &Blocks) -> Value {
        match self {
            Self::Torch => Value::Tensor(blocks.decoded()),
            Self::Torchao => to_torchao(blocks),
            Self::Bitsandbytes => Value::Blocks(blocks.clone()),
        }
    }

    /// A state of this library, of one in PyTorch's keys.
    pub(super) fn state(self, class: &Class, state: Value) -> Result<Value, String> {
        match self {
            Self::Bitsandbytes => bitsandbytes::of_state(class, &state),
            _ => Ok(state),
        }
    }

    /// A group of this library, of one in PyTorch's keys.
    pub(super) fn group(self, class: &Class, group: Value) -> Result<Value, String> {
        match self {
            Self::Torch => Ok(group),
            Self::Bitsandbytes => bitsandbytes::of_group(class, &group),
            Self::Torchao => {
                if matches!(group.get("maximize"), Some(Value::Bool(true))) {
                    return Err("`maximize` is on, which torchao does not have".to_owned());
                }
                let mut all = Vec::new();
                for (key, value) in group.entries()? {
                    let is_kept = key.starts_with("param") || !is_apart(key);
                    match key {
                        // torchao takes a rate only as a tensor.
                        "lr" => all.push((key, Value::Tensor(Tensor::scalar(value.number()?)))),
                        "maximize" | "decoupled_weight_decay" => {}
                        _ if is_kept => all.push((key, value.clone())),
                        _ => {}
                    }
                }
                Ok(Value::dict(all))
            }
        }
    }
}
