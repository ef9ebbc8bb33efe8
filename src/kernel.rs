//! Kernels: which WGSL files make one, and the pipelines made of them.
//!
//! A kernel is its files joined, nothing more; `shaders/README.md` says what each file declares and
//! needs. Variation is by *which* files and by `override`.

mod access;
mod accumulate;
mod control;
mod files;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

pub(crate) use accumulate::Accumulate;
pub use control::control_kernels;
pub(crate) use control::{ControlKernels, EACH, Norm};
#[cfg(feature = "headless")]
pub(crate) use files::all_formats;
pub(crate) use files::{Address, Binding, Body, Files, Grads, Weight};
pub use files::{Kernel, every_kernel_of, kernels, kernels_of};

use crate::error::Error;
use crate::group::{DRIVER_SCALARS, DriverScalars};
use crate::plan::Bounds;
use crate::rule::{self, Rule, Variant};

/// Bytes from one group's scalars to the next's: a uniform's dynamic offset is a multiple of this on
/// every device, and `Block` in `shaders/scalars/table.wgsl` is as large.
pub(crate) const BLOCK: u64 = 256;

/// Groups whose scalars a launch by table sees, as `shaders/scalars/table.wgsl` has it.
pub(crate) const WINDOW: u32 = 32;

/// Bytes bound of `Launch` in `shaders/prelude.wgsl`: a multiple of 16, as GLSL has it.
pub(crate) const LAUNCH: u64 = 48;

/// Storage buffers every kernel binds besides the state: parameters, gradients and chunks.
pub(crate) const STORAGE_BUFFERS: u32 = 3;

/// Numbers of bindings in group 0: one more than the highest.
pub(crate) const BINDINGS: u32 = 11;

/// The members of `Scalars` in `shaders/step.wgsl` before the rule's own, in order.
pub const DRIVER: [&str; DRIVER_SCALARS] = DriverScalars::NAMES;

// `Block` in `shaders/scalars/table.wgsl` needs some padding.
const _: () = assert!((DRIVER_SCALARS + rule::MAX_SCALARS) * 4 < BLOCK as usize);

/// The layouts and pipelines of one device, each made when first needed.
#[derive(Debug)]
pub(crate) struct Kernels {
    device: wgpu::Device,
    bounds: Bounds,
    /// Group 1, the step's scalars. Made when first needed, since a device with too small limits is
    /// refused by `add_group`, not before.
    step: OnceLock<wgpu::BindGroupLayout>,
    pipelines: HashMap<(Files, Kind), Pipeline>,
    sums: HashMap<Accumulate, Pipeline>,
}

/// A pipeline and how to bind to it. Handles: cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    /// Group 0: the launch and its buffers.
    pub(crate) layout: wgpu::BindGroupLayout,
    /// What that has besides the launch and its chunks.
    pub(crate) bindings: Arc<[Binding]>,
}

impl Kernels {
    pub(crate) fn new(device: &wgpu::Device, bounds: Bounds) -> Self {
        Self {
            device: device.clone(),
            bounds,
            step: OnceLock::new(),
            pipelines: HashMap::new(),
            sums: HashMap::new(),
        }
    }

