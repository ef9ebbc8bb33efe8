//! Steps that depend on their gradients: two kernels before the update's look at the gradients, decide,
//! count, and write the scalars that the host otherwise writes.

use std::sync::Arc;

use wgpu::util::DeviceExt;

use super::Optimizer;
use super::scalars::{Block, Steps, WORDS, age, scalars};
use crate::control::{Control, LossScale, Norm as Which};
use crate::group::Group;
use crate::kernel::{BLOCK, ControlKernels, EACH, Norm, WINDOW};
use crate::plan::{self, Bounds, Chunk, Launch, Piece, Role, Roles};
use crate::record::{Launches, StepScalars, Tables, entry, record};
use crate::view::View;

/// `Control` in `shaders/control/ledger.wgsl`, in words.
type Said = [u32; 16];

/// Words of `Ledger` in `shaders/control/ledger.wgsl` before the ages.
pub(super) const HEAD: usize = 8;

/// What is kept on the GPU, and how to work on it. Once there, it counts the steps: the host cannot know
/// how many were skipped.
#[derive(Debug)]
pub(super) struct Ledger {
    kernels: ControlKernels,
    /// `Ledger`, with an age for as many blocks as a table can name.
    pub(super) buffer: wgpu::Buffer,
    /// A loss scale that replaces the ledger's at the next step; 0 if there is none.
    pub(super) new_scale: f32,
    /// The first partial of each parameter, as the last step had them.
    pub(super) firsts: Vec<u32>,
    made: Option<Made>,
}

/// What depends on parameters, groups and options.
#[derive(Debug)]
struct Made {
    norms: Vec<NormLaunch>,
    partials: u32,
    series: Series,
    dependents: u32,
    prepare: wgpu::BindGroup,
    scalars: StepScalars,
}

#[derive(Debug)]
struct NormLaunch {
    pipeline: wgpu::ComputePipeline,
    bound: wgpu::BindGroup,
    grid: [u32; 2],
}

impl Ledger {
    /// With the steps that the host has counted so far, and room for this many blocks.
    pub(super) fn new(
        device: &wgpu::Device,
        bounds: Bounds,
        control: &Control,
        (groups, blocks, most): (&[Steps], &[Block], u64),
    ) -> Self {
        let mut words = vec![0_u32; HEAD + most as usize];
        words[0] = (control.loss_scale.initial() as f32).to_bits();
        words[2] = groups.iter().map(|steps| steps.taken).max().unwrap_or(0) as u32;
        for (word, block) in words[HEAD..].iter_mut().zip(blocks) {
            *word = age(groups, block) as u32;
        }
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("wgpu-optim ledger"),
            contents: bytemuck::cast_slice(&words),
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        });
        let kernels = ControlKernels::new(device, bounds);
        Self { kernels, buffer, new_scale: 0.0, firsts: Vec::new(), made: None }
    }

    /// After a change to parameters, gradients, groups or options.
    pub(super) fn forget(&mut self) {
        self.made = None;
    }

    /// After a change of learning rates alone.
    pub(super) fn forget_rates(&mut self) {
        if self.made.as_ref().is_some_and(|made| made.series.with_rate) {
            self.made = None;
        }
    }
}

impl Ledger {
    /// How many dispatches a step takes before the update's.
    pub(super) fn dispatches(&self) -> usize {
        1 + self.made.as_ref().map_or(0, |made| made.norms.len())
    }

