//! This module allocates state. A slab is the state of some parameters: one buffer for each operand.

use std::collections::HashSet;
use std::ops::Range;

use super::operand::{OPERANDS, Variable, variables};
use super::param::Spot;
use super::spec::{RuleKey, Spec};
use crate::num::WORD;
use crate::num::blocks::LONGEST;
use crate::plan::QUAD;
use crate::view::View;

/// The state of some parameters. Each operand that they need and the library owns has a buffer; all buffers have one
/// layout.
#[derive(Debug)]
struct StateSlab {
    buffers: Vec<(Variable, wgpu::Buffer)>,
    /// The number of elements in each buffer.
    elements: u64,
}

/// All slabs of an optimizer.
#[derive(Debug, Default)]
pub(crate) struct Slabs {
    all: Vec<StateSlab>,
    buffers: HashSet<wgpu::Buffer>,
}

impl Slabs {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Makes a slab of `elements` elements, with a buffer for each operand of `specs` that belongs into slabs.
    pub(crate) fn add(&mut self, device: &wgpu::Device, specs: &[Spec], elements: u64) {
        let mut slab = StateSlab { buffers: Vec::new(), elements };
        specs.iter().for_each(|spec| slab.extend(device, spec));
        self.all.push(slab);
        self.index();
    }

    /// The buffer of an operand in the slab of a parameter.
    pub(crate) fn buffer(&self, spot: Spot, operand: usize, index: usize) -> Option<&wgpu::Buffer> {
        self.all[spot.slab].buffer(operand, index)
    }

    /// The view of an operand of a parameter of `len` elements.
    pub(crate) fn view(&self, spot: Spot, operand: usize, index: usize, len: u64) -> Option<View> {
        self.all[spot.slab].view(operand, index, spot.at..spot.at + len)
    }

    /// Makes buffers in every slab for operands of `spec` that have none yet.
    pub(crate) fn extend(&mut self, device: &wgpu::Device, spec: &Spec) {
        self.all.iter_mut().for_each(|slab| slab.extend(device, spec));
        self.buffers.clear();
        self.index();
    }

    /// Drops the buffers of an operand.
    pub(crate) fn drop_operand(&mut self, operand: usize) {
        for slab in &mut self.all {
            slab.buffers.retain(|(variable, _)| variable.operand != operand);
        }
        self.buffers.clear();
        self.index();
    }

    /// Gives up the buffers of a slab. Its number stays.
    pub(crate) fn free(&mut self, slab: usize) {
        (self.all[slab].buffers, self.all[slab].elements) = (Vec::new(), 0);
        self.buffers.clear();
        self.index();
    }

    /// Drops the slabs after the first `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.all.truncate(len);
        self.buffers.clear();
        self.index();
    }

    /// The size of all buffers, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.buffers.iter().map(wgpu::Buffer::size).sum()
    }

    /// Whether `buffer` belongs to a slab.
    pub(crate) fn holds(&self, buffer: &wgpu::Buffer) -> bool {
        self.buffers.contains(buffer)
    }

    fn index(&mut self) {
        // After an addition, only the last slab is new.
        let known = !self.buffers.is_empty();
        let from = if known { self.all.len().saturating_sub(1) } else { 0 };
        let new = self.all[from..].iter().flat_map(|slab| &slab.buffers);
        self.buffers.extend(new.map(|(_, buffer)| buffer.clone()));
    }
}

/// The operands of a kernel that belong into slabs.
pub(crate) fn at_home(spec: &Spec) -> impl Iterator<Item = Variable> {
    variables(spec).into_iter().filter(|variable| OPERANDS[variable.operand].is_ours())
}

/// The bytes of `elements` elements in the largest operand that belongs into slabs.
pub(crate) fn largest_bytes(spec: &Spec, elements: u64) -> u64 {
    at_home(spec).map(|variable| variable.code.bytes(elements)).max().unwrap_or(0)
}

impl StateSlab {
    /// Makes buffers for operands of `spec` that have none yet.
    fn extend(&mut self, device: &wgpu::Device, spec: &Spec) {
        if self.elements == 0 {
            return;
        }
        for variable in at_home(spec) {
            if self.buffer(variable.operand, variable.index).is_some() {
                continue;
            }
            let slots = spec.rule.as_ref().map(RuleKey::slot_names).unwrap_or_default();
            let name = match slots.get(variable.index) {
                Some(name) if variable.operand == crate::plan::STATE => name,
                _ => variable.name.as_str(),
            };
            let buffer = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(&format!("wgpu-optim {name}")),
                size: variable.code.bytes(self.elements).next_multiple_of(WORD),
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            self.buffers.push((variable, buffer));
        }
    }

    fn buffer(&self, operand: usize, index: usize) -> Option<&wgpu::Buffer> {
        let is = |(variable, _): &&(Variable, wgpu::Buffer)| {
            (variable.operand, variable.index) == (operand, index)
        };
        self.buffers.iter().find(is).map(|(_, buffer)| buffer)
    }

    fn view(&self, operand: usize, index: usize, elements: Range<u64>) -> Option<View> {
        let buffer = self.buffer(operand, index)?;
        let (variable, _) = self.buffers.iter().find(|(_, own)| own == buffer)?;
        let elements = variable.code.viewed(elements);
        Some(View::whole(buffer, variable.code.format()).range(elements))
    }
}

/// The first element from `end` on at which the state of a parameter may begin: a block, or the parameter's place in
/// its quad, so that both can be read in quads.
pub(crate) fn next_place(spec: &Spec, end: u64, phase: u64) -> u64 {
    if spec.in_blocks() {
        return end.next_multiple_of(LONGEST);
    }
    end + (phase + QUAD - end % QUAD) % QUAD
}
