//! This module records the passes before a step that depends on its gradients. The kernel `norm` looks at the
//! gradients. The kernel `prepare` decides whether the step is taken, counts it, and writes the scalars in place of
//! the host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use wgpu::util::DeviceExt;

use super::Epochs;
use super::control::{ControlWords, Counts, ROW_WORDS};
use super::norm::{self, Partials};
use super::pass::{Arguments, Pass, ScalarGroups, room};
use super::scalars::{self, StepArgs};
use super::series::Series;
use super::tables::entry;
use crate::kernel::{Address, BLOCK, BLOCK_WORDS, Kernels, WINDOW};
use crate::model::{Cohort, Model};

/// For each generation of a cohort, the least number of steps that it is known to have skipped.
pub(super) type KnownSkips = Arc<Mutex<HashMap<u32, u64>>>;

/// The number of steps that a cohort is known to have skipped.
pub(super) fn known(skips: &KnownSkips) -> impl Fn(&Cohort) -> u64 {
    let skips = skips.lock().unwrap_or_else(PoisonError::into_inner);
    move |cohort| skips.get(&cohort.generation).map_or(cohort.skipped, |n| cohort.skipped.max(*n))
}

/// The passes before the update.
#[derive(Debug, Default)]
pub(super) struct Decide {
    norms: Option<(Epochs, Pass)>,
    partials: Partials,
    pub(super) series: Series,
    bound: Option<Bound>,
    /// The skipped steps that a read-back has shown.
    pub(super) skips: KnownSkips,
}

/// The buffers of the kernel that decides.
#[derive(Debug)]
struct Bound {
    room: usize,
    sums: wgpu::Buffer,
    firsts: wgpu::Buffer,
    scalars: wgpu::Buffer,
    prepare: wgpu::BindGroup,
    groups: ScalarGroups,
    /// The epochs and the ways of addressing of the update that `groups` belong to.
    epochs: Epochs,
    addresses: Vec<Address>,
}

impl Decide {
    /// The launches of `norm`, if steps look at gradients.
    pub(super) fn norms(&self) -> Option<&Pass> {
        self.norms.as_ref().map(|(_, pass)| pass)
    }

    /// Brings the passes up to date with the model.
    pub(super) fn refresh(
        &mut self,
        model: &Model,
        kernels: &mut Kernels,
        (update, epochs): (&Pass, &Epochs),
        movable: u32,
    ) {
        let Some(controller) = &model.controller else { return };
        let is_new = |known: &Epochs| known.params != epochs.params;
        if self.bound.as_ref().is_none_or(|bound| is_new(&bound.epochs)) {
            self.bound = None;
            self.partials = norm::partials(model, kernels.bounds());
        }
        let cohorts = model.cohorts.all().len();
        // Room for a window of blocks, whatever launches see them.
        let wanted = room(update, cohorts).next_multiple_of(WINDOW as usize);
        let counted = model.cohorts.is_counted();
        let moved = counted && {
            let skips = self.skips.clone();
            self.series.refresh(model, known(&skips))
        };
        let fits = self.bound.as_ref().is_some_and(|bound| {
            let same = bound.epochs == *epochs && bound.addresses == update.addresses;
            same && bound.room >= wanted && !moved
        });
        if !fits {
            let old = self.bound.take();
            self.bound = Some(self.bind(model, kernels, (update, epochs), wanted, old));
        }
        let Some(bound) = &self.bound else { return };
        if !model.control.looks_at_gradients() {
            self.norms = None;
        } else if self.norms.as_ref().is_none_or(|(of, _)| of != epochs) {
            let fixed = [&bound.sums, controller];
            let pass = norm::plan(model, kernels, movable, &self.partials, fixed);
            self.norms = Some((epochs.clone(), pass));
        }
    }

    /// The pass of `norm`, for gradients that move.
    pub(super) fn norms_mut(&mut self) -> Option<&mut Pass> {
        self.norms.as_mut().map(|(_, pass)| pass)
    }

    /// Forgets the pass of `norm`, so that the next refresh makes it anew.
    pub(super) fn forget_norms(&mut self) {
        self.norms = None;
    }

