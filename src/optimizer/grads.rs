//! Gradients that move, appear and disappear.

use futures_util::FutureExt;
use std::collections::HashMap;

use super::{Optimizer, ParamId, check, limits};
use crate::error::Error;
use crate::model::{Part, overlapping};
use crate::view::View;

/// One parameter's new gradient.
type Given = (usize, Option<View>);

impl Optimizer {
    /// Takes a parameter's gradient from another place from the next step on, as frameworks need
    /// that allocate gradients anew. The same view again costs nothing. For many at once,
    /// [`Optimizer::set_grads`] costs less.
    ///
    /// # Errors
    /// As for the gradient in [`Optimizer::add_param`]; then the old view stays.
    pub fn set_grad(&mut self, param: ParamId, grad: View) -> Result<(), Error> {
        self.set_grads([(param, Some(grad))])
    }

    /// Takes the gradients of some parameters from other places from the next step on: all of them, or, if one is
    /// wrong, none. Gradients may swap places, and may lie in other buffers at every step.
    ///
    /// `None`: the parameter has no gradient. Until the next call that names it, steps leave the parameter, its
    /// state, its copy and its average as they are, its clock stands still, and it is no part of a norm.
    /// An accumulation adds nothing for it. Parameters that are not named keep their gradients.
    ///
    /// A parameter whose gradient has moved, or was absent, after it was added, is from then on taken by kernels
    /// that expect it of every step; they compute the same bits. The host's cost is linear in the parameters, and
    /// nothing is planned again as long as gradients that shared a buffer go on sharing one, which is not the
    /// parameters' and no larger than the device's `max_storage_buffer_binding_size`.
    ///
    /// # Errors
    /// A parameter of another optimizer or named twice, and what is wrong with a gradient in
    /// [`Optimizer::add_param`], with the name of the parameter; then every gradient stays where it was.
    pub fn set_grads(
        &mut self,
        grads: impl IntoIterator<Item = (ParamId, Option<View>)>,
    ) -> Result<(), Error> {
        let mut given: Vec<Given> = Vec::new();
        for (param, view) in grads {
            given.push((self.index_of(param)?, view));
        }
        self.check_once(&given)?;
        self.check_grads(&given)?;
        let frozen = |(index, _): &Given| self.model.grads[*index].frozen;
        if !given.iter().any(frozen) {
            return self.give(given);
        }
        let (held, given): (Vec<Given>, Vec<Given>) = given.into_iter().partition(frozen);
        self.give(given)?;
        let grads = self.model.grads.edit();
        held.into_iter().for_each(|(index, view)| grads[index].held = view);
        Ok(())
    }

    /// Freezes a parameter from the next step on: steps leave the parameter, its state, its copy and its average as
    /// they are, its clock stands still, and its gradient is no part of a norm and of no accumulation.
    /// [`Optimizer::set_grads`] keeps the gradient of a frozen parameter for later.
    ///
    /// # Errors
    /// If the id is another optimizer's, or the device's limits have no room for one clock more.
    pub fn freeze(&mut self, param: ParamId) -> Result<(), Error> {
        let index = self.index_of(param)?;
        if self.model.grads[index].frozen {
            return Ok(());
        }
        let held = self.model.grads[index].view.clone();
        self.give(vec![(index, None)])?;
        let grad = &mut self.model.grads.edit()[index];
        (grad.frozen, grad.held) = (true, held);
        Ok(())
    }

    /// Has the next step take a frozen parameter again, with the gradient that it had or was given since. Its clock
    /// goes on where it stood.
    ///
    /// # Errors
    /// If the id is another optimizer's, or for what is wrong with the gradient by now, as in
    /// [`Optimizer::set_grads`]; then the parameter stays frozen.
    pub fn unfreeze(&mut self, param: ParamId) -> Result<(), Error> {
        let index = self.index_of(param)?;
        if !self.model.grads[index].frozen {
            return Ok(());
        }
        let given = vec![(index, self.model.grads[index].held.clone())];
        self.check_grads(&given)?;
        self.give(given)?;
        let grad = &mut self.model.grads.edit()[index];
        (grad.frozen, grad.held) = (false, None);
        Ok(())
    }

