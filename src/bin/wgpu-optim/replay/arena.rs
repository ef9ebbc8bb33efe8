//! Places on the device, and numbers to them.

use wgpu_optim::headless::Gpu;
use wgpu_optim::{Error, Format, View, wgpu};

use crate::Failure;
use crate::trace::Trace;

/// Parameters are packed into buffers of up to this many bytes, so that small ones share dispatches.
const ARENA: u64 = 64 << 20;

/// Bytes that may be on their way to the device before the next wait.
pub(super) const IN_FLIGHT: u64 = 256 << 20;

/// A place for every parameter and for its gradient, each at a multiple of 16 bytes.
pub(super) fn allocate(gpu: &Gpu, trace: &Trace) -> Result<Vec<(View, View)>, Error> {
    let most = gpu.device.limits().max_buffer_size;
    // Where each tensor goes: which arena, and at which byte of it.
    let (mut places, mut sizes) = (Vec::new(), Vec::new());
    for tensor in &trace.tensors {
        // In whole words, and of both arenas alike.
        let [param, grad] = tensor.formats().map(Format::bytes);
        let bytes = (tensor.len * param.max(grad)).next_multiple_of(4);
        if bytes > most {
            let what = format!("parameter `{}`", tensor.name);
            return Err(Error::Limit { limit: "max_buffer_size", has: most, what, needs: bytes });
        }
        let at = sizes.last().map_or(0, |size: &u64| size.next_multiple_of(16));
        match sizes.last_mut() {
            Some(size) if at + bytes <= ARENA.min(most) => {
                *size = at + bytes;
                places.push((sizes.len() - 1, at));
            }
            _ => {
                sizes.push(bytes);
                places.push((sizes.len() - 1, 0));
            }
        }
    }
    let buffers = |label: &str| -> Result<Vec<wgpu::Buffer>, Error> {
        sizes.iter().map(|size| gpu.zeros(label, size / 4)).collect()
    };
    let (params, grads) = (buffers("params")?, buffers("grads")?);
    let views = trace.tensors.iter().zip(places).map(|(tensor, (arena, at))| {
        let view = |buffers: &[wgpu::Buffer], format| View {
            offset: at,
            len: tensor.len,
            ..View::whole(&buffers[arena], format)
        };
        let [param, grad] = tensor.formats();
        (view(&params, param), view(&grads, grad))
    });
    Ok(views.collect())
}

/// Writes what `read` reads into a view.
pub(super) fn upload(
    gpu: &Gpu,
    view: &View,
    read: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut at, mut in_flight) = (view.offset, 0);
    let mut waited = Ok(());
    read(&mut |bytes| {
        let (words, rest) = bytes.split_at(bytes.len() / 4 * 4);
        gpu.queue.write_buffer(&view.buffer, at, words);
        if let &[low, high] = rest {
            // An odd length of 16 bits ends the tensor; its word is its own.
            gpu.queue.write_buffer(&view.buffer, at + words.len() as u64, &[low, high, 0, 0]);
        }
        at += bytes.len() as u64;
        in_flight += bytes.len() as u64;
        if in_flight >= IN_FLIGHT && waited.is_ok() {
            // Written data waits in memory for the next submission.
            gpu.queue.submit([]);
            waited = gpu.wait();
            in_flight = 0;
        }
    })?;
    Ok(waited?)
}
