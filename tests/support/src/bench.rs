//! A device that is timed, and parameters in it.

use std::time::Duration;

use criterion::Criterion;
use wgpu_optim::headless::Gpu;
use wgpu_optim::timing::{Clock, Samples};
use wgpu_optim::{Error, Group, Optimizer, View};

use crate::ok;

/// Where parameters and their gradients lie.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// All parameters in one buffer, all gradients in another.
    Arena,
    /// Two buffers for each parameter.
    Own,
}

/// The best adapter, said aloud.
pub fn clock() -> Clock {
    let clock = ok(Clock::of(ok(Gpu::headless()).adapter));
    println!("{}, timed by {}", clock.gpu.describe(), clock.name());
    clock
}

/// Adds `params` tensors of `len` elements, dealt out to as many groups as `groups` says.
pub fn fill(
    mut optimizer: Optimizer,
    gpu: &Gpu,
    (place, params, len): (Place, u64, u64),
    (group, groups): (&Group, u64),
) -> Result<Optimizer, Error> {
    let shared = match place {
        Place::Arena => {
            Some((gpu.zeros("params", params * len)?, gpu.zeros("grads", params * len)?))
        }
        Place::Own => None,
    };
    let ids = (0..groups).map(|_| optimizer.add_group(group.clone()));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    for i in 0..params {
        let (param, grad) = match &shared {
            Some((params, grads)) => {
                let range = i * len..(i + 1) * len;
                (View::f32(params).range(range.clone()), View::f32(grads).range(range))
            }
            None => (View::f32(&gpu.zeros("param", len)?), View::f32(&gpu.zeros("grad", len)?)),
        };
        optimizer.add_param(ids[(i % groups) as usize], &format!("w{i}"), param, grad)?;
    }
    optimizer.prepare()?;
    Ok(optimizer)
}

/// Few samples: a step is long, and its spread is the machine's.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

/// Whether `cargo bench` runs this; `cargo test` only wants to see that it does.
pub fn in_earnest() -> bool {
    std::env::args().any(|arg| arg == "--bench")
}

/// Milliseconds of a step of each, measured in turn, so that whatever else the machine does strikes all.
pub fn in_turn(clock: &Clock, all: &mut [Optimizer]) -> Vec<Samples> {
    let (rounds, steps) = match in_earnest() {
        true => (15, ok(clock.enough(&mut all[0], 20.0))),
        false => (1, 1),
    };
    let mut samples = vec![Samples::default(); all.len()];
    // The first round warms up.
    for round in 0..=rounds {
        for (optimizer, samples) in all.iter_mut().zip(&mut samples) {
            let ms = ok(clock.gpu_ms(optimizer, steps));
            if round > 0 {
                samples.push(ms);
            }
        }
    }
    samples
}
