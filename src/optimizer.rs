//! The optimizer: parameters in groups, their state, and the recording of steps.

mod accumulate;
mod check;
mod control;
mod device;
mod ledger;
mod params;
mod scalars;
mod state;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use scalars::{Block, Steps, fill_window, write_scalars};

use wgpu::util::DeviceExt;

use crate::claims::Claims;
use crate::control::Control;
use crate::error::Error;
use crate::group::Group;
use crate::kernel::{Body, Kernels, Kind};
use crate::num::Master;
use crate::plan::Bounds;
use crate::record::{Launches, StepScalars, record};
use crate::rule::slot_names;
use crate::view::View;

/// The next optimizer's serial number.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// A group of an [`Optimizer`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct GroupId {
    optimizer: u64,
    index: usize,
}

/// A parameter of an [`Optimizer`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ParamId {
    optimizer: u64,
    index: usize,
}

/// Updates parameters that live in your buffers, by kernels recorded into your encoder.
///
/// It owns the state (`exp_avg`, …) and nothing else: it submits nothing, waits for nothing, installs
/// no handlers, and needs no features and only WebGPU's default limits of the device.
///
/// Parameters that lie in one buffer, with their gradients in one buffer, are updated by at most two
/// dispatches for each rule and combination of its switches and each 32 groups, whatever their number,
/// as far as one binding reaches; parameters with buffers of their own by at most two each. Whole
/// quadruples go four elements to an invocation. What is left at either end goes one by one, and so does
/// a parameter whose gradient stands at another place in its quadruple.
///
/// On one device, driver and set of parameters the results are the same bits from run to run, and
/// recording any number of steps into one encoder gives the bits of submitting each alone.
#[derive(Debug)]
pub struct Optimizer {
    /// Tells its ids from another optimizer's.
    serial: u64,
    device: wgpu::Device,
    bounds: Bounds,
    kernels: Kernels,
    body: Body,
    groups: Vec<Steps>,
    blocks: Vec<Block>,
    params: Vec<Param>,
    names: HashMap<String, usize>,
    claims: Claims,
    pages: Vec<state::Page>,
    /// Parameters before this one have state.
    with_state: usize,
    /// What a step records, until a parameter, gradient or rule changes.
    launches: Option<Launches>,
    /// What those take for gradients.
    source: Source,
    sums: accumulate::Sums,
    scratch: Vec<u32>,
    control: Control,
    /// Once steps have depended on their gradients.
    ledger: Option<ledger::Ledger>,
}

/// Where a step finds gradients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    /// Where the caller has them.
    Grads,
    /// Where they were added up.
    Sums,
}

#[derive(Debug)]
struct Param {
    name: String,
    block: usize,
    param: View,
    grad: View,
    copy: Option<View>,
    master: Master,
    state: Option<state::Place>,
}

