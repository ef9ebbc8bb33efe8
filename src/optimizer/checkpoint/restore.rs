//! The host's part of a load: options, clocks, and the numbers that last on the GPU.

use std::collections::HashMap;

use super::super::{Optimizer, ParamId, limits};
use super::compare::Plan;
use crate::checkpoint::{Error, LoadOptions, Saved, SavedController};
use crate::control::Control;
use crate::model::{GroupKind, GroupState};
use crate::program::{CLOCK_WORDS, ControllerWords, NONE};
use crate::rule::Memory;

/// The state to go back to if the numbers do not arrive.
pub(super) struct Undo {
    groups: Vec<GroupState>,
    kinds: Vec<GroupKind>,
    control: Control,
    last_start: u32,
    turned: Vec<ParamId>,
}

impl Optimizer {
    /// Takes the options of the file and makes room for its numbers: everything of a load that can fail but for the
    /// numbers themselves. If something fails, everything is as before.
    pub(super) fn make_room(
        &mut self,
        saved: &Saved,
        plan: &Plan,
        options: &LoadOptions,
    ) -> Result<Undo, Error> {
        let mut undo = Undo {
            groups: self.model.groups.clone(),
            kinds: self.model.kinds.to_vec(),
            control: *self.model.control,
            last_start: self.model.last_start,
            turned: Vec::new(),
        };
        match self.try_to_make_room(saved, plan, options, &mut undo) {
            Ok(()) => Ok(undo),
            Err(e) => {
                self.restore_room(undo);
                Err(e.into())
            }
        }
    }

    fn try_to_make_room(
        &mut self,
        saved: &Saved,
        plan: &Plan,
        options: &LoadOptions,
        undo: &mut Undo,
    ) -> Result<(), crate::Error> {
        let takes_all = plan.is_full && !options.keep_options;
        let ids: Vec<_> = self.groups().map(|(id, _)| id).collect();
        for (id, group) in ids.into_iter().zip(&plan.groups) {
            if let Some(group) = group {
                self.set_group(id, group.clone())?;
            }
        }
        if !options.keep_options {
            for (index, at) in &plan.pairs {
                let id = self.id(*index);
                let frozen = self.model.grads[*index].frozen;
                match saved.params[*at].frozen {
                    true if !frozen => self.freeze(id)?,
                    false if frozen => self.unfreeze(id)?,
                    _ => continue,
                }
                undo.turned.push(id);
            }
        }
        if takes_all {
            self.set_control(saved.control)?;
        }
        if plan.is_full && saved.controller.is_some() && self.model.controller.is_none() {
            let control = *self.model.control;
            self.begin_control(&control)?;
        }
        if plan.is_full && saved.added > 0 {
            self.ready_sums()?;
        }
        self.prepare()?;
        // At the most, each parameter gets a clock of its own.
        let mut clocks: Vec<_> = plan
            .pairs
            .iter()
            .map(|(index, at)| {
                let of = &saved.params[*at];
                (self.model.params[*index].group, of.steps, of.skipped)
            })
            .collect();
        clocks.sort_unstable();
        clocks.dedup();
        let device_limits = self.model.device.limits();
        let old = if plan.is_full { 0 } else { self.model.cohorts.all().len() };
        // A clock runs or stands still.
        let most = (old + 2 * clocks.len()) as u64;
        limits::check_cohorts(&device_limits, most, self.model.is_controlled())?;
        let more: Vec<usize> = clocks.into_iter().map(|(group, ..)| group).collect();
        self.check_dependents(None, &more)
    }

    /// Takes back what [`Optimizer::make_room`] changed.
    pub(super) fn restore_room(&mut self, undo: Undo) {
        self.model.groups = undo.groups;
        *self.model.kinds.edit() = undo.kinds;
        *self.model.control.edit() = undo.control;
        // A controller that was made meanwhile stays, at its start.
        self.model.last_start = undo.last_start.max(u32::from(self.model.is_controlled()));
        for id in undo.turned {
            let index = self.index_of(id).unwrap_or_default();
            let back = match self.model.grads[index].frozen {
                true => self.unfreeze(id),
                false => self.freeze(id),
            };
            debug_assert!(back.is_ok(), "the clock that it had is there");
        }
    }

    fn id(&self, index: usize) -> ParamId {
        ParamId { optimizer: self.serial, number: self.model.params[index].number }
    }

    /// Takes over clocks, order and everything else of the host, and writes the GPU's own numbers.
    pub(super) fn restore(
        &mut self,
        queue: &wgpu::Queue,
        saved: &Saved,
        plan: &Plan,
        options: &LoadOptions,
    ) {
        self.restore_groups(saved, plan);
        let new = self.restore_clocks(saved, plan);
        if plan.is_full {
            self.model.recorded = saved.recorded;
            self.restore_order(plan);
            self.restore_controller(queue, saved, options);
            self.restore_sums(queue, saved, plan);
        }
        self.write_clocks(queue, &new);
        // Launches bind the numbers anew.
        self.model.params.edit();
        self.program.forget();
    }

