//! Clipping, loss scaling and skipping, as the caller sees them.

use std::sync::{Arc, PoisonError};

use futures_channel::oneshot;
use wgpu::util::DeviceExt;

use super::{Optimizer, limits};
use crate::control::{Control, LossScale, Stats};
use crate::error::Error;
use crate::model::{Part, overlapping};
use crate::program::{CLOCK_WORDS, ControllerWords, NONE};
use crate::view::View;

impl Optimizer {
    /// Clips, scales and skips from the next recorded step on.
    ///
    /// Options that look at gradients (`clip_norm`, `skip_nonfinite`, [`LossScale::Dynamic`]) take a launch
    /// more over each buffer of gradients, and one of a single workgroup. Once a step could be skipped, the GPU
    /// counts the steps, and goes on counting when skipping is off again; [`Optimizer::steps`] has those that were
    /// recorded, [`Stats::taken`] those that were taken. The same steps give the same bits either way, as long as
    /// a dynamic loss scale is a power of two.
    ///
    /// A new fixed loss scale applies to the next step. A new dynamic scale applies to the one after the next that
    /// is executed, because that step's loss was multiplied by the scale that [`Optimizer::loss_scale`] shows now.
    /// The same options leave a dynamic scale where it is.
    ///
    /// # Errors
    /// An option out of its range ([`Control::check`]), or a limit of the device too small
    /// ([`Error::Limit`]); then nothing changes.
    pub fn set_control(&mut self, control: Control) -> Result<(), Error> {
        control.check()?;
        if control == *self.model.control {
            return Ok(());
        }
        if control.zero_grad {
            let grads = self.model.grads.iter().enumerate();
            let present = grads.filter_map(|(i, grad)| Some((i, grad.view.as_ref()?)));
            if let Some([one, two]) = overlapping(present) {
                let (what, view) = self.claimed(Part::Grad, two);
                return Err(self.overlaps(&what, (Part::Grad, view), (Part::Grad, one)));
            }
        }
        if control.skips() && !self.model.cohorts.is_counted() {
            self.check_dependents(None, &[])?;
        }
        let other_scale = control.loss_scale != self.model.control.loss_scale;
        let is_dynamic = matches!(control.loss_scale, LossScale::Dynamic { .. });
        if self.model.controller.is_none() && control.looks_at_gradients() {
            self.begin_control(&control)?;
        } else if self.model.is_controlled() && other_scale && is_dynamic {
            self.model.last_start += 1;
        }
        if control.skips() {
            self.model.cohorts.count();
        }
        *self.model.control.edit() = control;
        Ok(())
    }

    /// Makes the numbers that last on the GPU.
    pub(super) fn begin_control(&mut self, control: &Control) -> Result<(), Error> {
        let device = self.model.device.clone();
        let device_limits = device.limits();
        limits::check_control(&device_limits)?;
        let cohorts = self.model.cohorts.all().len() as u64;
        limits::check_cohorts(&device_limits, cohorts, true)?;
        let lens = self.model.params.iter().map(|param| param.view.len);
        limits::check_partials(&device_limits, lens, self.program.kernels.bounds())?;
        let mut words = vec![0_u32; limits::controller_words(&device_limits)];
        let start = 1;
        let head = ControllerWords::new(control, start).words();
        words[..head.len()].copy_from_slice(&head);
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("wgpu-optim controller"),
            contents: bytemuck::cast_slice(&words),
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
        });
        (self.model.controller, self.model.last_start) = (Some(buffer), start);
        Ok(())
    }

    /// The options for gradients.
    pub fn control(&self) -> &Control {
        &self.model.control
    }

    /// Where the loss scale of the next step's gradients is, for a loss kernel to bind: one element, in
    /// a buffer of the library's with usages `STORAGE` and `COPY_SRC`. `None` unless it is dynamic. A scale
    /// that [`Optimizer::set_control`] sets later is there after the next step.
    pub fn loss_scale(&self) -> Option<View> {
        let LossScale::Dynamic { .. } = self.model.control.loss_scale else { return None };
        Some(View::f32_at(self.model.controller.as_ref()?, 0, 1))
    }

    /// The statistics of the last step that looked at gradients and was submitted before this call, which
    /// submits a copy of some bytes and waits for nothing. The future is ready once the device has been polled
    /// after that (`device.poll`, which is the caller's).
    ///
    /// # Errors
    /// The future's, if the device fails, or if no step has looked at gradients yet.
    pub fn stats(&self, queue: &wgpu::Queue) -> impl Future<Output = Result<Stats, Error>> + use<> {
        let device = &self.model.device;
        let cohorts = self.model.cohorts.all();
        let size = 4 * (ControllerWords::NAMES.len() + CLOCK_WORDS * cohorts.len()) as u64;
        let staging = self.model.controller.as_ref().map(|controller| {
            let staging = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgpu-optim stats"),
                size,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(controller, 0, &staging, 0, size);
            queue.submit([encoder.finish()]);
            let (done, mapped) = oneshot::channel();
            // Nobody listens any more if the caller has dropped the future.
            staging.slice(..).map_async(wgpu::MapMode::Read, |result| _ = done.send(result));
            (staging, mapped)
        });
        // The names as they are now; parameters may be added or removed before the future is asked.
        let name = |number: &usize| {
            self.model.places[*number].map(|index| self.model.params[index].name.clone())
        };
        let names: Vec<Option<String>> = self.model.order.iter().map(name).collect();
        let known = Arc::clone(self.program.known_skips());
        async move {
            let failed = |message| Error::Readback { what: "the statistics".to_owned(), message };
            let nothing = || failed("no step has looked at its gradients".to_owned());
            let Some((staging, mapped)) = staging else { return Err(nothing()) };
            let mapped = mapped.await.map_err(|e| failed(e.to_string()))?;
            mapped.map_err(|e| failed(e.to_string()))?;
            let range = staging.slice(..).get_mapped_range().map_err(|e| failed(e.to_string()))?;
            let words: Vec<u32> =
                range.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
            let (head, clocks) = words.split_at(ControllerWords::NAMES.len());
            let head = ControllerWords::from(std::array::from_fn(|i| head[i]));
            if head.looked == 0 {
                return Err(nothing());
            }
            let clocks = clocks.as_chunks().0.iter();
            let skips = clocks.map(|&[skipped, generation]| (generation, u64::from(skipped)));
            *known.lock().unwrap_or_else(PoisonError::into_inner) =
                skips.filter(|(generation, _)| *generation > 0).collect();
            let number = |bits: u32| f64::from(f32::from_bits(bits));
            let first = (head.found_inf != NONE).then(|| names.get(head.found_inf as usize));
            Ok(Stats {
                norm: number(head.norm),
                coefficient: number(head.coefficient),
                loss_scale: number(head.scale),
                taken: head.steps.into(),
                skipped: head.skipped.into(),
                nonfinite: first.flatten().cloned().flatten(),
                overrun: head.overrun > 0,
            })
        }
    }
}
