//! This module holds the model: everything that the next step depends on, and nothing that is derived from it.

mod cohort;
mod operand;
mod param;
mod ranges;
mod slab;
mod spec;
mod tracked;

use std::collections::HashMap;

pub(crate) use cohort::{Cohort, Cohorts};
pub(crate) use operand::{
    FIRST_BINDING, OPERANDS, Operand, Variable, keeps, operand, options, variables,
};
pub(crate) use param::{Grad, GroupKind, GroupState, Param, Spot};
pub(crate) use ranges::{Part, Ranges, overlapping};
pub(crate) use slab::{Slabs, at_home, largest_bytes, next_place};
pub use spec::Body;
pub(crate) use spec::{Grads, RuleKey, Spec, Weight};
pub(crate) use tracked::Tracked;

use crate::control::{Control, LossScale};
use crate::num::{Format, Master};
use crate::view::View;

/// Everything that lasts from step to step. The parts from which a program is made count their changes.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) device: wgpu::Device,
    /// Whether steps only move bytes, for benchmarks.
    pub(crate) streams: bool,
    pub(crate) groups: Vec<GroupState>,
    /// For each group, the options that decide kernels.
    pub(crate) kinds: Tracked<Vec<GroupKind>>,
    pub(crate) params: Tracked<Vec<Param>>,
    /// For each parameter, its gradient and its clock.
    pub(crate) grads: Tracked<Vec<Grad>>,
    pub(crate) cohorts: Cohorts,
    pub(crate) names: HashMap<String, usize>,
    /// By the number of a parameter, its index; none once it is removed.
    pub(crate) places: Vec<Option<usize>>,
    /// The numbers of all parameters, in the order in which their gradients enter a norm: that of adding, or that of a
    /// checkpoint. A parameter that is removed keeps its place.
    pub(crate) order: Vec<usize>,
    pub(crate) ranges: Ranges,
    pub(crate) slabs: Slabs,
    pub(crate) control: Tracked<Control>,
    pub(crate) sums: Sums,
    /// The buffer of the numbers that last on the GPU: `Controller` in `shaders/control/controller.wgsl`. It is made
    /// for the first step that depends on its gradients.
    pub(crate) controller: Option<wgpu::Buffer>,
    /// The number of the last start of a dynamic loss scale; 0 without a controller.
    pub(crate) last_start: u32,
    /// The number of all recorded steps.
    pub(crate) recorded: u64,
    /// Whether parameters are at the averages that their rules keep.
    pub(crate) is_eval: bool,
}

/// The sums of gradients.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// The buffer in which the GPU notes the generation of the sums that it has made.
    pub(crate) made: Option<wgpu::Buffer>,
    /// The generation of the current sums. It counts the steps that took sums.
    pub(crate) generation: u32,
    /// The number of gradients added up since the last step.
    pub(crate) added: u32,
    /// Whether the next step takes sums.
    pub(crate) taken: Tracked<bool>,
}

impl Model {
    pub(crate) fn new(device: &wgpu::Device, streams: bool) -> Self {
        Self {
            device: device.clone(),
            streams,
            groups: Vec::new(),
            kinds: Tracked::new(Vec::new()),
            params: Tracked::new(Vec::new()),
            grads: Tracked::new(Vec::new()),
            cohorts: Cohorts::default(),
            names: HashMap::new(),
            places: Vec::new(),
            order: Vec::new(),
            ranges: Ranges::default(),
            slabs: Slabs::default(),
            control: Tracked::new(Control::default()),
            sums: Sums::default(),
            controller: None,
            last_start: 0,
            recorded: 0,
            is_eval: false,
        }
    }

    /// The part of a kernel's key that a parameter and its options decide.
    pub(crate) fn spec(&self, index: usize) -> Spec {
        let param = &self.params[index];
        let kind = &self.kinds[param.group];
        let state = kind.state_of(param.view.len);
        let GroupKind { rule, kept, stochastic, cautious, dithers, .. } = kind.clone();
        let body = if self.streams { Body::Stream } else { Body::Update };
        let in_16_bits = param.view.format != Format::F32;
        let weight = match param.master {
            Master::None if stochastic && in_16_bits && param.copy.is_none() => Weight::Stochastic,
            Master::None => Weight::Plain,
            master => Weight::Mastered(master),
        };
        let summed = *self.sums.taken;
        Spec {
            param: param.view.format,
            grad: self.grad_format(index),
            state,
            dithers: dithers && !state.blocks().is_empty(),
            weight,
            copy: param.copy.as_ref().map(|copy| copy.format),
            kept,
            clip_value: self.control.clip_value.is_some() && body == Body::Update,
            cautious: cautious && body == Body::Update,
            grads: Grads::Own,
            clear: self.control.zero_grad && !summed,
            summed,
            ..Spec::new(body, Some(rule))
        }
    }

    /// The format in which a step finds a parameter's gradient, also if it has none now. Sums are in f32.
    pub(crate) fn grad_format(&self, index: usize) -> Format {
        if *self.sums.taken { Format::F32 } else { self.grads[index].format }
    }

    /// The view in which a step finds a parameter's gradient, if there is one.
    pub(crate) fn gradient(&self, index: usize) -> Option<View> {
        let grad = self.grads[index].view.as_ref()?;
        if !*self.sums.taken {
            return Some(grad.clone());
        }
        self.operand_view(index, operand("sum")?, 0)
    }

    /// The buffer and the first element in which a pass finds a parameter's gradient, or its sum if the pass is
    /// `summed`.
    pub(crate) fn gradient_at(&self, index: usize, summed: bool) -> Option<(&wgpu::Buffer, u64)> {
        let view = self.grads[index].view.as_ref()?;
        if !summed {
            return Some((&view.buffer, view.at()));
        }
        let spot = self.params[index].spot?;
        Some((self.slabs.buffer(spot, operand("sum")?, 0)?, spot.at))
    }

    /// The view in which the library keeps an operand of a parameter.
    pub(crate) fn operand_view(&self, index: usize, operand: usize, number: usize) -> Option<View> {
        let param = &self.params[index];
        let spot = param.spot?;
        self.slabs.view(spot, operand, number, param.view.len)
    }

    /// Whether the library owns `buffer`.
    pub(crate) fn owns(&self, buffer: &wgpu::Buffer) -> bool {
        let controller = self.controller.as_ref().is_some_and(|own| own == buffer);
        let sums = self.sums.made.as_ref().is_some_and(|own| own == buffer);
        controller || sums || self.slabs.holds(buffer)
    }

    /// Whether the GPU decides on steps.
    pub(crate) fn is_controlled(&self) -> bool {
        self.controller.is_some()
    }

    /// The loss scale, if it is fixed.
    pub(crate) fn fixed_scale(&self) -> Option<f64> {
        match self.control.loss_scale {
            LossScale::Fixed(scale) => Some(scale),
            LossScale::Dynamic { .. } => None,
        }
    }

    /// The steps of its group that a running cohort has not taken part in: the distance from its own steps to those
    /// that schedules count. 0 for a clock that stands still.
    pub(crate) fn missed(&self, cohort: &Cohort) -> u64 {
        let recorded = self.groups[cohort.group].recorded;
        if cohort.is_running() { recorded - cohort.steps(recorded) } else { 0 }
    }

    /// The number of steps recorded for a cohort.
    pub(crate) fn steps_of(&self, cohort: &Cohort) -> u64 {
        cohort.steps(self.groups[cohort.group].recorded)
    }
}