    /// The steps of groups, and the rates that their rules remember.
    fn restore_groups(&mut self, saved: &Saved, plan: &Plan) {
        for (own, from) in plan.sources.iter().enumerate() {
            let group = &mut self.model.groups[own];
            let Some(most) = from.iter().map(|at| saved.groups[*at].recorded).max() else {
                continue;
            };
            let old = group.recorded;
            group.recorded = if plan.is_full { most } else { most.max(old) };
            if let (1, Some(at)) = (from.len(), from.first()) {
                let of = &saved.groups[*at];
                group.memory = Memory { rate: of.rate, past: of.past };
            }
            group.past = None;
            if !plan.is_full {
                self.model.cohorts.rebase(own, old, self.model.groups[own].recorded);
            }
        }
    }

    /// The clock of each parameter, and the element from which its random bits count. Returns the new cohorts.
    fn restore_clocks(&mut self, saved: &Saved, plan: &Plan) -> Vec<usize> {
        let model = &mut self.model;
        if plan.is_full {
            model.cohorts.clear();
        }
        if plan.is_full && saved.controller.as_ref().is_some_and(|controller| controller.counts) {
            model.cohorts.count();
        }
        let counted = model.cohorts.is_counted();
        let mut made: HashMap<(usize, u64, u64, bool), usize> = HashMap::new();
        let (params, grads) = (model.params.edit(), model.grads.edit());
        for (index, at) in &plan.pairs {
            let of = &saved.params[*at];
            let (param, grad) = (&mut params[*index], &mut grads[*index]);
            param.origin = of.origin;
            let recorded = model.groups[param.group].recorded;
            // Where nobody counts skipped steps, there are none.
            let (steps, skipped) = match counted {
                true => (of.steps, of.skipped),
                false => (of.steps - of.skipped, 0),
            };
            let runs = grad.view.is_some();
            let key = (param.group, steps, skipped, runs);
            let cohort = *made.entry(key).or_insert_with(|| {
                model.cohorts.restore(param.group, [steps, skipped], runs, recorded)
            });
            if !plan.is_full {
                model.cohorts.leave(grad.cohort);
            }
            grad.cohort = cohort;
            model.cohorts.join(cohort);
        }
        made.into_values().collect()
    }

    /// The order in which gradients enter a norm: the file's, and then that of the others.
    fn restore_order(&mut self, plan: &Plan) {
        let model = &mut self.model;
        let params = model.params.edit();
        let loaded = plan.pairs.iter().map(|(index, _)| params[*index].number);
        let mut order: Vec<usize> = loaded.collect();
        let known: std::collections::HashSet<usize> = order.iter().copied().collect();
        order.extend((0..model.places.len()).filter(|number| !known.contains(number)));
        for (rank, number) in order.iter().enumerate() {
            if let Some(index) = model.places[*number] {
                params[index].rank = rank;
            }
        }
        model.order = order;
    }

    /// The loss scale and the counts of the GPU.
    fn restore_controller(&mut self, queue: &wgpu::Queue, saved: &Saved, options: &LoadOptions) {
        let Some(buffer) = self.model.controller.clone() else { return };
        // Two more, so that neither of the two numbers is one that the GPU has met.
        self.model.last_start += 2;
        let start = self.model.last_start;
        let mut head = ControllerWords::new(&self.model.control, start);
        head.steps = saved.recorded as u32;
        if let Some(of) = &saved.controller {
            let SavedController { growth_tracker, restarts, skipped, looked, overrun, .. } = *of;
            let number = |text: &str| text.parse::<f32>().unwrap_or_default().to_bits();
            let rank = |name: &String| {
                let index = *self.model.names.get(name)?;
                Some(self.model.params[index].rank as u32)
            };
            (head.norm, head.coefficient) = (number(&of.norm), number(&of.coefficient));
            head.found_inf = of.found_inf.as_ref().and_then(rank).unwrap_or(NONE);
            (head.looked, head.overrun) = (looked, overrun.into());
            (head.skipped, head.steps) = (skipped, (saved.recorded as u32).wrapping_sub(skipped));
            if !options.keep_options {
                (head.scale, head.growth_tracker) = ((of.scale as f32).to_bits(), growth_tracker);
                head.start -= u32::from(restarts);
            }
        }
        queue.write_buffer(&buffer, 0, bytemuck::cast_slice(&head.words()));
    }

    /// Writes the skipped steps of new cohorts, which the GPU has not met.
    fn write_clocks(&self, queue: &wgpu::Queue, new: &[usize]) {
        let Some(buffer) = &self.model.controller else { return };
        let head = ControllerWords::NAMES.len();
        for number in new {
            let cohort = &self.model.cohorts.all()[*number];
            let words = [cohort.skipped as u32, cohort.generation];
            let at = (head + number * CLOCK_WORDS) as u64 * 4;
            queue.write_buffer(buffer, at, bytemuck::cast_slice(&words));
        }
    }

    /// The gradients that were added up since the last step.
    fn restore_sums(&mut self, queue: &wgpu::Queue, saved: &Saved, plan: &Plan) {
        let sums = &mut self.model.sums;
        sums.added = saved.added;
        let Some(made) = sums.made.as_ref().filter(|_| saved.added > 0) else { return };
        sums.generation = sums.generation % 0xff_ffff + 1;
        // A generation that was never made has no sums: gradients are 0.
        let generation = if plan.has_sums { sums.generation } else { 0 };
        queue.write_buffer(made, 0, bytemuck::cast_slice(&[generation, 0, 0, 0]));
    }
}
