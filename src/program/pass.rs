//! This module makes a pass: launches with everything bound except the scalars, which each step brings along.

use std::ops::Range;

use super::moving::Moving;
use super::tables::{TablePlace, Words, entry, upload};
use crate::kernel::{Address, BLOCK, KernelSpec, Kernels, Pipeline, WINDOW};
use crate::model::Model;
use crate::num::Code;
use crate::plan::{GRAD, Launch};

/// A planned launch with its buffers.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) kernel: KernelSpec,
    pub(super) launch: Launch,
    /// For each variable of the kernel, the buffer. A gradient that moves has its buffer elsewhere.
    pub(super) buffers: Vec<wgpu::Buffer>,
    /// The other buffers of group 0, which are bound whole.
    pub(super) extra: Vec<(u32, wgpu::Buffer)>,
    /// The element that random bits count from, minus the parameter's own first element.
    pub(super) further: u32,
}

/// A launch with every binding that stays the same from step to step.
#[derive(Debug)]
pub(super) struct Recordable {
    pub(super) kernel: KernelSpec,
    pipeline: Pipeline,
    /// The bind group 0, once the tables exist.
    operands: Option<wgpu::BindGroup>,
    /// The ranges that group 0 binds besides tables; the ranges of operands come first.
    pub(super) bound: Vec<(u32, wgpu::Buffer, Range<u64>)>,
    pub(super) words: Words,
    /// The first block of scalars that the launch sees.
    pub(super) block: u32,
    grid: [u32; 2],
    pub(super) moving: Option<Moving>,
}

/// The launches of a pass.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The launches. Launches of one pipeline are neighbours.
    pub(super) launches: Vec<Recordable>,
    /// The ways of addressing that the launches use.
    pub(super) addresses: Vec<Address>,
    /// Whether some moving gradient is planned like a gradient that stays. Then every move makes the pass anew.
    pub(super) is_rigid: bool,
    /// The epoch of the gradients that the pass has followed.
    pub(super) grads_epoch: u64,
    pub(super) has_followed: bool,
}

impl Pass {
    /// Binds planned launches.
    pub(super) fn new(model: &Model, kernels: &mut Kernels, planned: Vec<Planned>) -> Self {
        let mut launches: Vec<Recordable> = Vec::with_capacity(planned.len());
        let words: Vec<Words> =
            (planned.iter()).map(|planned| Words::of(&planned.launch, planned.further)).collect();
        let is_still = |planned: &Planned| planned.kernel.address != Address::Moving;
        let still = planned.iter().zip(&words).filter(|(planned, _)| is_still(planned));
        let mut places = upload(&model.device, still.map(|(_, words)| words)).into_iter();
        for (planned, words) in planned.into_iter().zip(words) {
            let pipeline = kernels.get(&planned.kernel);
            let place = if is_still(&planned) { places.next() } else { None };
            let bound = bound(model, &planned, &pipeline);
            let operands = place.map(|place| bind(&model.device, &pipeline.layout, &place, &bound));
            let moving = (!is_still(&planned)).then(|| {
                let of = (&planned.kernel, &planned.launch.chunks[..]);
                Moving::new(kernels, of, &words)
            });
            let block = planned.launch.chunks.first().map_or(0, |chunk| chunk.block);
            let block = match planned.kernel.address {
                // Such a launch sees all blocks.
                Address::Moving => 0,
                Address::Direct => block,
                // All of them are of one window.
                Address::Table => block / WINDOW * WINDOW,
            };
            let grid = planned.launch.grid;
            let kernel = planned.kernel;
            launches.push(Recordable {
                kernel,
                pipeline,
                operands,
                bound,
                words,
                block,
                grid,
                moving,
            });
        }
        let mut addresses: Vec<Address> = Vec::new();
        for launch in &launches {
            if !addresses.contains(&launch.kernel.address) {
                addresses.push(launch.kernel.address);
            }
        }
        let has_followed = !addresses.contains(&Address::Moving);
        let grads_epoch = model.grads.epoch();
        Self { launches, addresses, is_rigid: false, grads_epoch, has_followed }
    }

    /// The number of dispatches.
    pub(super) fn len(&self) -> usize {
        self.launches.iter().filter(|launch| launch.is_ready()).count()
    }

    /// Records the launches. `scalars` binds group 1 for a launch. Commands that change nothing are left out, because
    /// with many launches they are much of the cost of recording.
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>, arguments: &Arguments<'_>) {
        let (mut pipeline, mut block) = (None, None);
        for launch in self.launches.iter().filter(|launch| launch.is_ready()) {
            let made = launch.moving.as_ref().map_or(&launch.pipeline, Moving::pipeline);
            if pipeline != Some(&made.pipeline) {
                pass.set_pipeline(&made.pipeline);
                pipeline = Some(&made.pipeline);
            }
            let address = launch.kernel.address;
            if block != Some((address, launch.block)) {
                match arguments {
                    Arguments::Same(group) => {
                        if block.is_none() {
                            pass.set_bind_group(1, *group, &[]);
                        }
                    }
                    Arguments::Blocks(scalars) => {
                        let offset = [launch.block * BLOCK as u32];
                        let dynamic = usize::from(address != Address::Moving);
                        pass.set_bind_group(1, scalars.of(address), &offset[..dynamic]);
                    }
                }
                block = Some((address, launch.block));
            }
            pass.set_bind_group(0, launch.operands.as_ref(), &[]);
            if let Some(moving) = &launch.moving {
                moving.bind(pass);
            }
            pass.dispatch_workgroups(launch.grid[0], launch.grid[1], 1);
        }
    }
}