    fn bind(
        &self,
        model: &Model,
        kernels: &mut Kernels,
        (update, epochs): (&Pass, &Epochs),
        wanted: usize,
        old: Option<Bound>,
    ) -> Bound {
        let device = &model.device;
        let buffer = |label, size: u64, usage| {
            let (label, usage) = (Some(label), usage | wgpu::BufferUsages::STORAGE);
            let size = size.max(16);
            let mapped_at_creation = false;
            device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation })
        };
        let none = wgpu::BufferUsages::empty();
        let kept = old.filter(|old| old.epochs.params == epochs.params);
        let (sums, firsts, scalars) = match kept {
            Some(old) if old.room >= wanted => {
                (old.sums, old.firsts, Some((old.room, old.scalars)))
            }
            Some(old) => (old.sums, old.firsts, None),
            None => {
                let words = &self.partials.firsts;
                let words = if words.is_empty() { &[0][..] } else { words };
                let firsts = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                    label: Some("wgpu-optim firsts"),
                    contents: bytemuck::cast_slice(words),
                    usage: wgpu::BufferUsages::STORAGE,
                });
                let size = u64::from(self.partials.count) * 16;
                (buffer("wgpu-optim partials", size, none), firsts, None)
            }
        };
        let (room, scalars) = scalars.unwrap_or_else(|| {
            let size = wanted as u64 * BLOCK;
            (wanted, buffer("wgpu-optim scalars", size, wgpu::BufferUsages::UNIFORM))
        });
        let empty = || buffer("wgpu-optim nothing", 16, none);
        let (values, dependents) = match &self.series.made {
            Some(made) => (made.values.clone(), made.dependents.clone()),
            None => (empty(), empty()),
        };
        let pipeline = kernels.prepare();
        let controller = model.controller.as_ref().map_or_else(empty, Clone::clone);
        let all = [&sums, &controller, &scalars, &values, &dependents, &firsts];
        let entries: Vec<_> =
            (0..).zip(all).map(|(at, buffer)| entry(at, buffer, 0, buffer.size())).collect();
        let prepare = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-optim prepare"),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let groups = ScalarGroups::new(device, kernels, update, (&scalars, room));
        let epochs = epochs.clone();
        let addresses = update.addresses.clone();
        Bound { room, sums, firsts, scalars, prepare, groups, epochs, addresses }
    }

    /// The number of dispatches before the update's.
    pub(super) fn dispatches(&self) -> usize {
        1 + self.norms().map_or(0, Pass::len)
    }

    /// Records a step that the GPU decides on. The scalars are those of a step that is taken.
    pub(super) fn record(
        &self,
        model: &Model,
        kernels: &mut Kernels,
        pass: &mut wgpu::ComputePass<'_>,
        (update, args): (&Pass, StepArgs),
        words: &mut Vec<u32>,
    ) {
        let Some(bound) = &self.bound else { return };
        let counted = model.cohorts.is_counted();
        let dependents = self.series.made.as_ref().filter(|_| counted).map_or(0, |made| made.count);
        let norms = self.norms().filter(|norms| norms.len() > 0);
        let partials = norms.map_or(0, |_| self.partials.count);
        let control = ControlWords::new(model, args, Counts { partials, dependents });
        words.clear();
        words.resize(BLOCK_WORDS, 0);
        // The GPU decides by how much gradients are scaled.
        scalars::write(model, args, None, words);
        let said = said(model, control, words);
        if let Some(norms) = norms {
            let group = bind(model, "wgpu-optim norm", kernels.arguments(), &[said.arguments()]);
            norms.record(pass, &Arguments::Same(&group));
        }
        bound.decide(model, kernels, pass, &said);
        update.record(pass, &Arguments::Blocks(&bound.groups));
    }
    /// Records a move that only the GPU knows whether to make: a parameter that has taken no step stays.
    pub(super) fn record_blend(
        &self,
        model: &Model,
        kernels: &mut Kernels,
        pass: &mut wgpu::ComputePass<'_>,
        blend: &Pass,
        words: &mut Vec<u32>,
    ) {
        let Some(bound) = &self.bound else { return };
        let args = StepArgs { multiplied: 1.0, sums: 0 };
        let counts = Counts { partials: 0, dependents: 0 };
        let control = ControlWords { peeks: 1, ..ControlWords::new(model, args, counts) };
        bound.decide(model, kernels, pass, &said(model, control, words));
        let groups = ScalarGroups::new(&model.device, kernels, blend, (&bound.scalars, bound.room));
        blend.record(pass, &Arguments::Blocks(&groups));
    }
}

impl Bound {
    /// Records the kernel that decides.
    fn decide(
        &self,
        model: &Model,
        kernels: &mut Kernels,
        pass: &mut wgpu::ComputePass<'_>,
        said: &SaidWords,
    ) {
        let given = entry(1, &said.buffer, BLOCK, said.buffer.size() - BLOCK);
        let given = bind(model, "wgpu-optim given", kernels.given(), &[said.arguments(), given]);
        pass.set_pipeline(&kernels.prepare().pipeline);
        pass.set_bind_group(0, &self.prepare, &[]);
        pass.set_bind_group(1, &given, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
}

/// The words of the host for one run of the kernel that decides: a block of arguments, the blocks of scalars, and a
/// row for each cohort.
struct SaidWords {
    buffer: wgpu::Buffer,
}

impl SaidWords {
    fn arguments(&self) -> wgpu::BindGroupEntry<'_> {
        entry(0, &self.buffer, 0, (ControlWords::NAMES.len() * 4) as u64)
    }
}

/// Puts the arguments into the first block of `words`, and the rows of the cohorts behind all blocks.
fn said(model: &Model, control: ControlWords, words: &mut Vec<u32>) -> SaidWords {
    words[..ControlWords::NAMES.len()].copy_from_slice(&control.words());
    for cohort in model.cohorts.all() {
        let parent = cohort.parent.map_or(super::control::NONE, |parent| parent as u32);
        let steps = model.steps_of(cohort) as u32;
        let running = cohort.is_running().into();
        let row: [u32; ROW_WORDS] = [steps, cohort.generation, parent, running];
        words.extend(row);
    }
    let buffer = model.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: Some("wgpu-optim step"),
        contents: bytemuck::cast_slice(words),
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE,
    });
    SaidWords { buffer }
}

fn bind(
    model: &Model,
    label: &str,
    layout: &wgpu::BindGroupLayout,
    entries: &[wgpu::BindGroupEntry<'_>],
) -> wgpu::BindGroup {
    let label = Some(label);
    model.device.create_bind_group(&wgpu::BindGroupDescriptor { label, layout, entries })
}
