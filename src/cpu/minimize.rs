//! The minimum of a function in one call, for programs without a training loop.

use crate::error::Error;
use crate::group::Group;

use super::engine::Cpu;

/// Minimizes a function of the numbers in `params` by `steps` steps of a group, and returns the loss before each step.
///
/// `function` is given the parameters, and writes for each of them how fast the loss grows with it, which is the
/// gradient. It returns the loss, as f32 or f64. The gradient is all zero when it gets it, so that it may add to it.
///
/// Afterwards `params` holds the result. If the rule keeps an average, as [Schedule-Free](crate::ScheduleFreeSgd)
/// does, the result is the average, although the losses are from the points where the gradients were taken. Schedules
/// are followed, and [`Group::maximize`] climbs. A loop of your own can do the same with [`Cpu`].
///
/// ```
/// use wgpu_optim::{Group, minimize};
///
/// // The line y = slope · x + offset that fits three points best.
/// let points = [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)];
/// let mut line = vec![0.0, 0.0];
/// let losses = minimize(&Group::adam(0.1), &mut line, 500, |line, gradient| {
///     let mut loss = 0.0;
///     for (x, y) in points {
///         let error = line[0] * x + line[1] - y;
///         loss += error * error;
///         gradient[0] += 2.0 * error * x;
///         gradient[1] += 2.0 * error;
///     }
///     loss
/// })?;
/// assert!((line[0] - 2.0).abs() < 1e-3 && (line[1] - 1.0).abs() < 1e-3);
/// assert!(losses[0] == 35.0 && losses[499] < 1e-6);
/// # Ok::<(), wgpu_optim::Error>(())
/// ```
///
/// This runs on the CPU. On a GPU the gradient comes from kernels of yours, recorded into an encoder of yours, so the
/// loop is yours, too: [`Optimizer`](crate::Optimizer) records its step behind them, as in `examples/own_loop.rs`.
///
/// # Errors
/// - Every error of [`Group::check`].
/// - If there are no parameters.
/// - If a parameter, the loss or a part of the gradient is NaN or infinite. Then `params` holds the last point.
pub fn minimize<L: Into<f64>>(
    group: &Group,
    params: &mut [f32],
    steps: u64,
    mut function: impl FnMut(&[f32], &mut [f32]) -> L,
) -> Result<Vec<f64>, Error> {
    if params.is_empty() {
        return Err(Error::Empty { what: "the slice of parameters".to_owned() });
    }
    let mut cpu = Cpu::new(group, params.len())?;
    let mut gradient = vec![0.0; params.len()];
    let mut losses = Vec::new();
    check("parameter", params, 1)?;
    for step in 1..=steps {
        gradient.fill(0.0);
        let loss = function(params, &mut gradient).into();
        if !loss.is_finite() {
            return Err(Error::NotFinite("the loss".to_owned(), step));
        }
        check("gradient", &gradient, step)?;
        losses.push(loss);
        cpu.step(params, &gradient)?;
        check("parameter", params, step)?;
    }
    cpu.eval(params)?;
    check("average", params, steps)?;
    Ok(losses)
}

/// Whether all numbers are finite. The error names the first that is not.
fn check(what: &str, numbers: &[f32], step: u64) -> Result<(), Error> {
    match numbers.iter().position(|number| !number.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::NotFinite(format!("{what} {at}"), step)),
    }
}
