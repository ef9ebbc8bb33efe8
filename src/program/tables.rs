//! This module writes the tables of launches: the words that a kernel reads as `launch` and `chunks`.

use wgpu::util::DeviceExt;

use crate::kernel::{LAUNCH, LAUNCH_WORDS, WINDOW};
use crate::plan::{Chunk, GRAD, Launch, MOST, PARAM, STATE};

/// The words of one launch and of its chunks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Words {
    pub(super) launch: [u32; LAUNCH_WORDS],
    /// The words of the chunks; empty for a launch without a table.
    pub(super) chunks: Vec<[u32; 4]>,
}

impl Words {
    /// The words of a launch whose table sees a window of blocks of scalars. Random bits count from an element that
    /// lies `further` elements behind the parameter's own.
    pub(super) fn of(launch: &Launch, further: u32) -> Self {
        let row = launch.grid[0];
        let Launch { chunks, shift, .. } = launch;
        let (at, length) = match shift {
            None => (chunks[0].at, chunks[0].length),
            Some(_) => ([0; MOST], chunks.len() as u32),
        };
        let first = (launch.first as u32).wrapping_add(further);
        let head: [u32; LAUNCH.len()] =
            [at[PARAM], at[GRAD], at[STATE], length, row, shift.unwrap_or(0), first, 0];
        let mut words = [0; LAUNCH_WORDS];
        words[..head.len()].copy_from_slice(&head);
        words[head.len()..].copy_from_slice(&launch.distances);
        let row = |chunk: &Chunk| {
            let [param, grad, state, ..] = chunk.at;
            [param, grad, state, (chunk.block % WINDOW) << 16 | chunk.length]
        };
        let chunks = shift.map_or_else(Vec::new, |_| chunks.iter().map(row).collect());
        Self { launch: words, chunks }
    }
}

/// The places of a launch's words.
#[derive(Clone, Debug)]
pub(super) struct TablePlace {
    buffer: wgpu::Buffer,
    launch: u64,
    /// The first byte of the chunks, and their size in bytes.
    chunks: Option<(u64, u64)>,
}

impl TablePlace {
    /// The bindings of the words.
    pub(super) fn entries(&self) -> Vec<wgpu::BindGroupEntry<'_>> {
        let size = (LAUNCH_WORDS * 4) as u64;
        let mut entries = vec![entry(0, &self.buffer, self.launch, size)];
        entries.extend(self.chunks.map(|(at, size)| entry(1, &self.buffer, at, size)));
        entries
    }
}

/// Uploads the words of launches, in as few buffers as the device's limits allow.
pub(super) fn upload<'a>(
    device: &wgpu::Device,
    words: impl Iterator<Item = &'a Words>,
) -> Vec<TablePlace> {
    let limits = device.limits();
    let alignment =
        limits.min_uniform_buffer_offset_alignment.max(limits.min_storage_buffer_offset_alignment);
    let aligned = |bytes: usize| bytes.next_multiple_of(alignment as usize);
    let mut places = Vec::new();
    let mut bytes: Vec<u8> = Vec::new();
    let mut waiting: Vec<(u64, Option<(u64, u64)>)> = Vec::new();
    let mut flush = |bytes: &mut Vec<u8>, waiting: &mut Vec<(u64, Option<(u64, u64)>)>| {
        if waiting.is_empty() {
            return;
        }
        let buffer = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("wgpu-optim tables"),
            contents: bytes,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE,
        });
        places.extend(waiting.drain(..).map(|(launch, chunks)| TablePlace {
            buffer: buffer.clone(),
            launch,
            chunks,
        }));
        bytes.clear();
    };
    for Words { launch, chunks } in words {
        let launch: &[u8] = bytemuck::cast_slice(launch);
        let chunks: &[u8] = bytemuck::cast_slice(chunks);
        let end = aligned(aligned(bytes.len()) + launch.len()) + chunks.len();
        if end as u64 > limits.max_buffer_size {
            flush(&mut bytes, &mut waiting);
        }
        let mut push = |part: &[u8]| {
            bytes.resize(aligned(bytes.len()), 0);
            let at = bytes.len() as u64;
            bytes.extend_from_slice(part);
            at
        };
        let place = push(launch);
        let chunks = (!chunks.is_empty()).then(|| (push(chunks), chunks.len() as u64));
        waiting.push((place, chunks));
    }
    flush(&mut bytes, &mut waiting);
    places
}

/// A part of a buffer at a binding.
pub(super) fn entry(
    binding: u32,
    buffer: &wgpu::Buffer,
    offset: u64,
    size: u64,
) -> wgpu::BindGroupEntry<'_> {
    let size = wgpu::BufferSize::new(size);
    let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size });
    wgpu::BindGroupEntry { binding, resource }
}
