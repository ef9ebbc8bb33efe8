//! This module derives the program from the model: launches, bind groups and tables. It compares epochs, and makes
//! anew each part whose epochs have passed. So nobody invalidates anything by hand.

mod control;
mod decide;
mod effects;
mod follow;
mod moving;
mod norm;
mod pass;
mod scalars;
mod series;
mod tables;
mod update;

use wgpu::util::DeviceExt;

pub(crate) use control::{CLOCK_WORDS, CONTROL_NAMES, ControllerWords, NONE, ROW_WORDS};
use decide::{Decide, KnownSkips};
use moving::GradGroups;
pub(crate) use norm::partials_of;
use pass::{Arguments, Pass, ScalarGroups, room};
use scalars::StepArgs;
pub(crate) use series::dependents;
use tables::entry;
pub(crate) use update::too_near;

use crate::kernel::{BLOCK_WORDS, Kernels};
use crate::model::{Cohort, Model};
use crate::plan::Bounds;

/// Everything that is derived.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) kernels: Kernels,
    grads: GradGroups,
    /// The bind groups of sums, for a step that takes sums in place of gradients.
    sum_grads: GradGroups,
    /// The number of storage buffers that a launch over moving gradients may bind; 0 if the device has too few bind
    /// groups.
    movable: u32,
    update: Option<(Epochs, Pass)>,
    sums: Option<(Epochs, Pass)>,
    /// The moves to averages and back, and the epoch of the gradients, which decide the cohorts.
    blend: Option<(Epochs, u64, Pass)>,
    mark: Option<wgpu::BindGroup>,
    decide: Decide,
    words: Vec<u32>,
}

/// The state of the model that launches were planned for.
#[derive(Clone, Debug, Default, PartialEq)]
struct Epochs {
    params: u64,
    kinds: u64,
    /// The options that are part of kernels: clipping by value, and clearing.
    control: [bool; 2],
    sums: u64,
}

impl Epochs {
    fn of(model: &Model) -> Self {
        let control = &model.control;
        Self {
            params: model.params.epoch(),
            kinds: model.kinds.epoch(),
            control: [control.clip_value.is_some(), control.zero_grad],
            sums: model.sums.taken.epoch(),
        }
    }
}

impl Program {
    pub(crate) fn new(device: &wgpu::Device, bounds: Bounds) -> Self {
        let limits = device.limits();
        let groups = crate::kernel::Address::Moving.groups();
        let movable = match limits.max_bind_groups >= groups {
            true => limits.max_storage_buffers_per_shader_stage,
            false => 0,
        };
        Self {
            kernels: Kernels::new(device, bounds),
            grads: GradGroups::default(),
            sum_grads: GradGroups::default(),
            movable,
            update: None,
            sums: None,
            blend: None,
            mark: None,
            decide: Decide::default(),
            words: Vec::new(),
        }
    }

    /// Brings everything that a step records up to date with the model.
    pub(crate) fn refresh(&mut self, model: &Model) {
        self.bind_grads_as(model.control.zero_grad);
        let epochs = Epochs::of(model);
        let Self { kernels, grads, sum_grads, movable, update, decide, .. } = self;
        let fresh =
            |update: &Option<(Epochs, Pass)>| update.as_ref().is_some_and(|(of, _)| *of == epochs);
        if !fresh(update) {
            *update = Some((epochs.clone(), update::plan(model, kernels, *movable, false)));
        }
        if let Some((_, pass)) = update
            && !pass.follow(model, kernels, [grads, sum_grads])
        {
            let mut pass = update::plan(model, kernels, *movable, false);
            pass.follow(model, kernels, [grads, sum_grads]);
            *update = Some((epochs.clone(), pass));
        }
        let Some((of, pass)) = update else { return };
        if !model.is_controlled() {
            return;
        }
        decide.refresh(model, kernels, (pass, of), *movable);
        if let Some(norms) = decide.norms_mut()
            && !norms.follow(model, kernels, [grads, sum_grads])
        {
            decide.forget_norms();
            decide.refresh(model, kernels, (pass, of), *movable);
            if let Some(norms) = decide.norms_mut() {
                norms.follow(model, kernels, [grads, sum_grads]);
            }
        }
    }

