//! Kernels, parsed and validated, with their overrides resolved: what wgpu hands to a backend.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use naga::back::pipeline_constants::process_overrides;
use naga::back::{glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use rayon::prelude::*;
use wgpu_optim::kernel::{Body, Facts, Kernel, control_kernels, kernels_of};
use wgpu_optim::verify::groups;
use wgpu_optim::{Rule, Sgd};

use crate::cover::{choices, cover};

/// The workgroup size on a device with WebGPU's default limits.
const WORKGROUP_SIZE: u32 = 256;

/// A kernel and what naga makes of it.
pub(crate) struct Subject {
    pub(crate) kernel: Kernel,
    /// Plain SGD, if the kernel has no rule.
    pub(crate) rule: Arc<dyn Rule>,
    /// As written.
    pub(crate) written: Module,
    /// With overrides resolved and what is unused left out.
    pub(crate) module: Module,
    /// The validator's findings about `module`.
    pub(crate) info: ModuleInfo,
}

/// The kernels that take a step; the others only move its bytes, and use neither rule nor scalars.
pub(crate) fn steps() -> impl Iterator<Item = &'static Subject> {
    all().iter().filter(|subject| subject.is(Body::Update))
}

/// Every kernel of every rule this crate ships, each once, by name.
pub(crate) fn all() -> &'static [Subject] {
    static ALL: LazyLock<Vec<Subject>> = LazyLock::new(|| {
        let mut kernels: BTreeMap<String, (Kernel, Arc<dyn Rule>)> = BTreeMap::new();
        for group in groups() {
            for kernel in kernels_of(&group) {
                kernels.insert(kernel.name.clone(), (kernel, group.rule.clone()));
            }
        }
        let kernels: Vec<_> = kernels.into_values().collect();
        kernels.into_par_iter().map(|(kernel, rule)| Subject::new(kernel, rule)).collect()
    });
    &ALL
}

/// Every kernel that looks at gradients before a step, or adds them up between steps.
pub(crate) fn control() -> &'static [Subject] {
    static CONTROL: LazyLock<Vec<Subject>> = LazyLock::new(|| {
        let none: Arc<dyn Rule> = Arc::new(Sgd::default());
        let kernels = control_kernels().into_par_iter();
        kernels.map(|kernel| Subject::new(kernel, none.clone())).collect()
    });
    &CONTROL
}

/// A kernel of one workgroup.
pub(crate) fn named(name: &str) -> &'static Subject {
    let found =
        control().iter().find(|subject| subject.kernel.facts.is_none() && subject.name() == name);
    found.unwrap_or_else(|| panic!("no kernel `{name}`"))
}

/// A pairwise cover of all of these, for what takes long: every two choices that a kernel has, a rule with its
/// switches being one of them, are in one of its kernels.
pub(crate) fn few() -> &'static [&'static Subject] {
    static FEW: LazyLock<Vec<&'static Subject>> = LazyLock::new(|| {
        let every = || all().iter().chain(control());
        let mut rules: Vec<_> = every().map(Subject::variant).collect();
        rules.sort_unstable();
        rules.dedup();
        let (with, without): (Vec<_>, Vec<_>) =
            every().partition(|subject| subject.kernel.facts.is_some());
        let of = |subject: &&Subject| {
            let mut all = subject.kernel.facts.as_ref().map(choices).unwrap_or_default();
            all.extend(rules.binary_search(&subject.variant()));
            all
        };
        cover(with, of).into_iter().chain(without).collect()
    });
    &FEW
}

impl Subject {
    fn new(kernel: Kernel, rule: Arc<dyn Rule>) -> Self {
        let name = &kernel.name;
        // Nothing that an adapter could lack.
        let (written, info) = validated(&kernel.wgsl, name, Capabilities::empty());
        let mut constants: naga::back::PipelineConstants = kernel
            .switches
            .iter()
            .map(|&(switch, on)| (switch.to_owned(), f64::from(u8::from(on))))
            .collect();
        if chooses_size(&written) {
            constants.insert("WORKGROUP_SIZE".to_owned(), f64::from(WORKGROUP_SIZE));
        }
        let entry = Some((ShaderStage::Compute, kernel.entry_point));
        let (module, info) = process_overrides(&written, &info, entry, &constants)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let (module, info) = (module.into_owned(), info.into_owned());
        Self { kernel, rule, written, module, info }
    }

    /// The facts of a kernel of many workgroups.
    pub(crate) fn facts(&self) -> &Facts {
        let facts = self.kernel.facts.as_ref();
        facts.unwrap_or_else(|| panic!("{}: no facts", self.name()))
    }

