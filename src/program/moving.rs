//! This module handles gradients that move from step to step, or are absent.
//!
//! A launch over such gradients always has a table, and binds the gradients in a bind group of their own. If a
//! gradient moves inside its buffer, the table is written anew. If it moves to another buffer, that buffer is bound.
//! Nothing is planned again.

use std::collections::HashMap;

use super::tables::{Words, entry};
use crate::kernel::{KernelSpec, Kernels, Pipeline};
use crate::model::{Body, Model};
use crate::num::WORD;
use crate::plan::{ANYONE, Chunk, QUAD, Width};

/// `ABSENT` in `shaders/prelude.wgsl`.
pub(super) const ABSENT: u32 = 1;

/// The part of a launch that changes with its gradients.
#[derive(Debug)]
pub(super) struct Moving {
    /// The kernel for gradients in phase with their parameters, and the kernel for all other gradients.
    pipelines: [Pipeline; 2],
    kernel: KernelSpec,
    /// For each chunk, the parameter and the chunk's first element in it.
    owners: Vec<(u32, u64)>,
    /// For each chunk, the length in `real`s.
    lengths: Vec<u32>,
    words: Words,
    is_loose: bool,
    grads: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    /// Whether the table has ever been made.
    is_made: bool,
}

impl Moving {
    pub(super) fn new(
        kernels: &mut Kernels,
        (kernel, chunks): (&KernelSpec, &[Chunk]),
        words: &Words,
    ) -> Self {
        let kernel = kernel.clone();
        let width = if kernel.width == Width::Vec4 { Width::Loose } else { kernel.width };
        let loose = KernelSpec { width, ..kernel.clone() };
        let pipelines = [&kernel, &loose].map(|kernel| kernels.get(kernel));
        let owners = chunks.iter().map(|chunk| (chunk.owner, chunk.from)).collect();
        let lengths = chunks.iter().map(|chunk| chunk.length).collect();
        let words = words.clone();
        Self {
            pipelines,
            kernel,
            owners,
            lengths,
            words,
            is_loose: false,
            grads: None,
            is_made: false,
        }
    }

    /// Whether the launch takes sums in place of gradients.
    pub(super) fn is_summed(&self) -> bool {
        self.kernel.spec.summed
    }

    pub(super) fn pipeline(&self) -> &Pipeline {
        &self.pipelines[usize::from(self.is_loose)]
    }

    /// Whether some parameter of the launch has a gradient.
    pub(super) fn is_ready(&self) -> bool {
        self.grads.is_some()
    }

    pub(super) fn bind(&self, pass: &mut wgpu::ComputePass<'_>) {
        let grads = self.grads.as_ref().map(|(_, group)| group);
        pass.set_bind_group(2, grads, &[]);
    }

    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    pub(super) fn buffer(&self) -> Option<&wgpu::Buffer> {
        self.grads.as_ref().map(|(buffer, _)| buffer)
    }

    pub(super) fn width(&self) -> Width {
        if self.is_loose && self.kernel.width == Width::Vec4 {
            Width::Loose
        } else {
            self.kernel.width
        }
    }

    /// Takes the places of gradients from the model. Returns `None` if the gradients lie in several buffers, which one
    /// launch cannot bind. Otherwise returns whether the table has changed.
    pub(super) fn follow(
        &mut self,
        model: &Model,
        kernels: &Kernels,
        groups: &mut GradGroups,
    ) -> Option<bool> {
        let grads = &model.grads;
        let is_step = self.kernel.spec.is_step();
        let absent = match self.kernel.spec.body {
            Body::Norm | Body::Accumulate => Some(ABSENT << 16),
            _ => None,
        };
        let vec4 = self.kernel.width == Width::Vec4;
        let mut buffer: Option<&wgpu::Buffer> = None;
        let mut phases = 0;
        let summed = self.kernel.spec.summed;
        for &(owner, from) in &self.owners {
            if let Some((lies, at)) = model.gradient_at(owner as usize, summed) {
                if buffer.is_some_and(|other| other != lies) {
                    return None;
                }
                buffer = Some(lies);
                phases |= at + from;
            }
        }
        self.is_loose = vec4 && phases % QUAD != 0;
        let stride = if vec4 && !self.is_loose { QUAD } else { 1 };
        let mut changed = !std::mem::replace(&mut self.is_made, true);
        let rows = self.words.chunks.iter_mut().zip(&self.owners).zip(&self.lengths);
        for ((row, &(owner, from)), &length) in rows {
            let grad = &grads[owner as usize];
            let block = if is_step { (grad.cohort as u32) << 16 } else { 0 };
            let (place, word) = match model.gradient_at(owner as usize, summed) {
                Some((_, at)) => (((at + from) / stride) as u32, block | length),
                None => (0, absent.map_or(0, |absent| absent | length)),
            };
            changed |= row[1] != place || row[3] != word;
            row[1] = place;
            row[3] = word;
        }
        match buffer {
            None => {
                // Norms and sums take absent gradients for zeros, but every binding needs a buffer.
                if absent.is_none() {
                    self.grads = None;
                } else {
                    self.grads = groups.nothing(&model.device, kernels);
                }
            }
            Some(buffer) if self.buffer() == Some(buffer) => {}
            Some(buffer) => {
                let group = groups.get(&model.device, kernels, buffer)?;
                self.grads = Some((buffer.clone(), group));
            }
        }
        Some(changed)
    }
}