impl Recordable {
    /// Whether the pass has launches.
    pub(super) fn is_ready(&self) -> bool {
        self.operands.is_some() && self.moving.as_ref().is_none_or(Moving::is_ready)
    }

    /// Takes another table.
    pub(super) fn set_tables(&mut self, device: &wgpu::Device, place: &TablePlace) {
        self.operands = Some(bind(device, &self.pipeline.layout, place, &self.bound));
    }
}

/// The bind group 1 of the launches of a pass.
pub(super) enum Arguments<'a> {
    /// One bind group for all launches.
    Same(&'a wgpu::BindGroup),
    /// The scalars of the cohorts that a launch sees.
    Blocks(&'a ScalarGroups),
}

/// One step's scalars, bound for each way of addressing that a pass has.
#[derive(Debug)]
pub(super) struct ScalarGroups([Option<wgpu::BindGroup>; 3]);

impl ScalarGroups {
    /// Binds `blocks` of `scalars` in the ways that `pass` needs.
    pub(super) fn new(
        device: &wgpu::Device,
        kernels: &Kernels,
        pass: &Pass,
        (scalars, blocks): (&wgpu::Buffer, usize),
    ) -> Self {
        Self(Address::ALL.map(|address| {
            pass.addresses.contains(&address).then(|| {
                let size = blocks_seen(address).unwrap_or(blocks) as u64 * BLOCK;
                device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some("wgpu-optim scalars"),
                    layout: kernels.scalars(address),
                    entries: &[entry(0, scalars, 0, size)],
                })
            })
        }))
    }

    fn of(&self, address: Address) -> Option<&wgpu::BindGroup> {
        self.0[address as usize].as_ref()
    }
}

/// Chooses how the workgroups of a launch find their elements. The launch `moves` if its gradients move.
pub(super) fn address(launch: &Launch, moves: bool) -> Address {
    match launch.shift {
        _ if moves => Address::Moving,
        None => Address::Direct,
        Some(_) => Address::Table,
    }
}

/// The number of blocks of scalars that a launch sees; `None` for all.
fn blocks_seen(address: Address) -> Option<usize> {
    match address {
        Address::Direct => Some(1),
        Address::Table => Some(WINDOW as usize),
        Address::Moving => None,
    }
}

/// The number of blocks for which a buffer of scalars needs room, so that every launch of `pass` can bind its window.
pub(super) fn room(pass: &Pass, cohorts: usize) -> usize {
    let seen = pass.addresses.iter().filter_map(|address| blocks_seen(*address));
    cohorts.next_multiple_of(seen.max().unwrap_or(1))
}

/// The ranges that group 0 of a planned launch binds besides tables.
fn bound(
    model: &Model,
    planned: &Planned,
    pipeline: &Pipeline,
) -> Vec<(u32, wgpu::Buffer, Range<u64>)> {
    let mut bound = Vec::new();
    for (variable, buffer) in pipeline.variables.iter().zip(&planned.buffers) {
        let alone = variable.operand == GRAD && planned.kernel.address == Address::Moving;
        if !alone {
            let bytes = match variable.code {
                Code::Blocks(_) => {
                    let Range { start, end } = planned.launch.state;
                    variable.code.bytes(start)..variable.code.bytes(end)
                }
                _ => planned.launch.bindings[variable.operand].clone(),
            };
            bound.push((variable.binding, buffer.clone(), bytes));
        }
    }
    let sums = pipeline.sums.zip(model.sums.made.clone());
    let uniforms = sums.into_iter().chain(pipeline.tables.clone());
    for (binding, buffer) in planned.extra.iter().cloned().chain(uniforms) {
        let size = buffer.size();
        bound.push((binding, buffer, 0..size));
    }
    bound
}

/// Binds group 0.
fn bind(
    device: &wgpu::Device,
    layout: &wgpu::BindGroupLayout,
    place: &TablePlace,
    bound: &[(u32, wgpu::Buffer, Range<u64>)],
) -> wgpu::BindGroup {
    let mut entries = place.entries();
    entries.extend(bound.iter().map(|(binding, buffer, bytes)| {
        entry(*binding, buffer, bytes.start, bytes.end - bytes.start)
    }));
    device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("wgpu-optim operands"),
        layout,
        entries: &entries,
    })
}