    /// What the host says of the next step, in the words that a step's scalars follow. Gradients are
    /// `multiplied` times what they should be.
    pub(super) fn says(
        &mut self,
        control: &Control,
        multiplied: f64,
        blocks: usize,
    ) -> [u32; WORDS] {
        let (partials, dependents) =
            self.made.as_ref().map_or((0, 0), |made| (made.partials, made.dependents));
        let bits = |x: Option<f64>| (x.unwrap_or(0.0) as f32).to_bits();
        let (growth, backoff, interval) = match control.loss_scale {
            LossScale::Fixed(_) => (0.0, 0.0, 0),
            LossScale::Dynamic { growth, backoff, interval, .. } => (growth, backoff, interval),
        };
        let said: Said = [
            partials,
            blocks as u32,
            dependents,
            control.skips().into(),
            control.clip_norm.is_some().into(),
            bits(control.clip_norm),
            bits(control.clip_value.map(|limit| limit * multiplied)),
            std::mem::take(&mut self.new_scale).to_bits(),
            bits(Some(growth)),
            bits(Some(backoff)),
            interval,
            (control.norm == Which::Euclidean).into(),
            bits(Some(1.0 / multiplied)),
            0,
            0,
            0,
        ];
        std::array::from_fn(|i| said.get(i).copied().unwrap_or(0))
    }

    /// Records a step that the GPU decides on. `step` is what the host says, and the scalars as they are
    /// if every step is taken.
    pub(super) fn record(
        &self,
        device: &wgpu::Device,
        pass: &mut wgpu::ComputePass<'_>,
        step: &[u32],
        launches: &Launches,
    ) {
        let Some(made) = &self.made else { return };
        let step = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("wgpu-optim step"),
            contents: bytemuck::cast_slice(step),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE,
        });
        let bind = |layout, entries: &[wgpu::BindGroupEntry<'_>]| {
            let label = Some("wgpu-optim step");
            device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries })
        };
        let said = entry(0, &step, 0, size_of::<Said>() as u64);
        let given = entry(1, &step, BLOCK, step.size() - BLOCK);
        let [for_norms, for_prepare] = &self.kernels.step;
        if !made.norms.is_empty() {
            pass.set_bind_group(1, &bind(for_norms, std::slice::from_ref(&said)), &[]);
        }
        for NormLaunch { pipeline, bound, grid } in &made.norms {
            pass.set_pipeline(pipeline);
            pass.set_bind_group(0, bound, &[]);
            pass.dispatch_workgroups(grid[0], grid[1], 1);
        }
        pass.set_pipeline(&self.kernels.prepare.pipeline);
        pass.set_bind_group(0, &made.prepare, &[]);
        pass.set_bind_group(1, &bind(for_prepare, &[said, given]), &[]);
        pass.dispatch_workgroups(1, 1, 1);
        record(pass, launches, Some(&made.scalars));
    }
}

impl Optimizer {
    /// Makes what the next step needs of the ledger, if it is not there.
    pub(super) fn complete(&self, ledger: &mut Ledger) {
        let ages = self.blocks.iter().map(|block| age(&self.groups, block));
        let next = ages.max().unwrap_or(0) + 1;
        if let Some(launches) = &self.launches
            && ledger.made.as_ref().is_none_or(|made| made.series.reach < next)
        {
            ledger.made = Some(self.make(ledger, launches, next));
        }
    }

