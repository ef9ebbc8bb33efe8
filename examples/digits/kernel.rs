//! A WGSL file and its buffers, ready to be dispatched.

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::util::DeviceExt;
use wgpu_optim::{View, wgpu};

use super::data::Batch;

/// As `WORKGROUP_SIZE` in `shaders/network.wgsl`.
const WORKGROUP_SIZE: u32 = 64;

/// All batches in one uniform buffer, of which a dispatch sees one, and what the loss is multiplied by:
/// bind group 0 of every kernel.
pub(crate) struct Batches {
    buffer: wgpu::Buffer,
    layout: wgpu::BindGroupLayout,
    group: wgpu::BindGroup,
    /// Bytes from one batch to the next.
    stride: u32,
    /// Images in each batch.
    counts: Vec<u32>,
}

impl Batches {
    pub(crate) fn new(gpu: &Gpu, batches: &[Batch], loss_scale: &View) -> Self {
        let stride = gpu.device.limits().min_uniform_buffer_offset_alignment;
        let size = size_of::<Batch>();
        let mut bytes = vec![0; batches.len() * stride as usize];
        for (bytes, batch) in bytes.chunks_exact_mut(stride as usize).zip(batches) {
            bytes[..size].copy_from_slice(bytemuck::bytes_of(batch));
        }
        let buffer = gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("batches"),
            contents: &bytes,
            usage: wgpu::BufferUsages::UNIFORM,
        });
        let layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("batch"),
            entries: &[
                layout_entry(0, wgpu::BufferBindingType::Uniform, true),
                layout_entry(1, wgpu::BufferBindingType::Storage { read_only: true }, false),
            ],
        });
        let group = group(gpu, &layout, &buffer, loss_scale);
        let counts = batches.iter().map(|batch| batch.count).collect();
        Self { buffer, layout, group, stride, counts }
    }

    /// Multiplies the loss by the one number in `loss_scale` from here on.
    pub(crate) fn scale_loss(&mut self, gpu: &Gpu, loss_scale: &View) {
        self.group = group(gpu, &self.layout, &self.buffer, loss_scale);
    }

    /// How many images a batch has.
    pub(crate) fn count(&self, batch: usize) -> usize {
        self.counts[batch] as usize
    }
}

/// One of the batches, at a dynamic offset, and the loss scale.
fn group(
    gpu: &Gpu,
    layout: &wgpu::BindGroupLayout,
    batches: &wgpu::Buffer,
    loss_scale: &View,
) -> wgpu::BindGroup {
    let entry = |binding, buffer, offset, size: usize| wgpu::BindGroupEntry {
        binding,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer,
            offset,
            size: wgpu::BufferSize::new(size as u64),
        }),
    };
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("batch"),
        layout,
        entries: &[
            entry(0, batches, 0, size_of::<Batch>()),
            entry(1, &loss_scale.buffer, loss_scale.offset, size_of::<f32>()),
        ],
    })
}

/// A pipeline with its buffers bound.
pub(crate) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    buffers: wgpu::BindGroup,
}

impl Kernel {
    /// Compiles `wgsl`. `read` are its buffers in group 1 from binding 0 on, `written` those that follow.
    pub(crate) fn new(
        gpu: &Gpu,
        label: &str,
        wgsl: &str,
        batches: &Batches,
        read: &[&wgpu::Buffer],
        written: &[&wgpu::Buffer],
    ) -> Self {
        let access = [(read, true), (written, false)];
        let buffers = access.iter().flat_map(|&(buffers, read_only)| {
            buffers
                .iter()
                .map(move |&buffer| (buffer, wgpu::BufferBindingType::Storage { read_only }))
        });
        let (layouts, entries): (Vec<_>, Vec<_>) = (0..)
            .zip(buffers)
            .map(|(binding, (buffer, ty))| {
                let resource = buffer.as_entire_binding();
                (layout_entry(binding, ty, false), wgpu::BindGroupEntry { binding, resource })
            })
            .unzip();
        let layout = gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(label),
            entries: &layouts,
        });
        let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(wgsl.into()),
        });
        let pipeline_layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &[Some(&batches.layout), Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let buffers = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &layout,
            entries: &entries,
        });
        Self { pipeline, buffers }
    }

    /// Records at least this many invocations on a batch.
    pub(crate) fn record(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        batches: &Batches,
        batch: usize,
        invocations: usize,
    ) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &batches.group, &[batch as u32 * batches.stride]);
        pass.set_bind_group(1, &self.buffers, &[]);
        pass.dispatch_workgroups((invocations as u32).div_ceil(WORKGROUP_SIZE), 1, 1);
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