    /// The layout of group 1: the scalars of one group or of a window of groups, at a dynamic offset.
    pub(crate) fn step_layout(&self) -> &wgpu::BindGroupLayout {
        self.step.get_or_init(|| {
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some("wgpu-optim step"),
                entries: &[entry(0, wgpu::BufferBindingType::Uniform, true)],
            })
        })
    }

    /// What the device has against binding `buffer`.
    pub(crate) fn unbindable(&self, buffer: &wgpu::Buffer) -> Option<String> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let ty = wgpu::BufferBindingType::Storage { read_only: true };
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("wgpu-optim probe"),
            entries: &[entry(0, ty, false)],
        });
        let size = wgpu::BufferSize::new(4);
        let resource =
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size });
        let _ = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-optim probe"),
            layout: &layout,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource }],
        });
        now(scope.pop()).flatten().map(|error| error.to_string())
    }

    /// The layout of group 0: the launch, its chunks, and these.
    fn launch_layout(&self, address: Address, bindings: &[Binding]) -> wgpu::BindGroupLayout {
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, false)];
        if address == Address::Table {
            entries.push(entry(1, storage(true), false));
        }
        let bound = |binding: &Binding| entry(binding.number, storage(binding.read_only), false);
        entries.extend(bindings.iter().map(bound));
        self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("wgpu-optim launch"),
            entries: &entries,
        })
    }

    /// The pipeline of `rule` made of `files`.
    pub(crate) fn get(&mut self, rule: &dyn Rule, files: Files) -> Pipeline {
        let key = (files, Kind::of(rule));
        if let Some(pipeline) = self.pipelines.get(&key) {
            return pipeline.clone();
        }
        let pipeline = self.build(rule, files);
        self.pipelines.insert(key, pipeline.clone());
        pipeline
    }

    /// Builds every kernel of a rule from outside this crate inside error scopes, so that it is refused
    /// when it is given. On the web errors arrive later, as uncaptured ones.
    pub(crate) fn check(&mut self, rule: &dyn Rule) -> Result<(), Error> {
        if is_ours(rule) {
            return Ok(());
        }
        for files in Files::all().into_iter().filter(|files| files.is_telling()) {
            let invalid = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
            let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
            self.build(rule, files);
            let errors = [now(internal.pop()), now(invalid.pop())];
            if let Some(error) = errors.into_iter().flatten().flatten().next() {
                return Err(Error::Kernel { rule: rule.name(), message: error.to_string() });
            }
        }
        Ok(())
    }

    fn build(&self, rule: &dyn Rule, files: Files) -> Pipeline {
        let device = &self.device;
        let label = format!("wgpu-optim {}{}", rule.name(), files.label());
        let bindings = files.bindings(rule.slots().len());
        let launch = self.launch_layout(files.address, &bindings);
        let step = self.step_layout();
        let module = module(device, &label, files.wgsl(rule), rule);
        let switches = files.switches(rule);
        let pipeline = self.pipeline(&label, &module, "update", &[&launch, step], &switches);
        Pipeline { pipeline, layout: launch, bindings: bindings.into() }
    }

    /// A pipeline of the workgroup size there is.
    fn pipeline(
        &self,
        label: &str,
        module: &wgpu::ShaderModule,
        entry_point: &str,
        layouts: &[&wgpu::BindGroupLayout],
        switches: &[(&'static str, bool)],
    ) -> wgpu::ComputePipeline {
        let layouts: Vec<_> = layouts.iter().map(|layout| Some(*layout)).collect();
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &layouts,
            immediate_size: 0,
        });
        let mut constants: Vec<(&str, f64)> =
            switches.iter().map(|&(name, on)| (name, f64::from(u8::from(on)))).collect();
        constants.push(("WORKGROUP_SIZE", self.bounds.invocations as f64));
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&layout),
            module,
            entry_point: Some(entry_point),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        })
    }
}

/// Whether a rule's kernels are this crate's own.
fn is_ours(rule: &dyn Rule) -> bool {
    let entry = rule::ALL.iter().find(|entry| entry.wgsl == rule.wgsl());
    let same = |ours: &Variant| Kind::of(&*ours.rule) == Kind::of(rule);
    entry.is_some_and(|entry| (entry.variants)().iter().any(same))
}

/// What decides a rule's kernels.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Kind {
    wgsl: &'static str,
    switches: Vec<(&'static str, bool)>,
    slots: usize,
}

impl Kind {
    pub(crate) fn of(rule: &dyn Rule) -> Self {
        Self { wgsl: rule.wgsl(), switches: rule.switches(), slots: rule.slots().len() }
    }
}

/// A rule's shader module, without bounds checks if the rule is ours.
fn module(device: &wgpu::Device, label: &str, wgsl: String, rule: &dyn Rule) -> wgpu::ShaderModule {
    if is_ours(rule) {
        return trusted(device, label, wgsl);
    }
    let source = wgpu::ShaderSource::Wgsl(wgsl.into());
    device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(label), source })
}

/// A shader module that is all ours, without the bounds checks that some drivers would pay for.
#[allow(unsafe_code, reason = "the one audited place")]
fn trusted(device: &wgpu::Device, label: &str, wgsl: String) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(wgsl.into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source };
    // SAFETY: no access is out of bounds. `update`, `accumulate` and `norm` touch memory only where `locate` says
    // `inside`, which is below the launch's or the chunk's length; `plan` computes those from views
    // that `View::check` has found inside their buffers, and its tests show that every element of a
    // launch lies in its bindings. `norm` takes what is left of those for a count, and four at a time only
    // of whole spans, which are a multiple of that. `chunks` is indexed below the length it was made
    // with, `blocks` by a block's place in a window of `WINDOW`, `partials` by a number below how many the
    // same plan has counted. This crate's rules see registers only. The only loops are `norm`'s, over at
    // most `WORKGROUP_SPAN` elements and over `SIDE` lanes; its workgroup array is indexed below
    // `WORKGROUP_SIZE`, which is at most `LANES`.
    unsafe {
        device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
}

fn entry(
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

/// What a future holds already.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
