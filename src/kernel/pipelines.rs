//! The pipelines of one device, each made when it is first needed.

use futures_util::FutureExt;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::EACH;
use super::assemble::{mark_wgsl, prepare_wgsl, wgsl};
use super::layout::{Layouts, READ, WRITE, entry, sums_binding};
use super::spec::{Address, KernelSpec};
use crate::error::Error;
use crate::model::{Body, Grads, RuleKey, Spec, Variable, options};
use crate::num::Format;
use crate::plan::{Bounds, Width};

/// The layouts and pipelines of one device.
#[derive(Clone, Debug)]
pub(crate) struct Kernels {
    device: wgpu::Device,
    bounds: Bounds,
    /// Made when first needed, since a device with too small limits is refused by `add_group`, not before.
    layouts: OnceLock<Layouts>,
    pipelines: HashMap<KernelSpec, Pipeline>,
    prepare: Option<Pipeline>,
    mark: Option<Pipeline>,
}

/// A pipeline and how to bind to it. Handles: cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    /// Group 0.
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) variables: Arc<[Variable]>,
    /// The binding of the uniform that says which sums were made.
    pub(crate) sums: Option<u32>,
}

impl Kernels {
    pub(crate) fn new(device: &wgpu::Device, bounds: Bounds) -> Self {
        Self {
            device: device.clone(),
            bounds,
            layouts: OnceLock::new(),
            pipelines: HashMap::new(),
            prepare: None,
            mark: None,
        }
    }

    fn layouts(&self) -> &Layouts {
        self.layouts.get_or_init(|| Layouts::new(&self.device))
    }

    /// The layout of the scalars that a launch addressed so sees.
    pub(crate) fn scalars(&self, address: Address) -> &wgpu::BindGroupLayout {
        self.layouts().scalars_of(address)
    }

    /// The layout of the arguments of a norm or of an accumulation.
    pub(crate) fn arguments(&self) -> &wgpu::BindGroupLayout {
        &self.layouts().arguments
    }

    /// The layout of the arguments of the kernel that decides, and of the scalars it is given.
    pub(crate) fn given(&self) -> &wgpu::BindGroupLayout {
        &self.layouts().given
    }

    /// The layout of gradients by themselves, written or only read.
    pub(crate) fn grads(&self, written: bool) -> &wgpu::BindGroupLayout {
        &self.layouts().grads[usize::from(written)]
    }

    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// The pipeline of a kernel.
    pub(crate) fn get(&mut self, kernel: &KernelSpec) -> Pipeline {
        if let Some(pipeline) = self.pipelines.get(kernel) {
            return pipeline.clone();
        }
        let pipeline = self.build(kernel);
        self.pipelines.insert(kernel.clone(), pipeline.clone());
        pipeline
    }

    /// Builds every kernel that tells something of a rule from outside this crate inside error scopes, so that
    /// it is refused when it is given. On the web errors arrive later, as uncaptured ones.
    pub(crate) fn check(&self, rule: &RuleKey) -> Result<(), Error> {
        if rule.is_ours() {
            return Ok(());
        }
        for kernel in telling(rule) {
            let invalid = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
            let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
            self.build(&kernel);
            let errors = [internal.pop().now_or_never(), invalid.pop().now_or_never()];
            if let Some(error) = errors.into_iter().flatten().flatten().next() {
                return Err(Error::Kernel { rule: rule.name(), message: error.to_string() });
            }
        }
        Ok(())
    }

    /// The device's reason not to bind `buffer`, if it has one.
    pub(crate) fn unbindable(&self, buffer: &wgpu::Buffer) -> Option<String> {
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        self.probe(buffer);
        scope.pop().now_or_never().flatten().map(|error| error.to_string())
    }