    fn make(&self, ledger: &mut Ledger, launches: &Launches, steps: u64) -> Made {
        let (series, dependents) = Series::new(&self.groups, &self.blocks, steps);
        // Once nothing depends on gradients any more, only the counting is left.
        let looks = self.control.looks_at_gradients();
        let (planned, firsts, partials) =
            if looks { self.plan_norms() } else { Default::default() };
        ledger.firsts = firsts;
        let device = &self.device;
        let buffer = |label, size: u64, usage| {
            let size = size.max(BLOCK);
            let usage = usage | wgpu::BufferUsages::STORAGE;
            let label = Some(label);
            let mapped_at_creation = false;
            device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
        };
        let uniform = wgpu::BufferUsages::UNIFORM;
        let room = (self.blocks.len() as u64).next_multiple_of(WINDOW.into()) * BLOCK;
        let scalars = buffer("wgpu-optim scalars", room, uniform);
        let summed =
            buffer("wgpu-optim partials", u64::from(partials) * 16, wgpu::BufferUsages::empty());
        let table = |label, contents: &[u8]| {
            let label = Some(label);
            let usage = wgpu::BufferUsages::STORAGE;
            // No binding is empty.
            let contents = if contents.is_empty() { &[0; 16][..] } else { contents };
            device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label, contents, usage })
        };
        let values = table("wgpu-optim series", bytemuck::cast_slice(&series.values));
        let rows = table("wgpu-optim dependents", bytemuck::cast_slice(&dependents));
        let prepare = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-optim prepare"),
            layout: &ledger.kernels.prepare.layout,
            entries: &[
                entry(0, &summed, 0, summed.size()),
                entry(1, &ledger.buffer, 0, ledger.buffer.size()),
                entry(2, &scalars, 0, scalars.size()),
                entry(3, &values, 0, values.size()),
                entry(4, &rows, 0, rows.size()),
            ],
        });
        let norms = self.bind_norms(ledger, &planned, &summed);
        let scalars = StepScalars::new(device, &scalars, launches, &self.kernels);
        let dependents = dependents.len() as u32;
        Made { norms, partials, series, dependents, prepare, scalars }
    }

    /// Launches over all gradients, parameter by parameter: where each lies, the first partial of each
    /// parameter, and how many there are.
    fn plan_norms(&self) -> (Vec<(View, Launch)>, Vec<u32>, u32) {
        let mut together = super::state::Buckets::new();
        for (i, param) in self.params.iter().enumerate() {
            let grad = self.gradient(param);
            // A block of its own, so that no two parameters' gradients are summed together.
            let at = Roles([grad.at(); plan::ROLES]);
            let piece = Piece { at, len: grad.len, block: i as u32 };
            let key = (grad.buffer.clone(), grad.format);
            together.entry(key, || (grad, Vec::new())).1.push(piece);
        }
        let bounds = Bounds { each: EACH, ..self.bounds };
        let mut launches = Vec::new();
        for (of, pieces) in together.into_buckets() {
            let sizes = Roles([of.format.bytes(); plan::ROLES]);
            let planned = plan::launches(pieces, sizes, bounds);
            launches.extend(planned.into_iter().map(|launch| (of.clone(), launch)));
        }
        // In the parameters' order, so that the first bad partial is of the first bad parameter.
        let mut chunks: Vec<&mut Chunk> =
            launches.iter_mut().flat_map(|(_, launch)| launch.work.chunks_mut()).collect();
        chunks.sort_by_key(|chunk| chunk.block);
        let (mut firsts, mut partials) = (vec![0; self.params.len()], 0);
        let mut last = None;
        for chunk in chunks {
            let param = chunk.block as usize;
            if last.replace(param) != Some(param) {
                firsts[param] = partials;
            }
            // The kernel reads it in the place of the parameter's.
            chunk.at = chunk.at.with(Role::Param, partials);
            chunk.block = 0;
            partials += u64::from(chunk.length).div_ceil(bounds.invocations * EACH) as u32;
        }
        (launches, firsts, partials)
    }

    fn bind_norms(
        &self,
        ledger: &mut Ledger,
        launches: &[(View, Launch)],
        partials: &wgpu::Buffer,
    ) -> Vec<NormLaunch> {
        let (tables, places) = Tables::of(&self.device, launches.iter().map(|(_, launch)| launch));
        let Some(tables) = tables else { return Vec::new() };
        let clip_value = self.control.clip_value.is_some();
        let bind = |((of, launch), place): (&(View, Launch), crate::record::Place)| {
            let address = launch.work.address();
            let View { buffer: grads, format, .. } = of;
            let norm = Norm { width: launch.width, address, format: *format, clip_value };
            let made = ledger.kernels.norm(norm);
            let grad = &launch.bindings[Role::Grad];
            let mut entries = place.entries(&tables);
            entries.extend([
                entry(2, partials, 0, partials.size()),
                entry(3, grads, grad.start, grad.end - grad.start),
                entry(4, &ledger.buffer, 0, ledger.buffer.size()),
            ]);
            let bound = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgpu-optim norm"),
                layout: &made.layout,
                entries: &entries,
            });
            NormLaunch { pipeline: made.pipeline, bound, grid: launch.grid }
        };
        launches.iter().zip(places).map(bind).collect()
    }
}

