//! What the device allows: the one place each limit is looked at.

use crate::error::Error;
use crate::group::Group;
use crate::kernel::{BINDINGS, BLOCK, STORAGE_BUFFERS, WINDOW};
use crate::num::{Format, Master};
use crate::plan::Bounds;
use crate::view::View;

/// Invocations of a workgroup where the device allows as many: WebGPU's default limit.
const INVOCATIONS: u32 = 256;

/// Storage buffers of `shaders/control/prepare.wgsl`.
const CONTROL_BUFFERS: u32 = 6;

/// Bytes of its workgroup memory, rounded up.
const CONTROL_WORKGROUP: u64 = 8192;

/// Bytes of its largest binding that any optimizer has: scalars over their first thousands of steps.
const CONTROL_BINDING: u64 = 1 << 20;

/// Blocks of scalars, so that what counts their steps on the GPU stays small: 256 KiB.
const MAX_BLOCKS: u64 = 1 << 16;

/// The limits that plans respect.
pub(super) fn bounds(limits: &wgpu::Limits) -> Bounds {
    let invocations = INVOCATIONS
        .min(limits.max_compute_invocations_per_workgroup)
        .min(limits.max_compute_workgroup_size_x);
    Bounds {
        // Some backends report more than their shaders' 32-bit sizes can address.
        binding: limits.max_storage_buffer_binding_size.min(i32::MAX as u64) / 16 * 16,
        alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(16),
        workgroups: u64::from(limits.max_compute_workgroups_per_dimension),
        invocations: u64::from(invocations),
        each: 1,
    }
}

/// Whether the device can run `rule` at all, with parameters that are copied or not.
pub(super) fn check(limits: &wgpu::Limits, group: &Group, copied: bool) -> Result<(), Error> {
    let rule = &*group.rule;
    let at_least = |limit, has: u64, needs: u64| {
        if has >= needs {
            return Ok(());
        }
        let what = format!("rule `{}`", rule.name());
        Err(Error::Limit { limit, has, what, needs })
    };
    // A parameter has a master or a copy.
    let beside = u64::from(group.master != Master::None || copied) + u64::from(group.ema.is_some());
    let storage = u64::from(STORAGE_BUFFERS) + rule.slots().len() as u64 + beside;
    // A binding may have to start one alignment early, and must then still hold as much again.
    let binding = 2 * u64::from(limits.min_storage_buffer_offset_alignment).max(BLOCK);
    at_least(
        "max_storage_buffers_per_shader_stage",
        limits.max_storage_buffers_per_shader_stage.into(),
        storage,
    )?;
    at_least("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size, binding)?;
    let window = u64::from(WINDOW) * BLOCK;
    at_least("max_uniform_buffer_binding_size", limits.max_uniform_buffer_binding_size, window)?;
    for (limit, has, needs) in [
        ("max_bind_groups", limits.max_bind_groups, 2),
        ("max_bindings_per_bind_group", limits.max_bindings_per_bind_group, BINDINGS),
        ("max_uniform_buffers_per_shader_stage", limits.max_uniform_buffers_per_shader_stage, 2),
        (
            "max_dynamic_uniform_buffers_per_pipeline_layout",
            limits.max_dynamic_uniform_buffers_per_pipeline_layout,
            1,
        ),
    ] {
        at_least(limit, has.into(), needs.into())?;
    }
    at_least(
        "max_compute_invocations_per_workgroup",
        limits.max_compute_invocations_per_workgroup.into(),
        1,
    )?;
    at_least("max_compute_workgroup_size_x", limits.max_compute_workgroup_size_x.into(), 1)?;
    at_least(
        "max_compute_workgroups_per_dimension",
        limits.max_compute_workgroups_per_dimension.into(),
        1,
    )
}

/// Whether the device can run the kernels that look at gradients.
pub(super) fn check_control(limits: &wgpu::Limits) -> Result<(), Error> {
    for (limit, has, needs) in [
        (
            "max_storage_buffers_per_shader_stage",
            u64::from(limits.max_storage_buffers_per_shader_stage),
            u64::from(CONTROL_BUFFERS),
        ),
        (
            "max_compute_workgroup_storage_size",
            limits.max_compute_workgroup_storage_size.into(),
            CONTROL_WORKGROUP,
        ),
        (
            "max_storage_buffer_binding_size",
            limits.max_storage_buffer_binding_size,
            CONTROL_BINDING,
        ),
    ] {
        if has < needs {
            let what = "clipping by norm, dynamic loss scaling or skipping".to_owned();
            return Err(Error::Limit { limit, has, what, needs });
        }
    }
    Ok(())
}

/// Blocks of scalars that the device can bind at once.
pub(super) fn most_blocks(limits: &wgpu::Limits) -> u64 {
    (limits.max_storage_buffer_binding_size.min(limits.max_buffer_size) / BLOCK).min(MAX_BLOCKS)
}

/// Whether the state of a parameter fits a buffer, which it may not where it takes more bytes.
pub(super) fn check_state(
    limits: &wgpu::Limits,
    group: &Group,
    name: &str,
    param: &View,
) -> Result<(), Error> {
    let (limit, has) = ("max_buffer_size", limits.max_buffer_size);
    // It starts at the parameter's place in a quadruple.
    let rest = match param.format {
        Format::F32 => 0,
        _ => group.master.rest().map_or(0, Format::bytes),
    };
    let ema = group.ema.map_or(0, |_| Format::F32.bytes());
    let slot = if group.rule.slots().is_empty() { 0 } else { group.state_format.bytes() };
    let needs = (param.at() % 4 + param.len) * slot.max(rest).max(ema);
    if needs <= has {
        return Ok(());
    }
    let what = format!("a slot of `{name}` in {}", group.state_format.name());
    Err(Error::Limit { limit, has, what, needs })
}

/// Whether the device can bind this many blocks of scalars at once.
pub(super) fn check_blocks(limits: &wgpu::Limits, blocks: u64) -> Result<(), Error> {
    let what = || format!("an optimizer of {blocks} groups");
    let has = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    if blocks * BLOCK > has {
        let limit = "max_storage_buffer_binding_size";
        return Err(Error::Limit { limit, has, what: what(), needs: blocks * BLOCK });
    }
    if blocks > MAX_BLOCKS {
        return Err(Error::TooManyGroups { most: MAX_BLOCKS });
    }
    Ok(())
}

/// Whether the sums of a parameter's gradients fit a buffer.
pub(super) fn check_sum(limits: &wgpu::Limits, name: &str, param: &View) -> Result<(), Error> {
    let (limit, has) = ("max_buffer_size", limits.max_buffer_size);
    let needs = (param.at() % 4 + param.len) * Format::F32.bytes();
    if needs <= has {
        return Ok(());
    }
    let what = format!("adding up the gradients of `{name}` in f32");
    Err(Error::Limit { limit, has, what, needs })
}