    /// Whether this is a kernel of many workgroups that does this.
    pub(crate) fn is(&self, body: Body) -> bool {
        self.kernel.facts.as_ref().is_some_and(|facts| facts.body == body)
    }

    /// The workgroup size on a device with WebGPU's default limits. A kernel that lets the host choose none has
    /// one invocation.
    pub(crate) fn workgroup_size(&self) -> u32 {
        if chooses_size(&self.written) { WORKGROUP_SIZE } else { 1 }
    }

    /// The rule and its switches.
    fn variant(&self) -> (Option<&str>, &[(&str, bool)]) {
        (self.kernel.facts.as_ref().and_then(|facts| facts.rule), &self.kernel.switches)
    }

    /// The name, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.kernel.name
    }

    /// As wgpu's Vulkan backend writes it for a device of this SPIR-V version. Rules of this crate
    /// go without bounds checks there.
    pub(crate) fn spirv(&self, version: (u8, u8)) -> Vec<u32> {
        let entry_point = self.kernel.entry_point;
        spirv(&self.module, &self.info, entry_point, version)
            .unwrap_or_else(|e| panic!("{}: {e}", self.name()))
    }

    /// In Metal's language.
    pub(crate) fn msl(&self) -> String {
        let options = msl::PipelineOptions {
            entry_point: Some((ShaderStage::Compute, self.kernel.entry_point.to_owned())),
            ..Default::default()
        };
        let written = msl::write_string(&self.module, &self.info, &Default::default(), &options);
        written.unwrap_or_else(|e| panic!("{}: {e}", self.name())).0
    }

    /// In Direct3D's language.
    pub(crate) fn hlsl(&self) -> String {
        let mut text = String::new();
        let entry_point = Some((ShaderStage::Compute, self.kernel.entry_point.to_owned()));
        let (options, of_pipeline) =
            (hlsl::Options::default(), hlsl::PipelineOptions { entry_point });
        let mut writer = hlsl::Writer::new(&mut text, &options, &of_pipeline);
        if let Err(e) = writer.write(&self.module, &self.info, None) {
            panic!("{}: {e}", self.name());
        }
        text
    }

    /// In OpenGL's language.
    pub(crate) fn glsl(&self) -> Result<String, glsl::Error> {
        let bindings = self.module.global_variables.iter().filter_map(|(_, global)| global.binding);
        // OpenGL has no groups: any numbering will do.
        let options =
            glsl::Options { binding_map: bindings.zip(0..).collect(), ..Default::default() };
        let of_pipeline = glsl::PipelineOptions {
            shader_stage: ShaderStage::Compute,
            entry_point: self.kernel.entry_point.to_owned(),
            multiview: None,
        };
        let (mut text, policies) = (String::new(), BoundsCheckPolicies::default());
        let (module, info) = (&self.module, &self.info);
        glsl::Writer::new(&mut text, module, info, &options, &of_pipeline, policies)?.write()?;
        Ok(text)
    }
}

/// Whether the host chooses the workgroup size.
fn chooses_size(module: &Module) -> bool {
    let mut overrides = module.overrides.iter();
    overrides.any(|(_, one)| one.name.as_deref() == Some("WORKGROUP_SIZE"))
}

/// `wgsl` through naga's parser and its validator.
pub(crate) fn validated(
    wgsl: &str,
    name: &str,
    capabilities: Capabilities,
) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(wgsl)
        .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(wgsl)));
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(wgsl)));
    (module, info)
}

/// A compute shader as SPIR-V, with the options of wgpu's Vulkan backend.
pub(crate) fn spirv(
    module: &Module,
    info: &ModuleInfo,
    entry_point: &str,
    version: (u8, u8),
) -> Result<Vec<u32>, spv::Error> {
    let bindings = module.global_variables.iter().filter_map(|(_, global)| global.binding);
    let bound = bindings.map(|at| {
        let (descriptor_set, binding) = (at.group, at.binding);
        (at, spv::BindingInfo { descriptor_set, binding, binding_array_size: None })
    });
    let unchecked = BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: version,
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        capabilities: Some([spv::Capability::Shader].into_iter().collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ray_query_initialization_tracking: false,
        fake_missing_bindings: false,
        binding_map: bound.collect(),
        emit_int_div_checks: false,
        ..Default::default()
    };
    let entry_point = entry_point.to_owned();
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point };
    spv::write_vec(module, info, &options, Some(&pipeline))
}