impl Optimizer {
    /// An optimizer without parameters. Records with `device` only; its limits are respected as they are.
    pub fn new(device: &wgpu::Device) -> Self {
        let bounds = device::bounds(&device.limits());
        Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            device: device.clone(),
            bounds,
            kernels: Kernels::new(device, bounds),
            body: Body::Update,
            groups: Vec::new(),
            blocks: Vec::new(),
            params: Vec::new(),
            names: HashMap::new(),
            claims: Claims::default(),
            pages: Vec::new(),
            with_state: 0,
            launches: None,
            source: Source::Grads,
            sums: accumulate::Sums::default(),
            scratch: Vec::new(),
            control: Control::default(),
            ledger: None,
        }
    }

    /// The yardstick of a benchmark: records the same launches over the same bytes, but each writes
    /// sums of what it read in place of a step.
    #[doc(hidden)]
    pub fn streaming(device: &wgpu::Device) -> Self {
        Self { body: Body::Stream, ..Self::new(device) }
    }

    /// Adds a group of parameters. Groups may have different rules.
    ///
    /// # Errors
    /// An option out of its range ([`Group::check`]), a limit of the device too small for the rule
    /// ([`Error::Limit`]), or a rule from outside this crate that does not compile ([`Error::Kernel`]).
    pub fn add_group(&mut self, group: Group) -> Result<GroupId, Error> {
        group.check()?;
        device::check(&self.device.limits(), &group, false)?;
        self.kernels.check(&*group.rule)?;
        self.groups.push(Steps::new(group));
        Ok(GroupId { optimizer: self.serial, index: self.groups.len() - 1 })
    }

    /// Sets the learning rate of every group, from the next recorded step on.
    ///
    /// # Errors
    /// If it is not a finite f32 number, 0 or more, or is not with some group's weight decay; then
    /// every group keeps its own.
    pub fn set_lr(&mut self, lr: f64) -> Result<(), Error> {
        Group::sgd(lr).check()?;
        for steps in &self.groups {
            steps.group.clone().lr(lr).check()?;
        }
        self.groups.iter_mut().for_each(|steps| steps.group.lr = lr);
        if let Some(ledger) = &mut self.ledger {
            ledger.forget_rates();
        }
        Ok(())
    }

    /// Changes a group's options, its rule included, from the next recorded step on.
    ///
    /// ```no_run
    /// # fn f(opt: &mut wgpu_optim::Optimizer, group: wgpu_optim::GroupId) -> Result<(), wgpu_optim::Error> {
    /// opt.set_group(group, opt.group(group)?.clone().lr(1e-4).weight_decay(0.05))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Optimizer::add_group`], and [`Error::OtherState`] if the new rule keeps other slots than
    /// the old, [`Error::OtherStateFormat`] if it is to store them otherwise; then the group stays as
    /// it was.
    pub fn set_group(&mut self, id: GroupId, group: Group) -> Result<(), Error> {
        group.check()?;
        let old_group = &self.steps_of(id)?.group;
        let old = &old_group.rule;
        let rounding_changes =
            old_group.stochastic_rounding.is_some() != group.stochastic_rounding.is_some();
        let used = self.params.iter().any(|param| self.blocks[param.block].group == id.index);
        if used && old_group.keeps() != group.keeps() {
            let (old, new) = (old_group.keeps(), group.keeps());
            return Err(Error::OtherStateFormat { group: id.index, old, new });
        }
        device::check(&self.device.limits(), &group, false)?;
        if Kind::of(&**old) != Kind::of(&*group.rule) {
            let [old_slots, new_slots] = [&**old, &*group.rule].map(slot_names);
            if used && old_slots != new_slots {
                return Err(Error::OtherState {
                    group: id.index,
                    old: old.name(),
                    old_slots: check::quoted(&old_slots),
                    new: group.rule.name(),
                    new_slots: check::quoted(&new_slots),
                });
            }
            self.kernels.check(&*group.rule)?;
            self.launches = None;
        }
        if rounding_changes {
            self.launches = None;
        }
        let old = &self.groups[id.index].group;
        let same_scalars = Arc::ptr_eq(&old.rule, &group.rule) && old.ema == group.ema;
        if let Some(ledger) = &mut self.ledger {
            if same_scalars { ledger.forget_rates() } else { ledger.forget() }
        }
        let taken = self.groups[id.index].taken;
        self.groups[id.index] = Steps { taken, ..Steps::new(group) };
        Ok(())
    }

    /// A group's options.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    pub fn group(&self, id: GroupId) -> Result<&Group, Error> {
        Ok(&self.steps_of(id)?.group)
    }

    /// The steps recorded for a group, in steps.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    pub fn steps(&self, id: GroupId) -> Result<u64, Error> {
        Ok(self.steps_of(id)?.taken)
    }

    /// Records one step of every group into `encoder`, in one compute pass.
    ///
    /// Learning rates and all other options are those of this moment: what is set later counts for
    /// steps recorded later, whenever the encoder is submitted.
    pub fn step(&mut self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgpu-optim step"),
            timestamp_writes: None,
        });
        self.record(&mut pass);
    }

    /// [`Optimizer::step`] inside a compute pass that is already open.
    pub fn record(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        let multiplied = self.take_sums();
        self.make_ready();
        self.groups.iter_mut().for_each(|steps| steps.taken += 1);
        let Some(launches) = self.launches.as_ref().filter(|launches| launches.len() > 0) else {
            return;
        };
        self.scratch.clear();
        if let Some(ledger) = &mut self.ledger {
            self.scratch.extend(ledger.says(&self.control, multiplied, self.blocks.len()));
            // Gradients are scaled by what the ledger knows.
            write_scalars(&self.groups, &self.blocks, None, &mut self.scratch);
            ledger.record(&self.device, pass, &self.scratch, launches);
            return;
        }
        write_scalars(
            &self.groups,
            &self.blocks,
            Some((&self.control, multiplied)),
            &mut self.scratch,
        );
        if launches.table {
            fill_window(&mut self.scratch);
        }
        // A fresh buffer, because a later step recorded into the same encoder has other scalars.
        let scalars = self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("wgpu-optim scalars"),
            contents: bytemuck::cast_slice(&self.scratch),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE,
        });
        let scalars = StepScalars::new(&self.device, &scalars, launches, &self.kernels);
        record(pass, launches, Some(&scalars));
    }

    fn steps_of(&self, id: GroupId) -> Result<&Steps, Error> {
        let groups = self.groups.len();
        let own = (id.optimizer == self.serial).then(|| self.groups.get(id.index)).flatten();
        own.ok_or(Error::UnknownGroup { group: id.index, groups })
    }

    fn group_of(&self, param: &Param) -> &Group {
        &self.groups[self.blocks[param.block].group].group
    }

    /// The index of a block of scalars, new or not.
    fn block(&mut self, block: Block) -> Result<usize, Error> {
        if let Some(index) = self.blocks.iter().rposition(|b| *b == block) {
            return Ok(index);
        }
        device::check_blocks(&self.device.limits(), self.blocks.len() as u64 + 1)?;
        self.blocks.push(block);
        Ok(self.blocks.len() - 1)
    }
}
