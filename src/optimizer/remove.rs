//! Parameters that leave, and state that begins anew.

use futures_util::FutureExt;

use super::{Optimizer, ParamId};
use crate::error::Error;
use crate::model::{Body, Spec, Spot, next_place, operand};
use crate::num::WORD;
use crate::plan::QUAD;

impl Optimizer {
    /// Removes a parameter from the next recorded step on. Its name and its ranges of buffers are free again, and its
    /// id is of no use any more. The parameter keeps the value that the steps before gave it.
    ///
    /// State of parameters that were added together shares buffers; a buffer is freed once the last of its parameters
    /// is removed.
    ///
    /// # Errors
    /// If the id is another optimizer's, or of a parameter that was removed before.
    pub fn remove_param(&mut self, param: ParamId) -> Result<(), Error> {
        let index = self.index_of(param)?;
        let model = &mut self.model;
        model.ranges.refresh(&model.grads);
        model.ranges.remove(index);
        model.places[param.number] = None;
        let later = |place: &mut usize| *place -= usize::from(*place > index);
        model.places.iter_mut().flatten().for_each(later);
        let grad = model.grads.edit().remove(index);
        model.cohorts.leave(grad.cohort);
        let removed = model.params.edit().remove(index);
        model.names.remove(&removed.name);
        model.names.values_mut().for_each(later);
        self.free(removed.spot);
        Ok(())
    }

    /// Records giving a parameter new state: its slots and its average begin as at its first step, and its clock at 0,
    /// as if it had just been added. The parameter itself stays, with the low bits of its master and the gradients
    /// that were added up for the next step, which `encoder` copies; submit it before the next step.
    ///
    /// Views of the parameter's state from before show what was. The new state lies in buffers of its own, so that
    /// the parameter takes dispatches of its own from then on.
    ///
    /// # Errors
    /// If the id is another optimizer's, or the device has no room; then nothing has changed.
    pub fn reset_state(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        param: ParamId,
    ) -> Result<(), Error> {
        let index = self.index_of(param)?;
        let group = self.model.params[index].group;
        let recorded = self.model.groups[group].recorded;
        let device = self.model.device.clone();
        self.check_cohort(group)?;
        let old = self.model.params[index].spot;
        if let Some(old) = old {
            let new = self.new_spot(&device, index)?;
            let model = &mut self.model;
            let len = model.params[index].view.len;
            for row in ["low_bits", "sum"].into_iter().filter_map(operand) {
                let views = [old, new].map(|spot| model.slabs.view(spot, row, 0, len));
                let [Some(from), Some(to)] = views else { continue };
                // Whole words, at the same place in a word here and there. Nobody else has a part of the new ones.
                let [start, target] = [&from, &to].map(|view| view.offset / WORD * WORD);
                let size = from.bytes().1.next_multiple_of(WORD) - start;
                encoder.copy_buffer_to_buffer(&from.buffer, start, &to.buffer, target, size);
            }
            model.params.edit()[index].spot = Some(new);
            self.free(Some(old));
        }
        let model = &mut self.model;
        let cohort = model.cohorts.restart(model.grads[index].cohort, recorded);
        model.grads.edit()[index].cohort = cohort;
        // Launches that were planned before have the parameter beside others of its former clock.
        model.params.edit();
        Ok(())
    }

    /// A range in a slab of its own for a parameter's state.
    fn new_spot(&mut self, device: &wgpu::Device, index: usize) -> Result<Spot, Error> {
        let model = &mut self.model;
        let view = &model.params[index].view;
        let at = next_place(&model.spec(index), 0, view.at() % QUAD);
        let sums = model.sums.made.is_some().then(|| Spec::new(Body::Accumulate, None));
        let kept: Vec<Spec> = [model.spec(index)].into_iter().chain(sums).collect();
        let (slab, elements) = (model.slabs.len(), at + view.len);
        let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        model.slabs.add(device, &kept, elements);
        let Some(Some(error)) = scope.pop().now_or_never() else { return Ok(Spot { slab, at }) };
        model.slabs.truncate(slab);
        let what = format!("the new state of `{}`", model.params[index].name);
        Err(Error::OutOfMemory { what, message: error.to_string() })
    }

    /// Frees the buffers of a slab that no parameter is in any more.
    fn free(&mut self, spot: Option<Spot>) {
        let Some(Spot { slab, .. }) = spot else { return };
        let is_in = |param: &crate::model::Param| param.spot.is_some_and(|spot| spot.slab == slab);
        if !self.model.params.iter().any(is_in) {
            self.model.slabs.free(slab);
        }
    }
}
