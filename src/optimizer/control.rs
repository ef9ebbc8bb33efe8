//! Clipping, loss scaling and skipping, as the caller sees them.

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::ledger::{HEAD, Ledger};
use super::{Optimizer, check, device};
use crate::claims::What;
use crate::control::{Control, LossScale, Stats};
use crate::error::Error;
use crate::view::View;

/// Bytes of the ledger that [`Stats`] are read from.
const READ: u64 = HEAD as u64 * 4;

impl Optimizer {
    /// Clips, scales and skips from the next recorded step on.
    ///
    /// What looks at gradients (`clip_norm`, `skip_nonfinite`, [`LossScale::Dynamic`]) takes a launch
    /// over each buffer of gradients more, and one of a single workgroup. Once it has been on, the GPU
    /// counts the steps, and goes on counting when it is off again; [`Optimizer::steps`] is what was
    /// recorded, [`Stats::taken`] what was taken. The same steps give the same bits either way, as long as
    /// a loss scale is a power of two.
    ///
    /// Another fixed loss scale than before is that of the next step's gradients already. Another dynamic
    /// one begins behind the next step, whose gradients were made with what [`Optimizer::loss_scale`] still
    /// shows. The same options leave a dynamic scale where it is.
    ///
    /// # Errors
    /// An option out of its range ([`Control::check`]), or a limit of the device too small
    /// ([`Error::Limit`]); then nothing changes.
    pub fn set_control(&mut self, control: Control) -> Result<(), Error> {
        control.check()?;
        if control == self.control {
            return Ok(());
        }
        if control.zero_grad
            && let Some([one, two]) = self.claims.shared_grads()
        {
            let (what, view) = self.claimed(What::Grad, two);
            let (other, at) = self.claimed(What::Grad, one);
            return Err(check::overlap(&what, view, other, at));
        }
        if let Some(ledger) = &mut self.ledger {
            if control.loss_scale != self.control.loss_scale {
                let scale = control.loss_scale.initial() as f32;
                ledger.new_scale = match control.loss_scale {
                    LossScale::Fixed(_) => scale,
                    // Until the next step is taken, `loss_scale` shows what was.
                    LossScale::Dynamic { .. } => -scale,
                };
            }
            ledger.forget();
        } else if control.looks_at_gradients() {
            device::check_control(&self.device.limits())?;
            let most = device::most_blocks(&self.device.limits());
            let counted = (&self.groups[..], &self.blocks[..], most);
            self.ledger = Some(Ledger::new(&self.device, self.bounds, &control, counted));
        }
        if control.clip_value.is_some() != self.control.clip_value.is_some() {
            self.launches = None;
        }
        if control.zero_grad != self.control.zero_grad {
            self.replan();
        }
        self.control = control;
        Ok(())
    }

    /// What happens to the gradients.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Where the loss scale of the next step's gradients is, for a loss kernel to bind: one element, in
    /// a buffer of the library's with usages `STORAGE` and `COPY_SRC`. `None` unless it is dynamic. What
    /// [`Optimizer::set_control`] makes of it later is there after the next step.
    pub fn loss_scale(&self) -> Option<View> {
        let LossScale::Dynamic { .. } = self.control.loss_scale else { return None };
        Some(View::f32_at(&self.ledger.as_ref()?.buffer, 0, 1))
    }

    /// What came of the gradients of the last step submitted before this call: it submits a copy of 32
    /// bytes and waits for nothing. The future is ready once the device has been polled after that
    /// (`device.poll`, which is the caller's).
    ///
    /// # Errors
    /// The future's, if the device fails, or if no step has looked at gradients yet.
    pub fn stats(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
    ) -> impl Future<Output = Result<Stats, Error>> + use<> {
        let staging = self.ledger.as_ref().map(|ledger| {
            let staging = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgpu-optim stats"),
                size: READ,
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            });
            let mut encoder = device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(&ledger.buffer, 0, &staging, 0, READ);
            queue.submit([encoder.finish()]);
            staging
        });
        let mapped = staging.as_ref().map(map);
        // The names as they are now; parameters may be added before the future is asked.
        let names = self.first_names();
        async move {
            let failed = |message| Error::Readback { what: "the statistics".to_owned(), message };
            let (Some(staging), Some(mapped)) = (staging, mapped) else {
                return Err(failed("no step has looked at its gradients".to_owned()));
            };
            mapped.await.map_err(|e| failed(e.to_string()))?;
            let range = staging.slice(..).get_mapped_range().map_err(|e| failed(e.to_string()))?;
            let words: Vec<u32> =
                range.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
            let number = |at: usize| f64::from(f32::from_bits(words[at]));
            Ok(Stats {
                norm: number(4),
                coefficient: number(5),
                loss_scale: number(0),
                taken: words[2].into(),
                skipped: words[3].into(),
                nonfinite: names(words[6]),
            })
        }
    }

    /// The name of the parameter that a partial sum is of.
    fn first_names(&self) -> impl FnOnce(u32) -> Option<String> + use<> {
        let firsts = self.ledger.as_ref().map(|ledger| ledger.firsts.clone()).unwrap_or_default();
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        move |partial| {
            let found = (partial != u32::MAX).then(|| firsts.partition_point(|of| *of <= partial));
            names.get(found?.checked_sub(1)?).cloned()
        }
    }
}

/// A future of a buffer's being mapped.
fn map(buffer: &wgpu::Buffer) -> impl Future<Output = Result<(), wgpu::BufferAsyncError>> + use<> {
    type Done = Option<Result<(), wgpu::BufferAsyncError>>;
    let shared: Arc<Mutex<(Done, Option<Waker>)>> = Arc::default();
    let told = Arc::clone(&shared);
    buffer.slice(..).map_async(wgpu::MapMode::Read, move |result| {
        // A panic while this is held is nobody's here.
        let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        told.0 = Some(result);
        if let Some(waker) = told.1.take() {
            waker.wake();
        }
    });
    std::future::poll_fn(move |context| {
        let mut shared = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match shared.0.take() {
            Some(result) => Poll::Ready(result),
            None => {
                shared.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
}
