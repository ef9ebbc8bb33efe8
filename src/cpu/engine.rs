//! This module steps groups on the CPU in f32: multithreaded, vectorized, in one pass over memory. Benchmarks compare
//! kernels with it, and programs can train with it without a GPU.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use crate::error::Error;
use crate::group::{DriverScalars, Group};
use crate::rule::{Lanes, Memory, slot_names};

/// The most elements that one task works on. Memory is read fastest in long runs, but all cores should share a short
/// parameter.
const CHUNK: RangeInclusive<usize> = 8192..=65536;

/// The number of chunks that a parameter is cut into, as far as [`CHUNK`] allows.
const CHUNKS: usize = 64;

/// The bytes of a cache line.
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
    /// The state, chunk after chunk, and in each chunk slot after slot. So the numbers of one task lie together.
    state: Vec<f32>,
    t: u64,
    memory: Memory,
    /// Whether the parameter is at the average that its rule keeps.
    is_eval: bool,
}

impl Cpu {
    /// State for a parameter of `len` elements, all zero.
    ///
    /// # Errors
    /// Every error of [`Group::check`].
    pub fn new(group: &Group, len: usize) -> Result<Self, Error> {
        group.check()?;
        let state = vec![0.0; len * group.rule.slots().len()];
        // Chunks have whole cache lines, so that each begins at the same place in a line.
        let chunk = (len / CHUNKS).clamp(*CHUNK.start(), *CHUNK.end());
        let chunk = chunk.next_multiple_of(LINE / size_of::<f32>());
        Ok(Self {
            group: group.clone(),
            len,
            chunk,
            state,
            t: 0,
            memory: Memory::default(),
            is_eval: false,
        })
    }

    /// One step.
    ///
    /// # Errors
    /// If `param` or `grad` is not as long as the state; then nothing has changed.
    pub fn step(&mut self, param: &mut [f32], grad: &[f32]) -> Result<(), Error> {
        self.check_len("parameter", param.len())?;
        self.check_len("gradient", grad.len())?;
        self.blend(param, false);
        self.t += 1;
        let group = self.group.now(self.t);
        let at = group.noted_at(self.t, &mut self.memory);
        let DriverScalars { lr, decay, l2, grad_scale, .. } = group.driver_scalars(self.t, None);
        let [lr, decay, l2, grad_scale] = [lr, decay, l2, grad_scale].map(|x| x as f32);
        let rule = &*group.rule;
        let slots = rule.slots();
        let step = |param: &mut [f32], grad: &[f32], state: &mut [f32]| {
            if at.t == 1 {
                for (slot, numbers) in slots.iter().zip(state.chunks_mut(param.len())) {
                    let pairs = numbers.iter_mut().zip(&*param);
                    pairs.for_each(|(number, p)| *number = slot.start.of(*p, at.lr));
                }
            }
            rule.fast(Lanes { param, grad, state, lr, decay, l2, grad_scale, at });
        };
        let chunks = param.par_chunks_mut(self.chunk).zip(grad.par_chunks(self.chunk));
        if slots.is_empty() {
            chunks.for_each(|(param, grad)| step(param, grad, &mut []));
        } else {
            let state = self.state.par_chunks_mut(self.chunk * slots.len());
            chunks.zip(state).for_each(|((param, grad), state)| step(param, grad, state));
        }
        Ok(())
    }

    /// Moves the parameter to the average that its rule keeps, as [`Optimizer::eval`](crate::Optimizer::eval).
    ///
    /// # Errors
    /// If `param` is not as long as the state; then nothing has changed.
    pub fn eval(&mut self, param: &mut [f32]) -> Result<(), Error> {
        self.check_len("parameter", param.len())?;
        self.blend(param, true);
        Ok(())
    }

    /// Moves the parameter back, as [`Optimizer::train`](crate::Optimizer::train). A step does so of its own accord.
    ///
    /// # Errors
    /// If `param` is not as long as the state; then nothing has changed.
    pub fn train(&mut self, param: &mut [f32]) -> Result<(), Error> {
        self.check_len("parameter", param.len())?;
        self.blend(param, false);
        Ok(())
    }

    fn check_len(&self, what: &'static str, has: usize) -> Result<(), Error> {
        if has == self.len {
            Ok(())
        } else {
            Err(Error::StateLength { what, has, state: self.len })
        }
    }

    fn blend(&mut self, param: &mut [f32], to_average: bool) {
        let rule = &self.group.rule;
        let Some(average) = rule.average().filter(|_| self.is_eval != to_average) else { return };
        self.is_eval = to_average;
        let slots = rule.slots().len();
        if self.t == 0 {
            return;
        }
        let state = self.state.par_chunks(self.chunk * slots);
        param.par_chunks_mut(self.chunk).zip(state).for_each(|(param, state)| {
            let towards = &state[average.slot * param.len()..];
            for (p, slot) in param.iter_mut().zip(towards) {
                *p = average.blend(*p, *slot, to_average);
            }
        });
    }

    /// Another learning rate from the next step on.
    ///
    /// # Errors
    /// If it is not a finite number, 0 or more.
    pub fn set_lr(&mut self, lr: f64) -> Result<(), Error> {
        let group = self.group.clone().lr(lr);
        group.check_rate()?;
        self.group = group;
        Ok(())
    }

    /// A slot of the state by its PyTorch name, or `None` if the rule keeps no such slot.
    pub fn state(&self, slot: &str) -> Option<Vec<f32>> {
        let slots = slot_names(&*self.group.rule);
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
