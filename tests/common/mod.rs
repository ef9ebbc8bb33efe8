//! What the tests share: one device, and a way to say what went wrong.
#![allow(dead_code, reason = "each test file is a program of its own and uses a part of this")]

use std::sync::OnceLock;

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::{
    ComputePipeline, ComputePipelineDescriptor, ShaderModuleDescriptor, ShaderSource,
};
use wgpu_optim::{Error, Trajectory, View};

/// The device under test. There is no silent pass without one: the message says what to install.
pub(crate) fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let gpu = Gpu::headless().unwrap_or_else(|e| panic!("{e}"));
        println!("on {}", gpu.describe());
        gpu
    })
}

/// The same adapter with the limits that WebGPU guarantees, and no features.
pub(crate) fn default_limits() -> Gpu {
    let limits = wgpu_optim::wgpu::Limits::default();
    Gpu::with_limits(gpu().adapter.clone(), limits).unwrap_or_else(|e| panic!("{e}"))
}

/// The bits of a view's numbers.
pub(crate) fn bits(gpu: &Gpu, view: &View) -> Vec<u32> {
    read(gpu, view).into_iter().map(f32::to_bits).collect()
}

/// A view's numbers.
pub(crate) fn read(gpu: &Gpu, view: &View) -> Vec<f32> {
    gpu.download(view).unwrap_or_else(|e| panic!("{e}"))
}

/// Numbers that differ from each other, of either sign.
pub(crate) fn numbers(len: u64, seed: u64) -> Vec<f32> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        ((x >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 2.0
    };
    std::iter::repeat_with(next).take(len as usize).collect()
}

/// The pipeline of a whole kernel with the entry point `update`, at its defaults.
pub(crate) fn pipeline(gpu: &Gpu, wgsl: String) -> ComputePipeline {
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

/// The value, or the test's end with the error's own words.
pub(crate) fn ok<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|e| panic!("{e}"))
}

/// How far a norm or a coefficient may be off, relative: `docs/NUMERICS.md` derives it.
pub(crate) const COEFFICIENT: f64 = 64.0 / (1u64 << 24) as f64;

/// A gradient as a rule sees it on a GPU, after scaling and clipping that came to `value` in f64.
pub(crate) fn scaled(value: &f64) -> Trajectory {
    let error = value.abs() * COEFFICIENT + f64::from(f32::MIN_POSITIVE);
    Trajectory { value: *value, error }
}

/// Fails unless `is` is as near to `expected`, relative.
pub(crate) fn close(what: &str, is: f64, expected: f64, relative: f64) {
    let off = (is - expected).abs();
    assert!(off <= relative * expected.abs(), "{what}: {is} in place of {expected}");
}
