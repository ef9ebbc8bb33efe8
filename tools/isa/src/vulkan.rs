//! The driver's compiler: modules in, machine code and the compiler's own figures out. Nothing runs.
//!
//! Mesa's RADV takes an AMD GPU of any family for present when `RADV_FORCE_FAMILY` names one, and
//! compiles for it. Only pipelines can be made on such a device, so wgpu cannot open it.
#![allow(unsafe_code, reason = "Vulkan is a C interface; this file is all of it")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};

use ash::prelude::VkResult;
use ash::{Device, Entry, Instance, ext, khr, vk};
use serde::{Deserialize, Serialize};

use crate::module::{Binding, Module};

/// A module as the driver compiled it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Compiled {
    pub(crate) name: String,
    /// The driver's statistics, by its names for them.
    pub(crate) statistics: BTreeMap<String, u64>,
    /// The driver's disassembly.
    pub(crate) assembly: String,
}

/// The driver, and every module as it compiled it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Answer {
    /// The device's name, with the family in it.
    pub(crate) device: String,
    /// The driver and its version.
    pub(crate) driver: String,
    pub(crate) compiled: Vec<Compiled>,
}

/// Compiles `modules` for the family that the environment names.
pub(crate) fn compile(modules: &[Module]) -> Result<Answer, String> {
    // SAFETY: the loader is only unloaded at the end of this function, after what came from it.
    let entry = unsafe { Entry::load() }.map_err(|e| format!("no Vulkan loader: {e}"))?;
    let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
    let create = vk::InstanceCreateInfo::default().application_info(&application);
    // SAFETY: the structures live until the call has returned.
    let instance = unsafe { entry.create_instance(&create, None) }
        .map_err(|e| format!("no Vulkan instance: {e}"))?;
    let answer = on(&instance, modules).map_err(|e| format!("RADV: {e}"));
    // SAFETY: `on` has destroyed what it made of the instance.
    unsafe { instance.destroy_instance(None) };
    answer
}

fn on(instance: &Instance, modules: &[Module]) -> VkResult<Answer> {
    // SAFETY: the instance is alive.
    let found = unsafe { instance.enumerate_physical_devices() }?;
    let &physical = found.first().ok_or(vk::Result::ERROR_INCOMPATIBLE_DRIVER)?;
    let mut driver = vk::PhysicalDeviceDriverProperties::default();
    let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
    // SAFETY: `physical` is this instance's, which is of Vulkan 1.1 or later.
    unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
    let device = text(&properties.properties.device_name);
    let driver = format!("{} {}", text(&driver.driver_name), text(&driver.driver_info));

    // The features that wgpu asks for, since they decide how buffers are accessed, and the figures.
    let mut robustness = vk::PhysicalDeviceRobustness2FeaturesEXT::default()
        .robust_buffer_access2(true)
        .robust_image_access2(true);
    let mut executables = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
        .pipeline_executable_info(true);
    let extensions =
        [ext::robustness2::NAME.as_ptr(), khr::pipeline_executable_properties::NAME.as_ptr()];
    let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
    let queues =
        [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
    let create = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_extension_names(&extensions)
        .enabled_features(&features)
        .push_next(&mut robustness)
        .push_next(&mut executables);
    // SAFETY: `physical` is this instance's, and what `create` points to outlives the call.
    let made = unsafe { instance.create_device(physical, &create, None) }?;
    let executables = khr::pipeline_executable_properties::Device::new(instance, &made);
    let compiled: VkResult<_> =
        modules.iter().map(|module| one(&made, &executables, module)).collect();
    // SAFETY: `one` has destroyed what it made of the device, and nothing was submitted to it.
    unsafe { made.destroy_device(None) };
    Ok(Answer { device, driver, compiled: compiled? })
}

/// Compiles one module.
fn one(
    device: &Device,
    executables: &khr::pipeline_executable_properties::Device,
    module: &Module,
) -> VkResult<Compiled> {
    let code = vk::ShaderModuleCreateInfo::default().code(&module.spirv);
    let mut sets = Vec::new();
    for group in &module.groups {
        let bindings: Vec<_> = (0..).zip(group).map(|(at, binding)| entry(at, *binding)).collect();
        let create = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: `create` and the bindings it points to outlive the call.
        sets.push(unsafe { device.create_descriptor_set_layout(&create, None) }?);
    }
    let immediates = vk::PushConstantRange::default()
        .stage_flags(vk::ShaderStageFlags::COMPUTE)
        .size(module.immediates);
    let mut layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
    if module.immediates > 0 {
        layout = layout.push_constant_ranges(std::slice::from_ref(&immediates));
    }
    // SAFETY: the SPIR-V is naga's, of a validated module, and so valid; the sets are this device's.
    let (code, layout) = unsafe {
        (device.create_shader_module(&code, None)?, device.create_pipeline_layout(&layout, None)?)
    };
    let name = format!("{}\0", module.entry_point);
    let stage = vk::PipelineShaderStageCreateInfo::default()
        .stage(vk::ShaderStageFlags::COMPUTE)
        .module(code)
        .name(CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or_default());
    let create = vk::ComputePipelineCreateInfo::default()
        .flags(
            vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
        )
        .stage(stage)
        .layout(layout);
    // SAFETY: the module declares its entry point by that name and no binding that the layout lacks,
    // because both were made from one list.
    let made =
        unsafe { device.create_compute_pipelines(vk::PipelineCache::null(), &[create], None) };
    let pipeline = made.map_err(|(_, error)| error)?[0];
    let statistics = statistics(executables, pipeline);
    let assembly = assembly(executables, pipeline);
    // SAFETY: nothing uses any of them any more.
    unsafe {
        device.destroy_pipeline(pipeline, None);
        device.destroy_pipeline_layout(layout, None);
        device.destroy_shader_module(code, None);
        for set in sets {
            device.destroy_descriptor_set_layout(set, None);
        }
    }
    Ok(Compiled { name: module.name.clone(), statistics: statistics?, assembly: assembly? })
}

fn entry(at: u32, binding: Binding) -> vk::DescriptorSetLayoutBinding<'static> {
    vk::DescriptorSetLayoutBinding::default()
        .binding(at)
        .descriptor_type(match binding {
            Binding::Uniform => vk::DescriptorType::UNIFORM_BUFFER,
            Binding::DynamicUniform => vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC,
            Binding::Storage => vk::DescriptorType::STORAGE_BUFFER,
        })
        .descriptor_count(1)
        .stage_flags(vk::ShaderStageFlags::COMPUTE)
}

