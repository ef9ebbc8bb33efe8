//! This module makes the calls that an older commit of the crate lacks. `scripts/bench-record` replaces it by
//! `old.rs` for such a commit.

use wgpu_optim::{Error, GroupId, Optimizer, ParamId, View};

/// A parameter may have no gradient.
pub(crate) const ABSENT: bool = true;

/// Tells the optimizer where these gradients are from now on.
pub(crate) fn set_grads(
    optimizer: &mut Optimizer,
    grads: Vec<(ParamId, Option<View>)>,
) -> Result<(), Error> {
    optimizer.set_grads(grads)
}

/// Sets the number of steps that these groups have taken; tells whether the crate can.
pub(crate) fn set_steps(
    optimizer: &mut Optimizer,
    groups: &[GroupId],
    steps: u64,
) -> Result<bool, Error> {
    groups.iter().try_for_each(|group| optimizer.set_steps(*group, steps))?;
    Ok(true)
}
