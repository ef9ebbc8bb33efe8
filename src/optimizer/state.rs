//! The state: where it is, and room for it.

use super::{Optimizer, ParamId, check};
use crate::block_error::BlockError;
use crate::buckets::Buckets;
use crate::error::Error;
use crate::model::{
    Body, Param, Spec, Spot, at_home, largest_bytes, next_place, operand, variables,
};
use crate::num::Code;
use crate::plan::{QUAD, STATE};
use crate::view::View;

impl Optimizer {
    /// Where a parameter's state is, by PyTorch's name for it: a view of as many elements as the
    /// parameter, in a buffer of the library's with usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
    /// It stays valid as long as the optimizer, or until [`Optimizer::reset_state`]. A slot that starts at another
    /// number than 0 gets it at the parameter's first step.
    ///
    /// # Errors
    /// If the id is another optimizer's, the rule keeps no such slot, the slot is stored in blocks
    /// ([`Optimizer::state_blocks`]), or the state has no memory yet, which [`Optimizer::prepare`] or a step gives it.
    pub fn state(&self, param: ParamId, slot: &str) -> Result<View, Error> {
        let (view, code) = self.slot(param, slot)?;
        match code {
            Code::Blocks(code) => {
                let (name, slot, format) = self.named(param, slot, code.blocks.name)?;
                Err(BlockError::InBlocks { name, slot, format }.into())
            }
            _ => Ok(view),
        }
    }

    /// Where a parameter's state is, for a slot that is stored in blocks ([`StateFormat`](crate::StateFormat)): the
    /// words of its blocks, in a buffer as [`Optimizer::state`]'s. [`BlockCode::unpack`](crate::BlockCode::unpack)
    /// makes codes and scales of their bytes.
    ///
    /// # Errors
    /// As [`Optimizer::state`], and if the slot is stored as numbers.
    pub fn state_blocks(
        &self,
        param: ParamId,
        slot: &str,
    ) -> Result<(View, crate::BlockCode), Error> {
        let (view, code) = self.slot(param, slot)?;
        match code {
            Code::Blocks(code) => Ok((view, code)),
            code => {
                let (name, slot, format) = self.named(param, slot, code.format().name())?;
                Err(BlockError::NotInBlocks { name, slot, format }.into())
            }
        }
    }

    /// The number of elements in a parameter and in each slot of its state.
    ///
    /// # Errors
    /// If the id is another optimizer's.
    pub fn state_len(&self, param: ParamId) -> Result<u64, Error> {
        Ok(self.model.params[self.index_of(param)?].view.len)
    }

    /// A parameter's name beside a slot and a format, for an error.
    fn named(
        &self,
        param: ParamId,
        slot: &str,
        format: &'static str,
    ) -> Result<(String, String, &'static str), Error> {
        let name = self.model.params[self.index_of(param)?].name.clone();
        Ok((name, slot.to_owned(), format))
    }

    /// The view and the code of a slot.
    fn slot(&self, param: ParamId, slot: &str) -> Result<(View, Code), Error> {
        let index = self.placed(param)?;
        let rule = &self.model.kinds[self.model.params[index].group].rule;
        let at = rule.slot_names().iter().position(|known| *known == slot);
        let view =
            at.and_then(|at| self.model.operand_view(index, STATE, at).map(|view| (view, at)));
        match view {
            Some((view, at)) => Ok((view, self.model.spec(index).state.get(at))),
            None => Err(Error::UnknownSlot {
                name: self.model.params[index].name.clone(),
                rule: rule.name(),
                slot: slot.to_owned(),
                known: check::quoted(&rule.slot_names()),
            }),
        }
    }

    /// The low-order part of a 16-bit parameter's f32 master ([`Group::master`]), for a checkpoint: as many
    /// elements as the parameter, 16 bits each for [`Master::Remainder`], 32 for [`Master::F32`], which
    /// [`Master::whole`] puts together with the parameter's. `None` if it has no master. Usages as
    /// [`Optimizer::state`]'s.
    ///
    /// [`Group::master`]: crate::Group::master
    /// [`Master::Remainder`]: crate::Master::Remainder
    /// [`Master::F32`]: crate::Master::F32
    /// [`Master::whole`]: crate::Master::whole
    ///
    /// # Errors
    /// If the id is another optimizer's, or the state has no memory yet, as in [`Optimizer::state`].
    pub fn master(&self, param: ParamId) -> Result<Option<View>, Error> {
        self.operand(param, "low_bits")
    }

