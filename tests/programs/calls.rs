//! The calls of the library under test, and which of its promises it keeps so far.

use wgpu_optim::wgpu::Device;
use wgpu_optim::{Adagrad, Adam, Error, Group, Optimizer, ParamId, RmsProp, Sgd, View};

use super::rule::{Rule, Spec};

/// Recorded steps count, and sums stay apart, although encoders are dropped.
pub(crate) const DROPPED_ENCODERS: bool = true;
/// A gradient may be none.
pub(crate) const GRADIENTS_MAY_BE_NONE: bool = true;
/// Statistics before the first step that looked at gradients are an error.
pub(crate) const STATS_NEED_A_STEP: bool = true;
/// Statistics name the right parameter after changes, too.
pub(crate) const BLAME_LASTS: bool = true;
/// A dynamic loss scale stays above 0.
pub(crate) const SCALE_HAS_A_FLOOR: bool = true;
/// The buffer of the loss scale is refused as a parameter.
pub(crate) const SCALE_IS_NO_PARAMETER: bool = true;
/// No result depends on where numbers lie.
pub(crate) const BITS_WITHOUT_ADDRESSES: bool = true;
/// Whatever limits `add_group` accepts, a step fits them.
pub(crate) const STEPS_FIT_LIMITS: bool = true;

/// A parameter's gradient as it is to be.
pub(crate) struct Change {
    pub(crate) id: ParamId,
    pub(crate) new: Option<View>,
}

/// Changes several gradients at once, or none of them.
pub(crate) fn set_grads(
    _device: &Device,
    optimizer: &mut Optimizer,
    changes: Vec<Change>,
) -> Result<(), Error> {
    optimizer.set_grads(changes.into_iter().map(|change| (change.id, change.new)))
}

/// A group with these options.
pub(crate) fn group(spec: &Spec) -> Group {
    let Spec { lr, decay, decoupled, maximize, ema, .. } = *spec;
    let group = match spec.rule {
        Rule::Sgd { momentum, dampening, nesterov } => {
            Group::new(lr, Sgd { momentum, dampening, nesterov, ..Sgd::default() })
        }
        Rule::Adam { betas, eps, eps_root, amsgrad } => {
            Group::new(lr, Adam { betas, eps, eps_root, amsgrad, ..Adam::default() })
        }
        Rule::RmsProp { alpha, eps, eps_root, momentum, centered } => {
            let default = RmsProp::default();
            Group::new(lr, RmsProp { alpha, eps, eps_root, momentum, centered, ..default })
        }
        Rule::Adagrad { lr_decay, eps, eps_root } => {
            // Field by field, since it may get more of them.
            let mut rule = Adagrad::default();
            (rule.lr_decay, rule.eps, rule.eps_root) = (lr_decay, eps, eps_root);
            Group::new(lr, rule)
        }
    };
    let group = group.weight_decay(decay).decoupled(decoupled).maximize(maximize);
    match ema {
        Some(decay) => group.ema(decay),
        None => group,
    }
}
