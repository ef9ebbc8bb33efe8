//! Gradients of several backward passes, added up for one step.

use super::state::Buckets;
use super::{Optimizer, Param, Source, device};
use crate::error::Error;
use crate::kernel::{Accumulate, Grads, now};
use crate::num::Format;
use crate::plan::{self, Piece, Role, Roles};
use crate::record::{Bound, Buffers, Launches, record, recordables};
use crate::view::View;

/// What adds up gradients, and how often it did since the last step.
#[derive(Debug, Default)]
pub(super) struct Sums {
    added: u32,
    /// Whether gradients ever were: then every parameter has room for a sum.
    pub(super) used: bool,
    /// What begins sums, and what adds to them.
    launches: Option<[Launches; 2]>,
}

impl Sums {
    /// After a change to what is added.
    pub(super) fn forget(&mut self) {
        self.launches = None;
    }
}

impl Optimizer {
    /// Records adding the gradients of every parameter, as they are then, to sums in f32 of the library's,
    /// in a compute pass of its own. The next step takes their mean, or the sum itself
    /// ([`Control::accumulation`](crate::Control::accumulation)), for the gradients and begins anew, whether
    /// it is taken or skipped.
    ///
    /// The first time, it allocates 4 bytes for each element of each parameter, and at the next step what
    /// the step records; it is as cheap as a step's recording after that.
    ///
    /// ```no_run
    /// # fn f(opt: &mut wgpu_optim::Optimizer, encoder: &mut wgpu::CommandEncoder) -> Result<(), wgpu_optim::Error> {
    /// for _ in 0..4 {
    ///     // the backward pass of a part of the batch
    ///     opt.accumulate(encoder)?;
    /// }
    /// opt.step(encoder);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the sums of a parameter do not fit a buffer or the device; then nothing is recorded or counted.
    pub fn accumulate(&mut self, encoder: &mut wgpu::CommandEncoder) -> Result<(), Error> {
        let ready = self.ready_sums()?;
        if !ready {
            return Ok(());
        }
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgpu-optim accumulate"),
            timestamp_writes: None,
        });
        self.add(&mut pass);
        Ok(())
    }

    /// [`Optimizer::accumulate`] inside a compute pass that is already open.
    ///
    /// # Errors
    /// As there.
    pub fn record_accumulate(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        if self.ready_sums()? {
            self.add(pass);
        }
        Ok(())
    }

    /// Makes what adding takes. Whether there is anything to add.
    fn ready_sums(&mut self) -> Result<bool, Error> {
        if self.sums.launches.is_none() {
            if !self.sums.used {
                for Param { name, param, .. } in &self.params {
                    device::check_sum(&self.device.limits(), name, param)?;
                }
            }
            self.prepare()?;
            let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let had: Vec<bool> = self.pages.iter().map(|page| page.sums.is_some()).collect();
            for page in 0..self.pages.len() {
                self.add_sums(page);
            }
            let launches = [true, false].map(|first| self.plan_sums(first));
            if let Some(Some(error)) = now(scope.pop()) {
                let added = self.pages.iter_mut().zip(had).filter(|(_, had)| !had);
                added.for_each(|(page, _)| page.sums = None);
                let what = "the sums of gradients".to_owned();
                return Err(Error::OutOfMemory { what, message: error.to_string() });
            }
            self.sums.launches = Some(launches);
            self.sums.used = true;
        }
        Ok(!self.params.is_empty())
    }

    fn add(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        let Some([first, more]) = &self.sums.launches else { return };
        record(pass, if self.sums.added == 0 { first } else { more }, None);
        self.sums.added += 1;
    }

    /// Has the next step use what was added up, if anything was, and tells how many times too large that is.
    pub(super) fn take_sums(&mut self) -> f64 {
        let added = std::mem::take(&mut self.sums.added);
        let source = if added > 0 { Source::Sums } else { Source::Grads };
        if self.source != source {
            self.source = source;
            self.launches = None;
        }
        self.control.divisor(added)
    }

    /// Where a step finds a parameter's gradient.
    pub(super) fn gradient(&self, param: &Param) -> View {
        let sum = |param: &Param| {
            let place = param.state?;
            let whole = View::f32(self.pages[place.page].sums.as_ref()?);
            Some(whole.range(place.at..place.at + param.param.len))
        };
        let summed = (self.source == Source::Sums).then(|| sum(param)).flatten();
        summed.unwrap_or_else(|| param.grad.clone())
    }

    /// Whether a new parameter's gradients can be added up, where others' are.
    pub(super) fn check_sum(&self, name: &str, param: &View) -> Result<(), Error> {
        match self.sums.used {
            true => device::check_sum(&self.device.limits(), name, param),
            false => Ok(()),
        }
    }

    /// The launches that add all gradients to their sums, or begin those with them.
    fn plan_sums(&mut self, first: bool) -> Launches {
        let mut together = Buckets::new();
        for param in &self.params {
            let Some(place) = param.state else { continue };
            let View { buffer, format, len, .. } = &param.grad;
            let at = Roles::of(place.at, param.grad.at(), place.at);
            let key = (buffer.clone(), *format, place.page);
            let of = || (buffer.clone(), *format, place.page, Vec::new());
            together.entry(key, of).3.push(Piece { at, len: *len, block: 0 });
        }
        let grads = if self.control.zero_grad { Grads::Cleared } else { Grads::Own };
        let mut planned = Vec::new();
        for (buffer, format, page, pieces) in together.into_buckets() {
            let sum = Format::F32.bytes();
            let sizes = Roles::of(sum, format.bytes(), sum);
            for launch in plan::launches(pieces, sizes, self.bounds) {
                let (width, address) = (launch.width, launch.work.address());
                let files = Accumulate { width, address, format, grads, first };
                planned.push((self.kernels.accumulate(files), buffer.clone(), page, launch));
            }
        }
        let bound: Vec<Bound<'_>> = planned
            .iter()
            .map(|(pipeline, grad, page, launch)| {
                let roles = Roles::default().with(Role::Grad, Some(grad));
                let slots = self.pages[*page].sums.as_slice();
                Bound { launch, pipeline, buffers: Buffers { roles, slots } }
            })
            .collect();
        recordables(&self.device, &bound)
    }
}