    /// Where the average of a parameter is ([`Group::ema`](crate::Group::ema)): as many elements as the
    /// parameter, in f32, zero before its first step. `None` if there is none. Usages as
    /// [`Optimizer::state`]'s.
    ///
    /// # Errors
    /// If the id is another optimizer's, or the state has no memory yet, as in [`Optimizer::state`].
    pub fn ema(&self, param: ParamId) -> Result<Option<View>, Error> {
        self.operand(param, "ema")
    }

    /// Where the library keeps an operand of a parameter, by the operand's name; `None` if it keeps none.
    #[doc(hidden)]
    pub fn operand(&self, param: ParamId, of: &str) -> Result<Option<View>, Error> {
        let index = self.placed(param)?;
        Ok(operand(of).and_then(|row| self.model.operand_view(index, row, 0)))
    }

    /// The index of a parameter whose state has memory.
    fn placed(&self, param: ParamId) -> Result<usize, Error> {
        let index = self.index_of(param)?;
        let Param { name, spot, .. } = &self.model.params[index];
        match spot {
            Some(_) => Ok(index),
            None => Err(Error::NotPrepared { name: name.clone() }),
        }
    }

    /// The memory of the library's buffers that last: state, averages, low bits, sums and what controls steps, in
    /// bytes. Parameters that were added since the last step count from the next step, or
    /// [`prepare`](Optimizer::prepare), on.
    pub fn memory_bytes(&self) -> u64 {
        let Self { model, .. } = self;
        let others = [&model.sums.made, &model.controller].into_iter().flatten();
        model.slabs.bytes() + others.map(wgpu::Buffer::size).sum::<u64>()
    }

    /// The numbers that one step reads and writes, in bytes: parameters, gradients, copies and state, and the
    /// gradients once more where their norm is asked for. Parameters without a gradient, and frozen ones, count 0.
    pub fn bytes_per_step(&self) -> u64 {
        let norm = u64::from(self.model.control.looks_at_gradients());
        let of = |(index, param): (usize, &Param)| {
            if self.model.grads[index].view.is_none() {
                return 0;
            }
            let spec = self.model.spec(index);
            let step = variables(&spec).into_iter().map(|variable| {
                let times = u64::from(variable.loads()) + u64::from(variable.stores());
                times * variable.code.bytes(param.view.len)
            });
            step.sum::<u64>() + norm * param.view.len * spec.grad.bytes()
        };
        self.model.params.iter().enumerate().map(of).sum()
    }

    /// Gives state to the parameters that have none yet.
    pub(super) fn allocate(&mut self) {
        let model = &mut self.model;
        let missing = || model.params.iter().enumerate().filter(|(_, param)| param.spot.is_none());
        // Parameters are added at the end, so the last tells.
        if model.params.last().is_none_or(|param| param.spot.is_some()) {
            return;
        }
        let mut together = Buckets::new();
        for (index, param) in missing() {
            let spec = model.spec(index);
            let kept: Vec<_> =
                at_home(&spec).map(|variable| (variable.name, variable.code)).collect();
            let names = model.kinds[param.group].rule.slot_names();
            let key = (param.view.buffer.clone(), kept, names);
            together.entry(key, || (spec, Vec::new())).1.push(index);
        }
        let device = model.device.clone();
        let most = device.limits().max_buffer_size;
        let with_sums = model.sums.made.is_some();
        let (params, slabs) = (model.params.edit(), &mut model.slabs);
        for (spec, mut members) in together.into_buckets() {
            let sums = with_sums.then(|| Spec::new(Body::Accumulate, None));
            // Sums take 4 bytes, as most else does.
            let largest = |elements: u64| largest_bytes(&spec, elements).max(4 * elements);
            // In the parameters' order and with at most their gaps: no longer than their buffer, unless
            // the state takes more bytes than they do.
            members.sort_by_key(|&i| params[i].view.offset);
            let kept: Vec<Spec> = [spec.clone()].into_iter().chain(sums).collect();
            let mut end = 0;
            for i in members {
                let len = params[i].view.len;
                // At the parameter's phase of a quad, so that both can be read in quads.
                let phase = params[i].view.at() % QUAD;
                let mut start = next_place(&spec, end, phase);
                if largest(start + len) > most && end > 0 {
                    slabs.add(&device, &kept, end);
                    start = next_place(&spec, 0, phase);
                }
                params[i].spot = Some(Spot { slab: slabs.len(), at: start });
                end = start + len;
            }
            slabs.add(&device, &kept, end);
        }
    }
}
