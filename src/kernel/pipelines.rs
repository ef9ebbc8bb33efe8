//! This module makes the pipelines of one device, each when it is first needed.

use futures_util::FutureExt;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use wgpu::util::DeviceExt;

use super::EACH;
use super::assemble::{mark_wgsl, prepare_wgsl, wgsl};
use super::layout::{Layouts, READ, WRITE, entry, sums_binding, tables_binding};
use super::spec::{Address, KernelSpec};
use crate::error::Error;
use crate::model::{Body, Grads, RuleKey, Spec, Variable, options};
use crate::num::SlotCodes;
use crate::num::{Format, StateFormat};
use crate::plan::{Bounds, Width};

/// The layouts and pipelines of one device.
#[derive(Clone, Debug)]
pub(crate) struct Kernels {
    device: wgpu::Device,
    bounds: Bounds,
    /// The layouts, made when first needed: `add_group` is the first call that refuses a device with too small limits.
    layouts: OnceLock<Layouts>,
    pipelines: HashMap<KernelSpec, Pipeline>,
    prepare: Option<Pipeline>,
    mark: Option<Pipeline>,
}

/// A pipeline with its bindings. It holds handles and is cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pipeline {
    pub(crate) pipeline: wgpu::ComputePipeline,
    /// The layout of bind group 0.
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) variables: Arc<[Variable]>,
    /// The binding of the uniform that says which sums were made.
    pub(crate) sums: Option<u32>,
    /// The binding of the uniform that has the tables of codes, and its buffer.
    pub(crate) tables: Option<(u32, wgpu::Buffer)>,
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

    /// The layout of the scalars that a launch sees, by its way of addressing.
    pub(crate) fn scalars(&self, address: Address) -> &wgpu::BindGroupLayout {
        self.layouts().scalars_of(address)
    }

    /// The layout of the arguments of `norm` and `accumulate`.
    pub(crate) fn arguments(&self) -> &wgpu::BindGroupLayout {
        &self.layouts().arguments
    }

    /// The layout of the arguments of `prepare`, and of the scalars that the host gives it.
    pub(crate) fn given(&self) -> &wgpu::BindGroupLayout {
        &self.layouts().given
    }

    /// The layout of gradients in a group of their own, written or only read.
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

    /// Builds the kernels that show the faults of a rule from outside this crate, inside error scopes. So `add_group`
    /// refuses a rule that does not compile. On the web, errors arrive later and uncaptured.
    pub(crate) fn check(&self, rule: &RuleKey) -> Result<(), Error> {
        if rule.is_ours() {
            return Ok(());
        }
        // A declaration of this name would take the place of WGSL's own without an error.
        const BARRIER: &str = "workgroupBarrier";
        if rule.wgsl().contains(BARRIER) {
            let message =
                format!("its text has `{BARRIER}`; leave it out, a rule sees registers only");
            return Err(Error::Kernel { rule: rule.name(), message });
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

    /// Binds `buffer`, only for the error that the device may report.
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
        // `RuleKey` asked the rule for its text once, so the text that is compiled is the one that decided `ours`.
        let module = module(&self.device, &label, wgsl(kernel), ours);
        let mut constants: Vec<(&str, f64)> =
            (kernel.switches().iter()).map(|&(name, on)| (name, f64::from(u8::from(on)))).collect();
        if kernel.spec.body == Body::Norm {
            constants.push(("WORKGROUP_SPAN", (self.bounds.invocations * EACH) as f64));
        }
        let groups = layouts.of(kernel, &layout);
        let pipeline = self.pipeline(&label, &module, kernel.entry_point(), &groups, constants);
        let (variables, sums) = (kernel.variables().into(), sums_binding(kernel));
        let tables = tables_binding(kernel).map(|at| (at, self.tables(&kernel.spec)));
        Pipeline { pipeline, layout, variables, sums, tables }
    }

    /// The tables of the codes that a kernel has, one after the other.
    fn tables(&self, spec: &Spec) -> wgpu::Buffer {
        let codes = spec.state.blocks();
        let numbers: Vec<f32> = codes.iter().flat_map(|code| code.words(spec.dithers)).collect();
        self.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("wgpu-optim tables of codes"),
            contents: bytemuck::cast_slice(&numbers),
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE,
        })
    }

    /// The pipeline of `prepare`, which decides on a step.
    pub(crate) fn prepare(&mut self) -> Pipeline {
        if let Some(pipeline) = &self.prepare {
            return pipeline.clone();
        }
        let kinds = [READ, WRITE, WRITE, READ, READ, READ];
        let made = self.control("prepare", prepare_wgsl(), &kinds);
        self.prepare = Some(made.clone());
        made
    }

    /// The pipeline of `mark`, which notes the sums that were made.
    pub(crate) fn mark(&mut self) -> Pipeline {
        if let Some(pipeline) = &self.mark {
            return pipeline.clone();
        }
        let made = self.control("mark", mark_wgsl(), &[WRITE]);
        self.mark = Some(made.clone());
        made
    }

    /// The pipeline of a kernel of one workgroup, with bounds checks.
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
        Pipeline { pipeline, layout, variables: [].into(), sums: None, tables: None }
    }

    /// Makes a pipeline with the workgroup size of this device.
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