    /// Binds gradients that move to be written, or only to be read.
    fn bind_grads_as(&mut self, written: bool) {
        if self.grads.set_written(written) {
            self.forget();
        }
    }

    /// Brings everything that an accumulation records up to date with the model.
    pub(crate) fn refresh_sums(&mut self, model: &Model) {
        self.bind_grads_as(model.control.zero_grad);
        let mut epochs = Epochs::of(model);
        // Sums depend neither on the step that takes them nor on rules.
        (epochs.sums, epochs.kinds, epochs.control[0]) = (0, 0, false);
        let Self { kernels, grads, sum_grads, movable, sums, .. } = self;
        if sums.as_ref().is_none_or(|(of, _)| *of != epochs) {
            *sums = Some((epochs.clone(), update::plan_sums(model, kernels, *movable)));
        }
        if let Some((_, pass)) = sums
            && !pass.follow(model, kernels, [grads, sum_grads])
        {
            let mut pass = update::plan_sums(model, kernels, *movable);
            pass.follow(model, kernels, [grads, sum_grads]);
            *sums = Some((epochs, pass));
        }
        if let Some(made) = &model.sums.made {
            let pipeline = kernels.mark();
            self.mark.get_or_insert_with(|| {
                model.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some("wgpu-optim mark"),
                    layout: &pipeline.layout,
                    entries: &[entry(0, made, 0, made.size())],
                })
            });
        }
    }

    /// Drops everything, so that the next refresh begins from nothing.
    pub(crate) fn forget(&mut self) {
        (self.update, self.sums, self.blend) = (None, None, None);
        self.decide.forget_norms();
    }

    /// Whether this program has the effects of a program that is made from the model now.
    pub(crate) fn equals_a_new_one(&self, model: &Model) -> bool {
        let mut new = Self {
            kernels: self.kernels.clone(),
            movable: self.movable,
            ..Self::new(&model.device, self.kernels.bounds())
        };
        new.refresh(model);
        if self.sums.is_some() {
            new.refresh_sums(model);
        }
        let same = |own: &Option<(Epochs, Pass)>, new: &Option<(Epochs, Pass)>| {
            let [own, new] = [own, new].map(|of| of.as_ref().map(|(_, pass)| pass));
            effects::are_same(own, new)
        };
        let is_fresh = |(of, grads, _): &&(Epochs, u64, Pass)| {
            (of, *grads) == (&Epochs::of(model), model.grads.epoch())
        };
        let blend = self.blend.as_ref().filter(is_fresh).map(|(.., pass)| pass);
        let anew = blend.map(|_| update::plan(model, &mut new.kernels, new.movable, true));
        effects::are_same(blend, anew.as_ref())
            && same(&self.update, &new.update)
            && same(&self.sums, &new.sums)
            && effects::are_same(self.decide.norms(), new.decide.norms())
    }

    /// The number of dispatches of a step.
    pub(crate) fn dispatches(&self, model: &Model) -> usize {
        let updates = self.update.as_ref().map_or(0, |(_, pass)| pass.len());
        let deciding = model.is_controlled() && updates > 0;
        updates + if deciding { self.decide.dispatches() } else { 0 }
    }

    /// The number of steps that a cohort is known to have skipped.
    pub(crate) fn skipped(&self) -> impl Fn(&Cohort) -> u64 {
        decide::known(&self.decide.skips)
    }

    /// The notes about skipped steps, which a read-back fills in.
    pub(crate) fn known_skips(&self) -> &KnownSkips {
        &self.decide.skips
    }

    /// Whether a buffer that gradients lie in has been bound.
    pub(crate) fn knows_grads(&self, buffer: &wgpu::Buffer) -> bool {
        self.grads.knows(buffer)
    }

    /// Begins another set of gradients.
    pub(crate) fn turn_grads(&mut self) {
        self.grads.turn();
    }

    /// Binds a buffer of gradients, or keeps it bound. Returns false if one binding cannot hold the buffer.
    pub(crate) fn keep_grads(&mut self, device: &wgpu::Device, buffer: &wgpu::Buffer) -> bool {
        self.grads.keep(device, &self.kernels, buffer)
    }

    /// Forgets a buffer that the device cannot bind.
    pub(crate) fn forget_grads(&mut self, buffer: &wgpu::Buffer) {
        self.grads.forget(buffer);
    }

    /// Records a step. The caller has counted its clocks. The buffers hold `multiplied` times the gradients.
    pub(crate) fn record(
        &mut self,
        model: &Model,
        pass: &mut wgpu::ComputePass<'_>,
        multiplied: f64,
    ) {
        let args = StepArgs::of(model, multiplied);
        let Self { kernels, update, decide, words, .. } = self;
        let Some((_, update)) = update.as_ref().filter(|(_, update)| update.len() > 0) else {
            return;
        };
        if model.is_controlled() {
            decide.record(model, kernels, pass, (update, args), words);
            return;
        }
        words.clear();
        scalars::write(model, args, Some(&model.control), words);
        record_blocks(model, kernels, pass, update, words);
    }

    /// Records the move of all parameters to the averages that their rules keep, or back.
    pub(crate) fn record_blend(
        &mut self,
        model: &Model,
        pass: &mut wgpu::ComputePass<'_>,
        to_average: bool,
    ) {
        let epochs = Epochs::of(model);
        let Self { kernels, movable, blend, decide, words, .. } = self;
        let grads = model.grads.epoch();
        if blend.as_ref().is_none_or(|(of, at, _)| *of != epochs || *at != grads) {
            *blend = Some((epochs, grads, update::plan(model, kernels, *movable, true)));
        }
        let Some((.., blend)) = blend.as_ref().filter(|(.., blend)| blend.len() > 0) else {
            return;
        };
        words.clear();
        if model.cohorts.is_counted() {
            words.resize(BLOCK_WORDS, 0);
            scalars::write_blend(model, to_average, words);
            decide.record_blend(model, kernels, pass, blend, words);
            return;
        }
        scalars::write_blend(model, to_average, words);
        record_blocks(model, kernels, pass, blend, words);
    }

    /// Records the launches that add gradients to the sums of the model's generation.
    pub(crate) fn record_sums(&mut self, model: &Model, pass: &mut wgpu::ComputePass<'_>) {
        let (Some((_, sums)), Some(mark)) = (&self.sums, &self.mark) else { return };
        let now = model.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("wgpu-optim generation"),
            contents: bytemuck::cast_slice(&[model.sums.generation, 0, 0, 0]),
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let group = model.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-optim generation"),
            layout: self.kernels.arguments(),
            entries: &[entry(0, &now, 0, now.size())],
        });
        sums.record(pass, &Arguments::Same(&group));
        pass.set_pipeline(&self.kernels.mark().pipeline);
        pass.set_bind_group(0, mark, &[]);
        pass.set_bind_group(1, &group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
    }
}

/// Records launches that see these blocks of scalars.
fn record_blocks(
    model: &Model,
    kernels: &Kernels,
    pass: &mut wgpu::ComputePass<'_>,
    launches: &Pass,
    words: &mut Vec<u32>,
) {
    let cohorts = model.cohorts.all().len();
    words.resize(room(launches, cohorts) * BLOCK_WORDS, 0);
    // The buffer is fresh, because a later step in the same encoder has other scalars.
    let scalars = model.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: Some("wgpu-optim scalars"),
        contents: bytemuck::cast_slice(words),
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE,
    });
    let groups = ScalarGroups::new(&model.device, kernels, launches, (&scalars, cohorts));
    launches.record(pass, &Arguments::Blocks(&groups));
}

#[cfg(test)]
mod tests;