/// Scalars of every block that depend on the number of steps taken, for 1, 2, 3, … steps: computed
/// here in f64, because the GPU has none, and picked there.
#[derive(Debug)]
struct Series {
    values: Vec<f32>,
    /// The most steps it is good for.
    reach: u64,
    /// Whether the learning rate is in it.
    with_rate: bool,
}

/// `dependents` in `shaders/control/prepare.wgsl`: word, block, first of its series, their number.
type Dependent = [u32; 4];

/// A rule's scalars that are in a series.
struct Columns {
    /// Which word of a block, the first of its series, their number.
    places: Vec<[u32; 3]>,
    /// Whether the learning rate is in one of them.
    with_rate: bool,
}

/// Steps that a series has at first.
const SHORTEST: u64 = 1024;

impl Series {
    fn new(groups: &[Steps], blocks: &[Block], steps: u64) -> (Self, Vec<Dependent>) {
        let steps = (2 * steps).max(SHORTEST);
        let mut all = Self { values: Vec::new(), reach: u64::MAX, with_rate: false };
        let mut dependents = Vec::new();
        // Groups that share a rule share a series, and their learning rate if that matters.
        let mut known: Vec<(usize, Columns)> = Vec::new();
        for (number, block) in blocks.iter().enumerate() {
            let group = &groups[block.group].group;
            let same = |(of, columns): &(usize, Columns)| {
                let other = &groups[*of].group;
                let alike = other.ema == group.ema && (!columns.with_rate || other.lr == group.lr);
                Arc::ptr_eq(&other.rule, &group.rule) && alike
            };
            let found = known.iter().position(same).unwrap_or_else(|| {
                known.push((block.group, all.add(&groups[block.group], steps)));
                known.len() - 1
            });
            for &[column, first, len] in &known[found].1.places {
                let word = (number * WORDS) as u32 + column;
                dependents.push([word, number as u32, first, len]);
            }
        }
        (all, dependents)
    }

    /// Adds the scalars of a rule that are not always the same.
    fn add(&mut self, of: &Steps, steps: u64) -> Columns {
        let Steps { group, declared, .. } = of;
        let at = |group: &Group, t| scalars(group, declared, t, None);
        let rows: Vec<_> = (1..=steps).map(|t| at(group, t)).collect();
        // Where it has long settled. Nobody takes 2⁴⁰ steps.
        let settled = at(group, 1 << 40);
        let other = group.clone().lr(2.0 * group.lr + 1.0);
        let other_rate: Vec<_> = [1, 2, steps].map(|t| at(&other, t)).into();
        let mut columns = Columns { places: Vec::new(), with_rate: false };
        for column in 0..WORDS {
            let is = |row: &[u32; WORDS]| row[column];
            let Some(moving) = rows.iter().rposition(|row| is(row) != is(&settled)) else {
                continue;
            };
            if moving + 1 == rows.len() {
                self.reach = self.reach.min(steps);
            }
            // And the first that is settled, which stands for all to come.
            let kept = &rows[..(moving + 2).min(rows.len())];
            let here = [1, 2, steps].map(|t| is(&rows[t as usize - 1]));
            columns.with_rate |= other_rate.iter().map(is).ne(here);
            columns.places.push([column as u32, self.values.len() as u32, kept.len() as u32]);
            self.values.extend(kept.iter().map(|row| f32::from_bits(is(row))));
        }
        self.with_rate |= columns.with_rate;
        columns
    }
}
