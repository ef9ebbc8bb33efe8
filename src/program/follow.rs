//! This module lets a pass follow gradients that move.

use super::moving::{GradGroups, Moving};
use super::pass::Pass;
use super::tables::upload;
use crate::kernel::Kernels;
use crate::model::Model;

impl Pass {
    /// Takes the places of gradients from the model. Returns false if the pass must be planned anew.
    pub(super) fn follow(
        &mut self,
        model: &Model,
        kernels: &Kernels,
        [grads, sums]: [&mut GradGroups; 2],
    ) -> bool {
        let epoch = model.grads.epoch();
        if self.has_followed && self.grads_epoch == epoch {
            return true;
        }
        if self.is_rigid && self.grads_epoch != epoch {
            return false;
        }
        let mut changed = Vec::new();
        for (i, launch) in self.launches.iter_mut().enumerate() {
            let Some(moving) = &mut launch.moving else { continue };
            let groups = if moving.is_summed() { &mut *sums } else { &mut *grads };
            match moving.follow(model, kernels, groups) {
                None => return false,
                Some(true) => changed.push(i),
                Some(false) => {}
            }
            // All bindings of one buffer in a launch must be of one kind.
            let lies_in = |buffer: &wgpu::Buffer| moving.buffer() == Some(buffer);
            if launch.bound.iter().any(|(_, buffer, _)| lies_in(buffer)) {
                return false;
            }
        }
        let words = changed.iter().filter_map(|i| self.launches[*i].moving.as_ref());
        let places = upload(&model.device, words.map(Moving::words));
        for (i, place) in changed.into_iter().zip(places) {
            self.launches[i].set_tables(&model.device, &place);
        }
        (self.grads_epoch, self.has_followed) = (epoch, true);
        true
    }
}
