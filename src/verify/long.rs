//! This module runs many steps, to find an error that no single step shows: a β that has lost its lower half.
//!
//! An f32 misses β by up to 3e-8, and 1 / (1 − β) multiplies that error: a settled average of β = 0.999 is 4e-5 off in
//! every element. The error occurs if a compiler reassociates `keep · old + (keep_low · old + new)` into one product.
//! The mean over many elements shows it, because rounding errors go in both directions and their mean is near 0.

use super::{Row, Worst};
use crate::error::Error;
use crate::group::Group;
use crate::headless::Gpu;
use crate::optimizer::Optimizer;
use crate::rule::{Adam, Rule};
use crate::view::View;

/// The number of steps, in which an average of β = 0.999 settles within 5 %.
const STEPS: u64 = 3000;

/// The number of steps that are recorded into one encoder.
const RECORDED: u64 = 100;

/// The number of elements.
const LEN: u64 = 1024;

/// The number of rows of [`verify`](super::verify) that take many steps.
pub(super) const ROWS: usize = 1;

/// Runs [`Adam`] for many steps, and compares the mean of `exp_avg_sq` with the mean in f64.
///
/// # Errors
/// As [`verify`](super::verify).
pub fn long_run(gpu: &Gpu) -> Result<Row, Error> {
    long_run_of(gpu, Adam::default())
}

/// Runs a rule that keeps `exp_avg_sq` as [`Adam`] does at β₂ = 0.999, and compares the mean in the same way.
///
/// # Errors
/// As [`verify`](super::verify).
pub fn long_run_of(gpu: &Gpu, rule: impl Rule) -> Result<Row, Error> {
    let beta: f64 = 0.999;
    let (name, words) = (rule.name(), format!("{rule:?}"));
    // Each step takes gradients that lie four elements further on.
    let numbers: Vec<f32> = (0..LEN + 4 * STEPS).map(number).collect();
    let (params, pool) = (gpu.zeros("wgpu-optim verify", LEN)?, gpu.upload("verify", &numbers)?);
    let grad = |t: u64| View::f32(&pool).range(4 * t..4 * t + LEN);
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = optimizer.add_group(Group::new(1e-3, rule))?;
    let id = optimizer.add_param(group, "w", View::f32(&params), grad(0))?;
    let mut exact = vec![0.0; LEN as usize];
    for first in (0..STEPS).step_by(RECORDED as usize) {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        for t in first..(first + RECORDED).min(STEPS) {
            optimizer.set_grad(id, grad(t))?;
            optimizer.step(&mut encoder);
            for (v, g) in exact.iter_mut().zip(&numbers[4 * t as usize..]) {
                *v = beta * *v + (1.0 - beta) * f64::from(*g) * f64::from(*g);
            }
        }
        gpu.queue.submit([encoder.finish()]);
    }
    let v = gpu.download(&optimizer.state(id, "exp_avg_sq")?)?;
    let off = v.iter().zip(&exact).map(|(v, exact)| f64::from(*v) / exact - 1.0).sum::<f64>();
    let bias = off.abs() / LEN as f64;
    // Each step rounds by at most half a unit, 2⁻²⁴. If roundings are independent, 1 / √(1 − β²) of them remain in an
    // average, and the mean over the elements divides that by the root of their number. The bound is 32 times this
    // error, which chance does not reach. A lost half reaches 30 bounds.
    let spread = 2_f64.powi(-24) / ((1.0 - beta * beta) * LEN as f64).sqrt();
    let place = format!("its mean after {STEPS} steps, {bias:.1e} off, relative");
    let worst = Worst { what: "exp_avg_sq".to_owned(), ratio: bias / (32.0 * spread), place };
    Ok(Row {
        group: format!("{name} {STEPS} steps"),
        rule: words,
        compared: LEN,
        unbounded: 0,
        worst: vec![worst],
        strays: 0,
    })
}

/// The `i`th number of a stream with several magnitudes (splitmix64).
fn number(i: u64) -> f32 {
    let z = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let uniform = ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32;
    4.0 * uniform - 2.0
}