    /// Binds `buffer`, for the error that comes of it.
    pub(crate) fn probe(&self, buffer: &wgpu::Buffer) {
        let size = wgpu::BufferSize::new(4);
        let resource =
            wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size });
        let _ = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-optim probe"),
            layout: &self.layouts().probe,
            entries: &[wgpu::BindGroupEntry { binding: 0, resource }],
        });
    }

    fn build(&self, kernel: &KernelSpec) -> Pipeline {
        let label = format!("wgpu-optim {}", kernel.name());
        let layouts = self.layouts();
        let layout = layouts.operands(kernel);
        let ours = kernel.spec.rule.as_ref().is_none_or(RuleKey::is_ours);
        // The text is asked for once, and what is compiled without checks is what `ours` was decided of.
        let module = module(&self.device, &label, wgsl(kernel), ours);
        let mut constants: Vec<(&str, f64)> =
            (kernel.switches().iter()).map(|&(name, on)| (name, f64::from(u8::from(on)))).collect();
        if kernel.spec.body == Body::Norm {
            constants.push(("WORKGROUP_SPAN", (self.bounds.invocations * EACH) as f64));
        }
        let groups = layouts.of(kernel, &layout);
        let pipeline = self.pipeline(&label, &module, kernel.entry_point(), &groups, constants);
        let (variables, sums) = (kernel.variables().into(), sums_binding(kernel));
        Pipeline { pipeline, layout, variables, sums }
    }

    /// The kernel that decides on a step.
    pub(crate) fn prepare(&mut self) -> Pipeline {
        if let Some(pipeline) = &self.prepare {
            return pipeline.clone();
        }
        let kinds = [READ, WRITE, WRITE, READ, READ, READ];
        let made = self.control("prepare", prepare_wgsl(), &kinds);
        self.prepare = Some(made.clone());
        made
    }

    /// The kernel that notes which sums were made.
    pub(crate) fn mark(&mut self) -> Pipeline {
        if let Some(pipeline) = &self.mark {
            return pipeline.clone();
        }
        let made = self.control("mark", mark_wgsl(), &[WRITE]);
        self.mark = Some(made.clone());
        made
    }

    /// A kernel of one workgroup, with bounds checks.
    fn control(&self, name: &str, wgsl: String, kinds: &[wgpu::BufferBindingType]) -> Pipeline {
        let label = format!("wgpu-optim {name}");
        let entries: Vec<_> = (0..).zip(kinds).map(|(at, kind)| entry(at, *kind, false)).collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &entries,
        });
        let module = module(&self.device, &label, wgsl, false);
        let layouts = self.layouts();
        let deciding = name == "prepare";
        let step = if deciding { &layouts.given } else { &layouts.arguments };
        let mut constants = Vec::new();
        if deciding {
            constants.push(("WORKGROUP_SIZE", self.bounds.invocations as f64));
        }
        let groups = [&layout, step];
        let pipeline = self.create(&label, &module, name, &groups, &constants);
        Pipeline { pipeline, layout, variables: [].into(), sums: None }
    }

    /// A pipeline of the workgroup size there is.
    fn pipeline(
        &self,
        label: &str,
        module: &wgpu::ShaderModule,
        entry_point: &str,
        groups: &[&wgpu::BindGroupLayout],
        mut constants: Vec<(&str, f64)>,
    ) -> wgpu::ComputePipeline {
        constants.push(("WORKGROUP_SIZE", self.bounds.invocations as f64));
        self.create(label, module, entry_point, groups, &constants)
    }

    fn create(
        &self,
        label: &str,
        module: &wgpu::ShaderModule,
        entry_point: &str,
        groups: &[&wgpu::BindGroupLayout],
        constants: &[(&str, f64)],
    ) -> wgpu::ComputePipeline {
        let groups: Vec<_> = groups.iter().map(|layout| Some(*layout)).collect();
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(label),
            bind_group_layouts: &groups,
            immediate_size: 0,
        });
        self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(label),
            layout: Some(&layout),
            module,
            entry_point: Some(entry_point),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        })
    }
}

/// The kernels that show what is wrong with a rule: it sees no format, but its names may be those of any file.
/// Together they hold every file that a step can be joined of.
pub(super) fn telling(rule: &RuleKey) -> Vec<KernelSpec> {
    use crate::model::Weight::{Mastered, Stochastic};
    use crate::num::Master;
    let plain = Spec::new(Body::Update, Some(rule.clone()));
    let (bf16, f16) = (Format::Bf16, Format::F16);
    let specs = [
        plain.clone(),
        Spec { clip_value: true, grads: Grads::Shared, ..plain.clone() },
        Spec { grad: bf16, state: f16, clear: true, kept: options(), ..plain.clone() },
        Spec { copy: Some(bf16), grad: f16, ..plain.clone() },
        Spec { param: bf16, weight: Stochastic, ..plain.clone() },
        Spec { param: bf16, weight: Mastered(Master::Remainder), ..plain.clone() },
        Spec { param: f16, weight: Mastered(Master::F32), ..plain.clone() },
        Spec { grads: Grads::Joined, ..plain.clone() },
        Spec { summed: true, ..plain },
    ];
    let widths = [Width::Vec4, Width::Loose, Width::Scalar];
    let all = specs.iter().flat_map(|spec| {
        widths.into_iter().flat_map(move |width| {
            Address::ALL.map(|address| {
                let spec = spec.clone();
                KernelSpec { spec, width, address }
            })
        })
    });
    all.filter(KernelSpec::can_be).collect()
}

/// A shader module, without the bounds checks that some drivers would pay for if its text is all ours.
#[allow(unsafe_code, reason = "the one audited place")]
fn module(device: &wgpu::Device, label: &str, wgsl: String, ours: bool) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(wgsl.into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source };
    if !ours {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: no access is out of bounds. `update`, `accumulate` and `norm` touch memory only where `locate`
    // says `inside`, which is below the launch's or the chunk's length; `plan` computes those from views that
    // `View::check` has found inside their buffers, and its tests show that every element of a launch lies in
    // its bindings. Where gradients move, `program::moving` computes their places from views that were
    // checked in the same way, and binds their whole buffer. `norm` takes what is left of those for a count,
    // and four at a time only of whole spans, which are a multiple of that. `chunks` is indexed below the
    // length it was made with, `blocks` by a block's place in a window of as many or among all cohorts,
    // `partials` by a number below how many the same plan has counted. This crate's rules see registers only.
    // The only loops are `norm`'s, over at most `WORKGROUP_SPAN` elements and over `SIDE` lanes; its
    // workgroup array is indexed below `WORKGROUP_SIZE`, which is at most `LANES`.
    unsafe {
        device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
}
