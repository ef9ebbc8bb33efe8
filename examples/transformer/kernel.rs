//! Kernels of WGSL with their buffers, ready to be dispatched on a batch.

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu;
use wgpu_optim::wgpu::util::DeviceExt;

use super::text::{Batch, Schedule};

/// As `WORKGROUP_SIZE` in `shaders/network.wgsl`.
pub(crate) const WORKGROUP_SIZE: usize = 64;

/// The text and the batches of it, of which a dispatch sees one: bind group 0 of every kernel.
pub(crate) struct Batches {
    text: wgpu::Buffer,
    layout: wgpu::BindGroupLayout,
    group: wgpu::BindGroup,
    /// Bytes from one batch to the next.
    stride: u32,
}

impl Batches {
    pub(crate) fn new(gpu: &Gpu, text: &[u32], schedule: &Schedule) -> Self {
        let stride = gpu.device.limits().min_uniform_buffer_offset_alignment;
        let size = size_of::<Batch>();
        let mut bytes = vec![0; schedule.batches.len() * stride as usize];
        for (bytes, batch) in bytes.chunks_exact_mut(stride as usize).zip(&schedule.batches) {
            bytes[..size].copy_from_slice(bytemuck::bytes_of(batch));
        }
        let buffer = |label, contents: &[u8], usage| {
            gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some(label),
                contents,
                usage: usage | wgpu::BufferUsages::COPY_DST,
            })
        };
        let batches = buffer("batches", &bytes, wgpu::BufferUsages::UNIFORM);
        let storage = wgpu::BufferUsages::STORAGE;
        let text = buffer("text", bytemuck::cast_slice(text), storage);
        let starts = buffer("starts", bytemuck::cast_slice(&schedule.starts), storage);
        let read = wgpu::BufferBindingType::Storage { read_only: true };
        let layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("batch"),
            entries: &[
                layout_entry(0, wgpu::BufferBindingType::Uniform, true),
                layout_entry(1, read, false),
                layout_entry(2, read, false),
            ],
        });
        let one = wgpu::BufferBinding {
            buffer: &batches,
            offset: 0,
            size: wgpu::BufferSize::new(size as u64),
        };
        let entry = |binding, resource| wgpu::BindGroupEntry { binding, resource };
        let group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("batch"),
            layout: &layout,
            entries: &[
                entry(0, wgpu::BindingResource::Buffer(one)),
                entry(1, starts.as_entire_binding()),
                entry(2, text.as_entire_binding()),
            ],
        });
        Self { text, layout, group, stride }
    }

    /// Puts other characters at a place of the text.
    pub(crate) fn write_text(&self, gpu: &Gpu, place: usize, numbers: &[u32]) {
        let offset = (place * size_of::<u32>()) as u64;
        gpu.queue.write_buffer(&self.text, offset, bytemuck::cast_slice(numbers));
    }

    /// Gives a batch to all kernels that are recorded from here on.
    pub(crate) fn bind(&self, pass: &mut wgpu::ComputePass<'_>, batch: usize) {
        pass.set_bind_group(0, &self.group, &[batch as u32 * self.stride]);
    }
}

/// A pipeline with its buffers bound, and the number of its workgroups.
pub(crate) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    buffers: wgpu::BindGroup,
    workgroups: u32,
}

/// A kernel in words.
pub(crate) struct Source<'a> {
    pub(crate) label: &'a str,
    pub(crate) wgsl: String,
    /// The buffers of group 1 from binding 0 on that are only read.
    pub(crate) read: &'a [&'a wgpu::Buffer],
    /// The buffers that follow.
    pub(crate) written: &'a [&'a wgpu::Buffer],
    pub(crate) invocations: usize,
}

impl Kernel {
    /// Compiles a kernel.
    pub(crate) fn new(gpu: &Gpu, batches: &Batches, source: Source<'_>) -> Self {
        let Source { label, wgsl, read, written, invocations } = source;
        let buffers = [(read, true), (written, false)].into_iter().flat_map(|(all, read_only)| {
            let ty = wgpu::BufferBindingType::Storage { read_only };
            all.iter().map(move |buffer| (*buffer, ty))
        });
        let (layouts, entries): (Vec<_>, Vec<_>) = (0..)
            .zip(buffers)
            .map(|(binding, (buffer, ty))| {
                let resource = buffer.as_entire_binding();
                (layout_entry(binding, ty, false), wgpu::BindGroupEntry { binding, resource })
            })
            .unzip();
        let label = Some(label);
        let layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label,
            entries: &layouts,
        });
        let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label,
            source: wgpu::ShaderSource::Wgsl(wgsl.into()),
        });
        let pipeline_layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&batches.layout), Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let buffers = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label,
            layout: &layout,
            entries: &entries,
        });
        let workgroups = invocations.div_ceil(WORKGROUP_SIZE) as u32;
        Self { pipeline, buffers, workgroups }
    }

    /// Records the kernel on the batch that is bound.
    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(1, &self.buffers, &[]);
        pass.dispatch_workgroups(self.workgroups, 1, 1);
    }
}

fn layout_entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    has_dynamic_offset: bool,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    }
}
