//! The device under test.

use std::sync::OnceLock;

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::{
    ComputePipeline, ComputePipelineDescriptor, Limits, ShaderModuleDescriptor, ShaderSource,
};
use wgpu_optim::{Optimizer, Stats};

use crate::ok;

/// The device under test. There is no silent pass without one: the message says what to install.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let gpu = ok(Gpu::headless());
        println!("on {}", gpu.describe());
        gpu
    })
}

/// The same adapter with the limits that WebGPU guarantees, and no features.
pub fn default_limits() -> Gpu {
    ok(Gpu::with_limits(gpu().adapter.clone(), Limits::default()))
}

/// The GPU's counts and measurements so far. Waits.
#[track_caller]
pub fn stats(gpu: &Gpu, optimizer: &Optimizer) -> Stats {
    let stats = optimizer.stats(&gpu.queue);
    ok(gpu.wait());
    ok(pollster::block_on(stats))
}

/// The pipeline of a whole kernel with the entry point `update`, at its defaults.
pub fn pipeline(gpu: &Gpu, wgsl: String) -> ComputePipeline {
    let label = Some("test");
    let source = ShaderSource::Wgsl(wgsl.into());
    let module = gpu.device.create_shader_module(ShaderModuleDescriptor { label, source });
    gpu.device.create_compute_pipeline(&ComputePipelineDescriptor {
        label,
        layout: None,
        module: &module,
        entry_point: Some("update"),
        compilation_options: Default::default(),
        cache: None,
    })
}
