//! A parameter with its gradient, where it is and what is stored of it.

use crate::view::View;

/// A parameter and its gradient somewhere.
pub(super) struct Spot {
    pub(super) name: String,
    /// Which of the two groups.
    pub(super) group: usize,
    pub(super) param: View,
    pub(super) grad: View,
    pub(super) copy: Option<View>,
}

/// The numbers that are stored of a spot.
pub(super) struct Numbered {
    /// The gradient of the next step.
    pub(super) grad: Vec<f32>,
    pub(super) param: Vec<f32>,
    /// The number that the parameter is rounded from, or the parameter.
    pub(super) weight: Vec<f32>,
    pub(super) slots: Vec<Vec<f32>>,
    pub(super) ema: Option<Vec<f32>>,
    pub(super) copy: Option<Vec<f32>>,
}
