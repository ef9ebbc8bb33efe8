//! This module has a small optimizer on a device that computes nothing, for thousands of files.

use support::{noop, ok};
use wgpu_optim::checkpoint::{Error, LoadOptions, SaveOptions};
use wgpu_optim::wgpu::{Buffer, BufferDescriptor, BufferUsages, Device, Limits, PollType, Queue};
use wgpu_optim::{
    Control, Format, Group, LossScale, Master, Optimizer, Schedule, StateFormat, Target, View,
};

/// Three parameters in two groups: one whose rule remembers rates, one with masters, averages and blocks.
pub(crate) struct Small {
    pub(crate) optimizer: Optimizer,
    pub(crate) device: Device,
    pub(crate) queue: Queue,
}

impl Small {
    /// An optimizer that has taken two steps, and can skip some.
    pub(crate) fn new() -> Self {
        let loss_scale = LossScale::dynamic();
        let counted = Control { loss_scale, skip_nonfinite: true, ..Control::default() };
        Self::with(counted)
    }

    pub(crate) fn with(control: Control) -> Self {
        let (device, queue) = noop::device(Limits::default());
        let mut optimizer = Optimizer::new(&device);
        ok(optimizer.set_control(control));
        let one = Group::new(1e-2, wgpu_optim::NAdam::default())
            .schedule(Target::Lr, Schedule::warmup(3, 0.0, Schedule::cosine(1e-2, 1e-4, 9)));
        let two = Group::adamw(1e-3).master(Master::Remainder).ema(0.9);
        let two = two.state_format([("exp_avg", StateFormat::Block4)]);
        let ids = [one, two].map(|group| ok(optimizer.add_group(group)));
        let params =
            [("a", 0, Format::F32, 5), ("b", 1, Format::Bf16, 6), ("c.c", 1, Format::Bf16, 3)];
        for (name, group, format, len) in params {
            let [param, grad] = [0, 1].map(|_| buffer(&device, len));
            let param = View::whole(&param, format).range(1..1 + len);
            ok(optimizer.add_param(ids[group], name, param, View::f32(&grad).range(0..len)));
        }
        let mut small = Self { optimizer, device, queue };
        small.step();
        small.step();
        small
    }

    /// Records and submits a step.
    pub(crate) fn step(&mut self) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.optimizer.step(&mut encoder);
        self.queue.submit([encoder.finish()]);
        ok(self.device.poll(PollType::wait_indefinitely()));
    }

    /// Records and submits adding the gradients up.
    pub(crate) fn accumulate(&mut self) {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        ok(self.optimizer.accumulate(&mut encoder));
        self.queue.submit([encoder.finish()]);
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        self.bytes_with(&SaveOptions::default())
    }

    pub(crate) fn bytes_with(&mut self, options: &SaveOptions) -> Vec<u8> {
        ok(self.try_bytes(options))
    }

    pub(crate) fn try_bytes(&mut self, options: &SaveOptions) -> Result<Vec<u8>, Error> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let snapshot = self.optimizer.snapshot(&mut encoder, options)?;
        self.queue.submit([encoder.finish()]);
        finished(&self.device, std::pin::pin!(snapshot.to_bytes(&self.queue)))
    }

    pub(crate) fn load(&mut self, bytes: &[u8], options: &LoadOptions) -> Result<(), Error> {
        let Self { optimizer, device, queue } = self;
        finished(device, std::pin::pin!(optimizer.load_bytes(queue, bytes, options)))
    }

    /// Everything that the host knows, as text.
    pub(crate) fn host(&mut self) -> String {
        let ids: Vec<_> = self.optimizer.groups().map(|(id, _)| id).collect();
        let frozen = ["a", "b", "c.c"]
            .map(|name| ok(self.optimizer.is_frozen(ok(self.optimizer.param(name)))));
        let scalars = ok(self.optimizer.state_dict()).scalars;
        let optimizer = &self.optimizer;
        let memories: Vec<_> = ids.iter().map(|id| ok(optimizer.memory(*id))).collect();
        let groups: Vec<_> = optimizer.groups().map(|(_, group)| group.clone()).collect();
        let control = optimizer.control();
        format!("{scalars:?} {groups:?} {memories:?} {control:?} {frozen:?}")
    }
}

fn buffer(device: &Device, len: u64) -> Buffer {
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
    device.create_buffer(&BufferDescriptor {
        label: None,
        size: 4 * (len + 2),
        usage,
        mapped_at_creation: false,
    })
}

/// Polls the device until the future is ready.
fn finished<F: Future>(device: &Device, mut future: std::pin::Pin<&mut F>) -> F::Output {
    let waker = std::task::Waker::noop();
    loop {
        let mut context = std::task::Context::from_waker(waker);
        if let std::task::Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return result;
        }
        ok(device.poll(PollType::wait_indefinitely()));
    }
}