    /// Whether a parameter is frozen.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    pub fn is_frozen(&self, param: ParamId) -> Result<bool, Error> {
        Ok(self.model.grads[self.index_of(param)?].frozen)
    }

    /// Puts checked gradients in their places, if there is room for the clocks.
    fn give(&mut self, given: Vec<Given>) -> Result<(), Error> {
        let turning = self.turning(&given);
        self.check_clocks(&turning)?;
        self.apply(given, &turning);
        Ok(())
    }

    /// No parameter is named twice.
    fn check_once(&self, given: &[Given]) -> Result<(), Error> {
        // Most callers name parameters in the order of adding.
        if given.is_sorted_by(|(one, _), (two, _)| one < two) {
            return Ok(());
        }
        let mut seen = vec![false; self.model.params.len()];
        match given.iter().find(|(index, _)| std::mem::replace(&mut seen[*index], true)) {
            Some((index, _)) => {
                Err(Error::NamedTwice { name: self.model.params[*index].name.clone() })
            }
            None => Ok(()),
        }
    }

    /// For each cohort, how many of its members get or lose a gradient.
    fn turning(&self, given: &[Given]) -> HashMap<usize, usize> {
        let mut turning = HashMap::new();
        let grads = &self.model.grads;
        for (index, view) in given {
            let old = &grads[*index];
            if old.view.is_some() != view.is_some() {
                *turning.entry(old.cohort).or_default() += 1;
            }
        }
        turning
    }

    fn check_clocks(&self, turning: &HashMap<usize, usize>) -> Result<(), Error> {
        let cohorts = self.model.cohorts.after(turning.len()) as u64;
        if turning.is_empty() {
            return Ok(());
        }
        let controlled = self.model.is_controlled();
        limits::check_cohorts(&self.model.device.limits(), cohorts, controlled)?;
        if !self.model.cohorts.is_counted() {
            return Ok(());
        }
        let group = |number: &usize| self.model.cohorts.all()[*number].group;
        self.check_dependents(None, &turning.keys().map(group).collect::<Vec<_>>())
    }

    /// All new gradients can be bound, and none is in the way of anything.
    fn check_grads(&mut self, given: &[Given]) -> Result<(), Error> {
        let of = |index: usize| format!("gradient of `{}`", self.model.params[index].name);
        let mut last: Option<(&wgpu::Buffer, bool)> = None;
        let mut unknown: Vec<(usize, wgpu::Buffer)> = Vec::new();
        for (index, view) in given {
            let (index, Some(view)) = (*index, view) else { continue };
            view.check(|| of(index), wgpu::BufferUsages::STORAGE)?;
            let param = &self.model.params[index];
            if param.view.len != view.len {
                check::lengths(&param.name, &param.view, view)?;
            }
            let is_written = match last {
                Some((buffer, is_written)) if *buffer == view.buffer => is_written,
                _ => {
                    if !self.program.knows_grads(&view.buffer) {
                        unknown.push((index, view.buffer.clone()));
                    }
                    if self.model.owns(&view.buffer) {
                        return Err(Error::OwnState { what: of(index) });
                    }
                    self.model.ranges.writes(&view.buffer)
                }
            };
            last = Some((&view.buffer, is_written));
            if is_written {
                for part in [Part::Param, Part::Copy] {
                    if let Some(other) = self
                        .model
                        .ranges
                        .against(part, view, true)
                        .filter(|(other, _)| *other != Part::Grad)
                    {
                        return Err(self.overlaps(&of(index), (Part::Grad, view), other));
                    }
                }
                let (name, copy) = (&param.name, param.copy.as_ref());
                self.refuse_near(name, &param.view, copy, Some(view))?;
            }
        }
        self.check_buffers(&unknown)?;
        if self.model.control.zero_grad {
            self.check_apart(given)?;
        }
        Ok(())
    }

    /// The device can bind these buffers: all are bound inside one error scope, and bound one by one only to name
    /// the wrong one.
    fn check_buffers(&mut self, unknown: &[(usize, wgpu::Buffer)]) -> Result<(), Error> {
        if unknown.is_empty() {
            return Ok(());
        }
        let (program, device) = (&mut self.program, &self.model.device);
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        for (_, buffer) in unknown {
            if !program.keep_grads(device, buffer) {
                program.kernels.probe(buffer);
            }
        }
        if scope.pop().now_or_never().flatten().is_none() {
            return Ok(());
        }
        unknown.iter().for_each(|(_, buffer)| program.forget_grads(buffer));
        for (index, buffer) in unknown {
            if let Some(message) = program.kernels.unbindable(buffer) {
                let what = format!("gradient of `{}`", self.model.params[*index].name);
                return Err(Error::ForeignBuffer { what, message });
            }
        }
        Ok(())
    }

    /// No two gradients overlap once these are where they are to be.
    fn check_apart(&self, given: &[Given]) -> Result<(), Error> {
        let mut views: Vec<Option<&View>> =
            self.model.grads.iter().map(|grad| grad.view.as_ref()).collect();
        given.iter().for_each(|(index, view)| views[*index] = view.as_ref());
        let present = views.iter().enumerate().filter_map(|(i, view)| Some((i, (*view)?)));
        let Some(pair) = overlapping(present) else { return Ok(()) };
        // The one that is given is the one that is wrong.
        let named = |index: usize| given.iter().any(|(given, _)| *given == index);
        let [one, two] = if named(pair[1]) { pair } else { [pair[1], pair[0]] };
        let (Some(view), Some(at)) = (views[two], views[one]) else { return Ok(()) };
        let what = format!("gradient of `{}`", self.model.params[two].name);
        let other = format!("the gradient of `{}`", self.model.params[one].name);
        Err(check::overlap(&what, view, other, at, [Part::Grad; 2]))
    }

    fn apply(&mut self, given: Vec<Given>, turning: &HashMap<usize, usize>) {
        let model = &mut self.model;
        let is_change = |(index, view): &Given| model.grads[*index].view != *view;
        if !given.iter().any(is_change) {
            return;
        }
        let still = |(index, view): &Given| {
            !model.params[*index].moves && model.grads[*index].view != *view
        };
        if given.iter().any(still) {
            // Before a parameter's first step a gradient is only given its place.
            let cohort = |index: usize| &model.cohorts.all()[model.grads[index].cohort];
            let begun = |index: usize| model.steps_of(cohort(index)) > 0;
            let moving = given.iter().filter(|(i, view)| view.is_none() || begun(*i));
            let moving: Vec<usize> = moving.filter(|g| still(g)).map(|(i, _)| *i).collect();
            let params = model.params.edit();
            moving.into_iter().for_each(|index| params[index].moves = true);
        }
        let groups = &model.groups;
        let recorded = |group: usize| groups[group].recorded;
        let cohorts = model.cohorts.turn(turning, recorded, self.program.skipped());
        model.ranges.forget_grads();
        self.program.turn_grads();
        let mut last: Option<wgpu::Buffer> = None;
        let mut reformed = false;
        let grads = model.grads.edit();
        for (index, view) in given {
            let grad = &mut grads[index];
            if grad.view.is_some() != view.is_some()
                && let Some(cohort) = cohorts.get(&grad.cohort)
            {
                grad.cohort = *cohort;
            }
            if let Some(view) = &view {
                if last.as_ref() != Some(&view.buffer) {
                    self.program.keep_grads(&model.device, &view.buffer);
                    last = Some(view.buffer.clone());
                }
                reformed |= grad.format != view.format;
                grad.format = view.format;
            }
            grad.view = view;
        }
        if reformed {
            model.params.edit();
        }
    }
}
