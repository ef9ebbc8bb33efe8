//! From WGSL to SPIR-V, as wgpu's Vulkan backend does it on a driver of Vulkan 1.3.

use naga::back::pipeline_constants::process_overrides;
use naga::back::{PipelineConstants, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use naga::{AddressSpace, ShaderStage};
use serde::{Deserialize, Serialize};
use wgpu_optim::kernel::{Body, Kernel};

/// The workgroup size on a device with WebGPU's default limits.
pub(crate) const WORKGROUP_SIZE: u32 = 256;

/// `real`s that an invocation of `norm` sums up, as the library has it.
const EACH: u32 = 16;

/// The parts of a compute pipeline.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) entry_point: String,
    pub(crate) spirv: Vec<u32>,
    /// The bindings of each group, numbered from 0 without gaps, as wgpu numbers them.
    pub(crate) groups: Vec<Vec<Binding>>,
    /// Bytes of immediates, which Vulkan calls push constants.
    pub(crate) immediates: u32,
}

/// The kind of a binding.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Binding {
    Uniform,
    DynamicUniform,
    Storage,
}

/// Whether naga puts bounds checks of its own around accesses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Checks {
    /// As for a module made with `create_shader_module_trusted`.
    Unchecked,
    /// As for any other module on a driver without `robustBufferAccess2`: an index is clamped.
    Restrict,
}

/// Compiles `kernel` to SPIR-V for workgroups of `workgroup` invocations.
pub(crate) fn module(kernel: &Kernel, workgroup: u32, checks: Checks) -> Result<Module, String> {
    let wgsl = &kernel.wgsl;
    let written = naga::front::wgsl::parse_str(wgsl).map_err(|e| e.emit_to_string(wgsl))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::IMMEDIATES)
        .validate(&written)
        .map_err(|e| e.emit_to_string(wgsl))?;
    let mut constants: PipelineConstants = kernel
        .switches
        .iter()
        .map(|&(switch, on)| (switch.to_owned(), f64::from(u8::from(on))))
        .collect();
    let chosen =
        |name: &str| written.overrides.iter().any(|(_, one)| one.name.as_deref() == Some(name));
    if chosen("WORKGROUP_SIZE") {
        constants.insert("WORKGROUP_SIZE".to_owned(), f64::from(workgroup));
    }
    let body = kernel.facts.as_ref().map(|facts| facts.body);
    if body == Some(Body::Norm) {
        constants.insert("WORKGROUP_SPAN".to_owned(), f64::from(workgroup * EACH));
    }
    let entry = Some((ShaderStage::Compute, kernel.entry_point));
    let (resolved, info) =
        process_overrides(&written, &info, entry, &constants).map_err(|e| e.to_string())?;

    // The bindings of the module as written, since bindings are the layout's, and a kernel need not use them all.
    let mut bound: Vec<_> = written
        .global_variables
        .iter()
        .filter_map(|(_, global)| Some((global.binding?, global.space)))
        .collect();
    bound.sort_by_key(|(at, _)| (at.group, at.binding));
    let mut groups: Vec<Vec<Binding>> = Vec::new();
    let mut binding_map = spv::BindingMap::default();
    for (at, space) in bound {
        groups.resize(groups.len().max(at.group as usize + 1), Vec::new());
        let group = &mut groups[at.group as usize];
        let binding = spv::BindingInfo {
            descriptor_set: at.group,
            binding: group.len() as u32,
            binding_array_size: None,
        };
        binding_map.insert(at, binding);
        // A step's scalars: an offset says which cohorts'.
        let is_step = matches!(body, Some(Body::Update | Body::Stream));
        group.push(match space {
            AddressSpace::Uniform if is_step && at.group == 1 => Binding::DynamicUniform,
            AddressSpace::Uniform => Binding::Uniform,
            _ => Binding::Storage,
        });
    }

    let policy = match checks {
        Checks::Unchecked => BoundsCheckPolicy::Unchecked,
        Checks::Restrict => BoundsCheckPolicy::Restrict,
    };
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        capabilities: Some([spv::Capability::Shader].into_iter().collect()),
        bounds_check_policies: BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: policy,
            binding_array: policy,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: checks == Checks::Restrict,
        ray_query_initialization_tracking: false,
        fake_missing_bindings: false,
        binding_map,
        emit_int_div_checks: checks == Checks::Restrict,
        ..Default::default()
    };
    let entry_point = kernel.entry_point.to_owned();
    let pipeline = spv::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: entry_point.clone(),
    };
    let spirv =
        spv::write_vec(&resolved, &info, &options, Some(&pipeline)).map_err(|e| e.to_string())?;
    let immediates = (written.global_variables.iter())
        .filter(|(_, global)| global.space == AddressSpace::Immediate)
        .map(|(_, global)| written.types[global.ty].inner.size(written.to_ctx()))
        .sum();
    Ok(Module { name: kernel.name.clone(), entry_point, spirv, groups, immediates })
}