/// The kernels that show the faults of a rule. A rule does not depend on formats, but its names may collide with those
/// of any file. So together these kernels have every file of which a step can be joined.
pub(super) fn telling(rule: &RuleKey) -> Vec<KernelSpec> {
    use crate::model::Weight::{Mastered, Stochastic};
    use crate::num::Master;
    let plain = Spec::new(Body::Update, Some(rule.clone()));
    let (bf16, f16) = (Format::Bf16, Format::F16);
    let blocks = |format: StateFormat| rule.codes(&format.into());
    let dithers = !blocks(StateFormat::Block4).blocks().is_empty();
    let specs = [
        plain.clone(),
        Spec { clip_value: true, cautious: true, grads: Grads::Shared, ..plain.clone() },
        Spec { state: blocks(StateFormat::Block8), ..plain.clone() },
        Spec { state: blocks(StateFormat::Block4), dithers, ..plain.clone() },
        Spec {
            grad: bf16,
            state: SlotCodes::all(f16),
            clear: true,
            kept: options(),
            ..plain.clone()
        },
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

/// Makes a shader module. If the text is all ours, the module has no bounds checks, which cost time on some drivers.
#[allow(unsafe_code, reason = "the one audited place")]
fn module(device: &wgpu::Device, label: &str, wgsl: String, ours: bool) -> wgpu::ShaderModule {
    let source = wgpu::ShaderSource::Wgsl(wgsl.into());
    let descriptor = wgpu::ShaderModuleDescriptor { label: Some(label), source };
    if !ours {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: No access is out of bounds, for these reasons:
    // - `update`, `accumulate` and `norm` touch memory only if `locate` says `inside`: the index is below the length
    //   of the launch or of the chunk. `plan` computes these lengths from views that `View::check` has found inside
    //   their buffers, and the tests of `plan` show that every element of a launch lies in its bindings.
    // - For gradients that move, `program::moving` computes the places from views that were checked in the same way,
    //   and binds the whole buffer.
    // - `norm` counts the `real`s that are left of the launch or of the chunk. It loads four at a time only in whole
    //   spans, whose length is a multiple of four times `WORKGROUP_SIZE`.
    // - `chunks` is indexed below the length with which it was made. `blocks` is indexed by the place of a block in a
    //   window of that many blocks, or among all cohorts. `partials` is indexed below the number that the same plan
    //   has counted.
    // - The rules of this crate see registers only.
    // - A kernel for blocks indexes words of records below the end of the record that holds the element, and bindings
    //   hold whole records: `Code::bytes` counts them for slabs and for bindings. Codes index tables below the number of
    //   entries, by a mask or by a bisection that ends there. Workgroup arrays are indexed below `LANES`, which is
    //   the size of every workgroup that encodes blocks: `limits::check` refuses devices with smaller ones. Its loops
    //   run over at most 16 invocations, over 8 halvings, and over the codes of a word.
    // - Otherwise only `norm` has loops, over at most `WORKGROUP_SPAN` elements and over `SIDE` lanes. Its workgroup array is
    //   indexed below `WORKGROUP_SIZE`, which is at most `LANES`.
    // - The text is joined of this crate's files and lines: `RuleKey` compares the rule's text with them, and the one
    //   other string in it, a heading, cannot leave its comment.
    unsafe {
        device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
    }
}
