//! The formula of a rule: one text for every arithmetic.

use crate::num::Number;

/// The step that a formula computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// Steps taken by the parameter, this one included: 1 at its first.
    pub t: u64,
    /// The group's learning rate at this step.
    pub lr: f64,
    /// The group's decoupled weight decay λ at this step; 0 without, and 0 for an L2 penalty, which is
    /// in the gradient.
    pub weight_decay: f64,
    /// The way in which the driver takes decoupled weight decay off.
    pub decays: Decays,
    /// The numbers that [`Rule::remember`](super::Rule::remember) has kept of the steps so far, this one included;
    /// `None` if the learning rate has always been the same, so that they follow from t.
    pub past: Option<Past>,
    /// The numbers that [`Rule::ahead`](super::Rule::ahead) has computed for the step.
    pub ahead: [f64; AHEAD],
}

/// The numbers that a rule remembers of all learning rates so far.
pub type Past = [f64; 2];

/// The most numbers of a step that a rule can compute ahead of all elements.
pub const AHEAD: usize = 4;

impl At {
    /// The `t`th step at learning rate `lr`, without weight decay.
    pub const fn new(t: u64, lr: f64) -> Self {
        let decays = Decays { cautious: false, after: false };
        Self { t, lr, weight_decay: 0.0, decays, past: None, ahead: [0.0; AHEAD] }
    }

    /// The parameter that the driver makes of `p` and the direction `u`, by the factor `lr` of the direction and
    /// `decay` of the parameter: `stepped` of `shaders/step.wgsl`.
    #[inline(always)]
    pub fn stepped<N: Number>(self, p: N, u: N, lr: N, decay: N) -> N {
        self.decays.stepped(p, u, lr, decay)
    }
}

/// The way in which decoupled weight decay is taken off the parameter.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Decays {
    /// Only where the step moves the parameter towards 0
    /// ([Chen et al. 2025](https://arxiv.org/abs/2510.12402)): the [`Group`](crate::Group)'s
    /// `cautious_weight_decay`.
    pub cautious: bool,
    /// Off the parameter after the step, and not off the one before it: [`Rule::decays_after`](super::Rule).
    pub after: bool,
}

impl Decays {
    #[inline(always)]
    pub(crate) fn stepped<N: Number>(self, p: N, u: N, lr: N, decay: N) -> N {
        let moved = lr * u;
        let base = if self.after { p - moved } else { p };
        let mut taken = decay * base;
        if self.cautious {
            let none = N::scalar(0.0);
            taken = none.select_ge(u * p, none, taken);
        }
        p - (moved + taken)
    }
}

/// The formula, as the paper has it, generic over the arithmetic: the reference, and the error
/// bound of the comparison with it, are this one text. `Clone`, so that a loop can hold the options in
/// registers.
pub trait Formula: Clone {
    /// The direction for one element, given the parameter before the step and its gradient. `state` has
    /// one number a slot, in the order of [`Rule::slots`](super::Rule::slots), and is updated.
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N;
}
