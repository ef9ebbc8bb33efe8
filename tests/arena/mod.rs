//! Parameters of an arena, their gradients, and ways to fill and step them.
#![allow(dead_code, reason = "each test file is a program of its own and uses a part of this")]

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::{Buffer, CommandEncoder};
use wgpu_optim::{Format, Group, Optimizer, View};

use crate::common::ok;

pub(crate) fn upload(gpu: &Gpu, numbers: &[f32]) -> Buffer {
    ok(gpu.upload("test", numbers))
}

pub(crate) fn encoded(gpu: &Gpu, format: Format, numbers: &[f32]) -> View {
    let mut bytes = format.encode_all(numbers);
    bytes.resize(bytes.len().next_multiple_of(4), 0x5a);
    let words: Vec<f32> =
        bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let view = View::whole(&upload(gpu, &words), format);
    view.range(0..numbers.len() as u64)
}

pub(crate) fn set(gpu: &Gpu, view: &View, numbers: &[f32]) {
    gpu.queue.write_buffer(&view.buffer, view.offset, &view.format.encode_all(numbers));
}

pub(crate) fn record(gpu: &Gpu, what: impl FnOnce(&mut CommandEncoder)) {
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    what(&mut encoder);
    gpu.queue.submit([encoder.finish()]);
}

pub(crate) fn adam() -> Group {
    Group::adamw(1e-2).weight_decay(0.03)
}

/// Four parameters of an arena with gaps, in two groups, so that there are tables and loose ends.
pub(crate) const PLACES: [(u64, u64); 4] = [(1, 1030), (1032, 77), (1112, 2500), (3615, 6)];
pub(crate) const ROOM: u64 = 3624;

pub(crate) fn places(of: &View) -> Vec<View> {
    PLACES.iter().map(|&(at, len)| of.clone().range(at..at + len)).collect()
}

pub(crate) fn add_all(optimizer: &mut Optimizer, groups: [Group; 2], params: &View, grads: &View) {
    let ids = groups.map(|group| ok(optimizer.add_group(group)));
    for (i, (param, grad)) in places(params).into_iter().zip(places(grads)).enumerate() {
        ok(optimizer.add_param(ids[i % 2], &i.to_string(), param, grad));
    }
}
