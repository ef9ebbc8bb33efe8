//! The optimizer: the caller's side of the model and of the program.

mod accumulate;
mod average;
mod check;
#[cfg(feature = "checkpoint")]
mod checkpoint;
mod control;
mod grads;
mod groups;
mod limits;
mod params;
mod remove;
mod state;

use futures_util::FutureExt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Error;
use crate::model::Model;
use crate::program::Program;

/// The next optimizer's serial number.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// A group of an [`Optimizer`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct GroupId {
    optimizer: u64,
    index: usize,
}

/// A parameter of an [`Optimizer`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ParamId {
    optimizer: u64,
    number: usize,
}

/// Updates parameters that live in your buffers, by kernels recorded into your encoder.
///
/// It owns the state (`exp_avg`, …) and nothing else: it submits nothing, waits for nothing, installs
/// no handlers, and needs no features and only WebGPU's default limits of the device.
///
/// Parameters that lie in one buffer, with their gradients in one buffer of the same layout, are updated by at most
/// two dispatches for each rule and combination of its switches and each 32 cohorts (parameters of one group that
/// were added at the same step), whatever their number, as far as one binding reaches; parameters with buffers
/// of their own by at most two each. Whole quads go four elements to an invocation, and up to three elements at
/// either end of a run one by one. Where only some gradients stand at another place in a quad than their parameters,
/// a third dispatch takes those.
///
/// On one device, driver and set of parameters the results are the same bits from run to run, wherever in
/// their buffers gradients lie, and recording any number of steps into one encoder gives the bits of submitting
/// each alone.
///
/// A step counts when it is recorded: one whose encoder is never submitted changes no number, but the next step
/// is the one after it, on the host and on the GPU alike.
#[derive(Debug)]
pub struct Optimizer {
    /// Tells its ids from another optimizer's.
    serial: u64,
    model: Model,
    program: Program,
}

impl Optimizer {
    /// An optimizer without parameters. Records with `device` only; its limits are respected as they are.
    pub fn new(device: &wgpu::Device) -> Self {
        Self::of(device, false)
    }

    /// The yardstick of a benchmark: records the same launches over the same bytes, but each writes
    /// sums of what it read in place of a step.
    #[doc(hidden)]
    pub fn streaming(device: &wgpu::Device) -> Self {
        Self::of(device, true)
    }

    fn of(device: &wgpu::Device, streams: bool) -> Self {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let model = Model::new(device, streams);
        let program = Program::new(device, limits::bounds(&device.limits()));
        Self { serial, model, program }
    }

    /// Records one step of every group into `encoder`, in one compute pass.
    ///
    /// Learning rates and all other options are those of this moment: what is set later counts for
    /// steps recorded later, whenever the encoder is submitted.
    pub fn step(&mut self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: Some("wgpu-optim step"),
            timestamp_writes: None,
        });
        self.step_in_pass(&mut pass);
    }

    /// [`Optimizer::step`] inside a compute pass that is already open. The pass is left with this step's
    /// pipeline and bind groups.
    pub fn step_in_pass(&mut self, pass: &mut wgpu::ComputePass<'_>) {
        if self.model.is_eval {
            self.make_ready();
            self.blend_in_pass(pass, false);
        }
        let multiplied = self.take_sums();
        self.model.recorded += 1;
        let counted = self.model.cohorts.is_counted();
        self.model.groups.iter_mut().for_each(|group| group.count(counted));
        self.make_ready();
        self.program.record(&self.model, pass, multiplied);
    }

    /// Allocates the state of parameters added since the last step and compiles what they need, so
    /// that the next step does neither. [`Optimizer::step`] does it if need be.
    ///
    /// # Errors
    /// If the device has no room for the state; then nothing has changed, and a step would meet the
    /// device's own error handling. On the web such errors arrive later, there.
    pub fn prepare(&mut self) -> Result<(), Error> {
        let placed = self.model.params.iter().filter(|param| param.spot.is_some()).count();
        let slabs = self.model.slabs.len();
        let device = self.model.device.clone();
        let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        self.make_ready();
        let Some(Some(error)) = scope.pop().now_or_never() else { return Ok(()) };
        self.model.slabs.truncate(slabs);
        let params = self.model.params.edit();
        params[placed..].iter_mut().for_each(|param| param.spot = None);
        self.program.forget();
        Err(Error::OutOfMemory { what: "the state".to_owned(), message: error.to_string() })
    }

    fn make_ready(&mut self) {
        self.allocate();
        self.program.refresh(&self.model);
    }

    /// Whether everything derived is what it would be if it were made anew: for tests.
    #[doc(hidden)]
    pub fn is_up_to_date(&mut self) -> bool {
        self.make_ready();
        if self.model.sums.made.is_some() {
            self.program.refresh_sums(&self.model);
        }
        self.program.equals_a_new_one(&self.model)
    }

    /// How many dispatches a step takes: for looking into a slow one.
    pub fn dispatches(&mut self) -> usize {
        self.make_ready();
        self.program.dispatches(&self.model)
    }
}

#[cfg(test)]
mod tests;
