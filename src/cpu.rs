//! The same groups on the CPU in f32: multithreaded, vectorized, one pass over memory. The opponent
//! in the benchmarks, and a way to train without a GPU.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use crate::error::Error;
use crate::group::{DRIVER_SCALARS, Group};
use crate::rule::{At, Formula, MAX_SLOTS};

/// Elements that one task works on. Memory is read fastest in long runs; a short parameter should
/// still be shared by all cores.
const CHUNK: RangeInclusive<usize> = 8192..=65536;

/// Chunks that a parameter is cut into, as far as [`CHUNK`] allows.
const CHUNKS: usize = 64;

/// Bytes of a cache line.
const LINE: usize = 64;

/// One parameter under one group, in f32, on the threads of rayon's current pool. What a group says of 16 bits
/// and of an average is for an [`Optimizer`](crate::Optimizer); here it has no effect.
///
/// ```
/// use wgpu_optim::{Cpu, Group};
///
/// let (mut w, g) = (vec![1.0, -2.0], [0.5, -0.25]);
/// let mut cpu = Cpu::new(&Group::adam(1e-3), w.len())?;
/// cpu.step(&mut w, &g)?;
/// assert!((w[0] - 0.999).abs() < 1e-6);
/// # Ok::<(), wgpu_optim::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cpu {
    group: Group,
    len: usize,
    chunk: usize,
    /// Chunk after chunk, in each slot after slot: what one task works on lies together.
    state: Vec<f32>,
    t: u64,
}

impl Cpu {
    /// State for a parameter of `len` elements, all zero.
    ///
    /// # Errors
    /// What [`Group::check`] finds.
    pub fn new(group: &Group, len: usize) -> Result<Self, Error> {
        group.check()?;
        let state = vec![0.0; len * group.rule.slots().len()];
        // Whole cache lines, so that every chunk begins where the first does.
        let chunk = (len / CHUNKS).clamp(*CHUNK.start(), *CHUNK.end());
        let chunk = chunk.next_multiple_of(LINE / size_of::<f32>());
        Ok(Self { group: group.clone(), len, chunk, state, t: 0 })
    }

    /// One step.
    ///
    /// # Errors
    /// If `param` or `grad` is not as long as the state; then nothing has changed.
    pub fn step(&mut self, param: &mut [f32], grad: &[f32]) -> Result<(), Error> {
        for (what, has) in [("parameter", param.len()), ("gradient", grad.len())] {
            if has != self.len {
                return Err(Error::StateLength { what, has, state: self.len });
            }
        }
        self.t += 1;
        let at = At { t: self.t, lr: self.group.lr };
        let scalars = self.group.driver_scalars(self.t, None).map(|x| x as f32);
        let rule = &*self.group.rule;
        let slots = rule.slots().len();
        let chunks = param.par_chunks_mut(self.chunk).zip(grad.par_chunks(self.chunk));
        if slots == 0 {
            chunks.for_each(|(param, grad)| {
                rule.fast(Chunk { param, grad, state: &mut [], scalars, at });
            });
        } else {
            let state = self.state.par_chunks_mut(self.chunk * slots);
            chunks.zip(state).for_each(|((param, grad), state)| {
                rule.fast(Chunk { param, grad, state, scalars, at });
            });
        }
        Ok(())
    }

    /// Another learning rate from the next step on.
    ///
    /// # Errors
    /// If it is not a finite number, 0 or more.
    pub fn set_lr(&mut self, lr: f64) -> Result<(), Error> {
        let group = self.group.clone().lr(lr);
        group.check()?;
        self.group = group;
        Ok(())
    }

    /// A slot of the state by its PyTorch name, or `None` if the rule keeps no such slot.
    pub fn state(&self, slot: &str) -> Option<Vec<f32>> {
        let slots = self.group.rule.slots();
        let at = slots.iter().position(|s| *s == slot)?;
        let chunks = self.state.chunks(self.chunk * slots.len());
        Some(
            chunks
                .flat_map(|chunk| {
                    let len = chunk.len() / slots.len();
                    &chunk[at * len..(at + 1) * len]
                })
                .copied()
                .collect(),
        )
    }
}

/// What one task steps.
pub struct Chunk<'a> {
    param: &'a mut [f32],
    grad: &'a [f32],
    /// Slot after slot, each as long as the parameter.
    state: &'a mut [f32],
    scalars: [f32; DRIVER_SCALARS],
    at: At,
}

/// Steps a chunk by `formula`, with the widest vectors the processor has.
pub(crate) fn step<F: Formula>(formula: &F, chunk: Chunk<'_>) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || match chunk.state.len() / chunk.param.len().max(1) {
            0 => lanes::<F, 0>(formula, chunk),
            1 => lanes::<F, 1>(formula, chunk),
            2 => lanes::<F, 2>(formula, chunk),
            _ => lanes::<F, MAX_SLOTS>(formula, chunk),
        },
    );
}

/// A loop that the compiler vectorizes: all scalars are invariant, all slices as long as each other.
#[inline(always)]
fn lanes<F: Formula, const SLOTS: usize>(formula: &F, chunk: Chunk<'_>) {
    let Chunk { param, grad, state, scalars, at } = chunk;
    let [lr, decay, l2, grad_scale, ..] = scalars;
    // A copy of our own, which no store through a slice can change: what follows from it is invariant.
    let formula = formula.clone();
    let len = param.len();
    let grad = &grad[..len];
    let mut rest = state;
    let mut slots: [&mut [f32]; SLOTS] = std::array::from_fn(|_| {
        let (slot, after) = std::mem::take(&mut rest).split_at_mut(len);
        rest = after;
        slot
    });
    // Up to the first whole cache line, then by whole lines: a vector that lies across two lines is
    // two accesses. What allocators return for a large vector has one phase, 16 bytes past a line
    // with glibc, so that the line of the parameter is usually that of gradient and state too.
    let head = param.as_ptr().align_offset(LINE).min(len);
    for range in [0..head, head..len] {
        for i in range {
            let p = param[i];
            let mut registers: [f32; SLOTS] = std::array::from_fn(|slot| slots[slot][i]);
            let u = formula.direction(grad_scale * grad[i] + l2 * p, &mut registers, at);
            for (slot, register) in slots.iter_mut().zip(registers) {
                slot[i] = register;
            }
            param[i] = p - (lr * u + decay * p);
        }
    }
}