/// The number of earlier sets of gradients whose bind groups are kept. Callers that allocate from a pool come back to
/// a buffer after a few steps. More sets would keep more of the caller's memory alive.
const KEPT: u64 = 3;

/// The bind groups of the buffers in the last sets of gradients.
#[derive(Debug, Default)]
pub(super) struct GradGroups {
    known: HashMap<wgpu::Buffer, (wgpu::BindGroup, u64)>,
    turn: u64,
    nothing: Option<wgpu::Buffer>,
    /// Whether gradients are bound to be written.
    written: bool,
}

impl GradGroups {
    /// The bind group of a buffer, made when it is first needed. `None` if one binding cannot hold the buffer.
    pub(super) fn get(
        &mut self,
        device: &wgpu::Device,
        kernels: &Kernels,
        buffer: &wgpu::Buffer,
    ) -> Option<wgpu::BindGroup> {
        self.keep(device, kernels, buffer);
        self.known.get(buffer).map(|(group, _)| group.clone())
    }

    /// The bind group of a buffer that no kernel reads.
    fn nothing(
        &mut self,
        device: &wgpu::Device,
        kernels: &Kernels,
    ) -> Option<(wgpu::Buffer, wgpu::BindGroup)> {
        let buffer = self.nothing.get_or_insert_with(|| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgpu-optim nothing"),
                size: 16,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        });
        let buffer = buffer.clone();
        let group = self.get(device, kernels, &buffer)?;
        Some((buffer, group))
    }

    /// Whether a buffer has a bind group.
    pub(super) fn knows(&self, buffer: &wgpu::Buffer) -> bool {
        self.known.contains_key(buffer)
    }

    /// Begins another set of gradients.
    pub(super) fn turn(&mut self) {
        self.turn += 1;
        let turn = self.turn;
        self.known.retain(|_, (_, last)| turn - *last <= KEPT);
    }

    /// Keeps the bind group of a buffer of gradients. Returns false if one binding cannot hold the buffer.
    pub(super) fn keep(
        &mut self,
        device: &wgpu::Device,
        kernels: &Kernels,
        buffer: &wgpu::Buffer,
    ) -> bool {
        let turn = self.turn;
        if let Some((_, last)) = self.known.get_mut(buffer) {
            *last = turn;
            return true;
        }
        if buffer.size() > kernels.bounds().binding {
            return false;
        }
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-optim gradients"),
            layout: kernels.grads(self.written),
            entries: &[entry(0, buffer, 0, buffer.size() / WORD * WORD)],
        });
        self.known.insert(buffer.clone(), (group, turn));
        true
    }

    /// Forgets the bind group of a buffer that the device cannot bind.
    pub(super) fn forget(&mut self, buffer: &wgpu::Buffer) {
        self.known.remove(buffer);
    }

    /// Forgets all bind groups if the access to gradients changes.
    pub(super) fn set_written(&mut self, written: bool) -> bool {
        let other = self.written != written;
        if other {
            self.written = written;
            self.known.clear();
        }
        other
    }
}

/// Whether pieces of one parameter are not merged with pieces of another.
pub(super) fn owner(index: usize, moves: bool) -> u32 {
    if moves { index as u32 } else { ANYONE }
}
