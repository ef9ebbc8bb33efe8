//! This module has a parameter with its gradient: their views, and their numbers.

use crate::view::View;

/// The views of a parameter, its gradient and its copy.
pub(super) struct Spot {
    pub(super) name: String,
    /// The number of the group, of which there are two.
    pub(super) group: usize,
    pub(super) param: View,
    pub(super) grad: View,
    pub(super) copy: Option<View>,
}

/// The numbers of a spot, as they are stored.
pub(super) struct Numbered {
    /// The gradient of the next step.
    pub(super) grad: Vec<f32>,
    pub(super) param: Vec<f32>,
    /// The number that the parameter is rounded from, or the parameter.
    pub(super) weight: Vec<f32>,
    /// The numbers of each slot, decoded if they are in blocks.
    pub(super) slots: Vec<Vec<f32>>,
    /// The scales of each slot, if it is in blocks.
    pub(super) scales: Vec<Option<Vec<f32>>>,
    pub(super) ema: Option<Vec<f32>>,
    pub(super) copy: Option<Vec<f32>>,
}
