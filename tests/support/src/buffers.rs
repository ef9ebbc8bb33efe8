//! Numbers to buffers and back.

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::{Buffer, CommandEncoder};
use wgpu_optim::{Format, View};

use crate::ok;

/// The bits of a view's numbers.
pub fn bits(gpu: &Gpu, view: &View) -> Vec<u32> {
    read(gpu, view).into_iter().map(f32::to_bits).collect()
}

/// A view's numbers.
#[track_caller]
pub fn read(gpu: &Gpu, view: &View) -> Vec<f32> {
    ok(gpu.download(view))
}

/// Numbers that differ from each other, of either sign.
pub fn numbers(len: u64, seed: u64) -> Vec<f32> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        ((x >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 2.0
    };
    std::iter::repeat_with(next).take(len as usize).collect()
}

/// A new buffer of these numbers.
pub fn upload(gpu: &Gpu, numbers: &[f32]) -> Buffer {
    ok(gpu.upload("test", numbers))
}

/// These numbers in a format, in a buffer of their own.
pub fn encoded(gpu: &Gpu, format: Format, numbers: &[f32]) -> View {
    let mut bytes = format.encode_all(numbers);
    bytes.resize(bytes.len().next_multiple_of(4), 0x5a);
    let words: Vec<f32> =
        bytes.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let view = View::whole(&upload(gpu, &words), format);
    view.range(0..numbers.len() as u64)
}

/// Writes these numbers into a view.
pub fn set(gpu: &Gpu, view: &View, numbers: &[f32]) {
    gpu.queue.write_buffer(&view.buffer, view.offset, &view.format.encode_all(numbers));
}

/// Submits what `what` records.
pub fn record(gpu: &Gpu, what: impl FnOnce(&mut CommandEncoder)) {
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    what(&mut encoder);
    gpu.queue.submit([encoder.finish()]);
}
