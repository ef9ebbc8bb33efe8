//! This module makes the calls of `api.rs` as far as commit b8cdb42 has them. `scripts/bench-record` puts
//! the file in the place of `api.rs`.

use wgpu_optim::{Error, GroupId, Optimizer, ParamId, View};

/// A parameter always has a gradient.
pub(crate) const ABSENT: bool = false;

/// Tells the optimizer where these gradients are from now on, one by one.
pub(crate) fn set_grads(
    optimizer: &mut Optimizer,
    grads: Vec<(ParamId, Option<View>)>,
) -> Result<(), Error> {
    grads.into_iter().try_for_each(|(param, grad)| match grad {
        Some(grad) => optimizer.set_grad(param, grad),
        None => Ok(()),
    })
}

/// Sets no number of steps, and tells so.
pub(crate) fn set_steps(_: &mut Optimizer, _: &[GroupId], _: u64) -> Result<bool, Error> {
    Ok(false)
}
