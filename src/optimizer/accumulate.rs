//! Gradients of several backward passes, added up for one step.

use super::{Optimizer, limits};
use crate::error::Error;
use crate::model::{Body, Spec, operand};
use futures_util::FutureExt;

impl Optimizer {
    /// Records adding the gradients of every parameter, as they are then, to sums in f32 of the library's,
    /// in a compute pass of its own. The next step takes their mean, or the sum itself
    /// ([`Control::accumulation`](crate::Control::accumulation)), for the gradients and begins anew, whether
    /// it is taken or skipped.
    ///
    /// The first time, it allocates 4 bytes for each element of each parameter, and at the next step what
    /// the step records; it is as cheap as a step's recording after that.
    ///
    /// An accumulation counts when it is recorded. If its encoder is never submitted, its gradients are missing
    /// from the sum, which is divided by as many all the same; it never mixes with an older step's.
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
        self.ready_sums()?;
        if self.model.params.is_empty() {
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
    pub fn accumulate_in_pass(&mut self, pass: &mut wgpu::ComputePass<'_>) -> Result<(), Error> {
        self.ready_sums()?;
        if !self.model.params.is_empty() {
            self.add(pass);
        }
        Ok(())
    }

    /// Makes what adding takes.
    pub(super) fn ready_sums(&mut self) -> Result<(), Error> {
        if self.model.sums.made.is_none() {
            let device_limits = self.model.device.limits();
            for param in self.model.params.iter() {
                limits::check_sum(&device_limits, &param.name, &param.view)?;
            }
            self.allocate();
            let device = self.model.device.clone();
            let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            self.model.sums.made = Some(device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgpu-optim sums made"),
                size: 16,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::UNIFORM
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }));
            let sums = Spec::new(Body::Accumulate, None);
            self.model.slabs.extend(&device, &sums);
            if let Some(Some(error)) = scope.pop().now_or_never() {
                self.model.sums.made = None;
                self.model.slabs.drop_operand(operand("sum").unwrap_or_default());
                let what = "the sums of gradients".to_owned();
                return Err(Error::OutOfMemory { what, message: error.to_string() });
            }
        }
        self.allocate();
        self.program.refresh_sums(&self.model);
        Ok(())
    }

    fn add(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        let sums = &mut self.model.sums;
        if sums.added == 0 {
            // 24 bits, which a scalar holds exactly; 0 is for sums that were never made.
            sums.generation = sums.generation % 0xff_ffff + 1;
        }
        sums.added += 1;
        self.program.record_sums(&self.model, pass);
    }

    /// Has the next step use what was added up, if anything was, and tells how many times too large that is.
    pub(super) fn take_sums(&mut self) -> f64 {
        let sums = &mut self.model.sums;
        let added = std::mem::take(&mut sums.added);
        if *sums.taken != (added > 0) {
            *sums.taken.edit() = added > 0;
        }
        self.model.control.divisor(added)
    }
}