fn statistics(
    executables: &khr::pipeline_executable_properties::Device,
    pipeline: vk::Pipeline,
) -> VkResult<BTreeMap<String, u64>> {
    // A compute pipeline is one executable, the first.
    let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
    // SAFETY: the pipeline was made with statistics captured.
    let all = unsafe { executables.get_pipeline_executable_statistics(&info) }?;
    let integers = all.iter().filter_map(|statistic| match statistic.format {
        vk::PipelineExecutableStatisticFormatKHR::UINT64 => {
            // SAFETY: the format says which member of the union was written.
            Some((text(&statistic.name), unsafe { statistic.value.u64 }))
        }
        _ => None,
    });
    Ok(integers.collect())
}

fn assembly(
    executables: &khr::pipeline_executable_properties::Device,
    pipeline: vk::Pipeline,
) -> VkResult<String> {
    let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
    // Asks twice: for how long the texts are, and for the texts.
    // SAFETY: the pipeline was made with its representations captured.
    let mut all = unsafe { executables.get_pipeline_executable_internal_representations(&info) }?;
    let mut texts: Vec<Vec<u8>> = Vec::new();
    for representation in &mut all {
        let mut bytes = vec![0; representation.data_size];
        representation.p_data = bytes.as_mut_ptr().cast();
        texts.push(bytes);
    }
    let mut count = all.len() as u32;
    let call = executables.fp().get_pipeline_executable_internal_representations_khr;
    // SAFETY: `count` elements of `all` may be written, each with a buffer of the size it names, all of
    // them alive in `texts`.
    unsafe { call(executables.device(), &info, &mut count, all.as_mut_ptr()) }.result()?;
    let found = all.iter().zip(texts).find(|(one, _)| text(&one.name) == "Assembly");
    let bytes = found.map(|(_, bytes)| bytes).unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

/// A text of fixed size, as Vulkan returns them.
fn text(chars: &[c_char]) -> String {
    let bytes = chars.iter().take_while(|c| **c != 0).map(|c| c.cast_unsigned());
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}
