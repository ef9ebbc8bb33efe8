//! The formula of a rule: one text for every arithmetic.

use crate::num::Number;

/// The most slots of state a rule can keep.
pub const MAX_SLOTS: usize = 4;

/// The step that a formula computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// Steps taken by the parameter, this one included: 1 at its first.
    pub t: u64,
    /// The group's learning rate at this step.
    pub lr: f64,
}

/// The formula, as the paper has it, generic over the arithmetic: the reference, and the error
/// bound of the comparison with it, are this one text. `Clone`, so that a loop can hold the options in
/// registers.
pub trait Formula: Clone {
    /// The direction for one element, given the parameter before the step and its gradient. `state` has
    /// one number a slot, in the order of [`Rule::slots`](super::Rule::slots), and is updated.
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N;
}
