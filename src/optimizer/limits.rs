//! The device's limits: the one place where something is refused because of one.

use crate::error::Error;
use crate::kernel::{BLOCK, LAUNCH_WORDS, WINDOW};
use crate::model::{Body, GroupKind, Spec, Weight, largest_bytes, variables};
use crate::num::blocks::GRAIN;
use crate::num::{Format, Master};
use crate::plan::{Bounds, QUAD};
use crate::program::{CLOCK_WORDS, ControllerWords, ROW_WORDS, partials_of};
use crate::view::View;

/// Invocations of a workgroup where the device allows as many: WebGPU's default limit.
const INVOCATIONS: u32 = 256;

/// Storage buffers of `shaders/control/prepare.wgsl`.
const CONTROL_BUFFERS: u32 = 7;

/// Bytes of its workgroup memory, rounded up.
const CONTROL_WORKGROUP: u64 = 8192;

/// Bytes of the largest binding that any optimizer needs once steps look at gradients: its window of scalars, and
/// the clocks of as many cohorts as there may be.
const CONTROL_BINDING: u64 = 1 << 20;

/// Cohorts, at most, so that their clocks on the GPU stay small: 512 KiB.
const MOST_COHORTS: u64 = 1 << 16;

/// Uniform buffers of a kernel: the launch, the scalars, a note of the sums that were made, and tables of codes.
const UNIFORM_BUFFERS: u32 = 4;

/// Bindings of a kernel's group 0 that are no operands: the launch, its chunks, the note of sums and the tables.
const BESIDE_OPERANDS: u32 = 4;

/// Bytes of `Launch`.
const LAUNCH_BYTES: u32 = 4 * LAUNCH_WORDS as u32;

/// The limits that plans respect.
pub(super) fn bounds(limits: &wgpu::Limits) -> Bounds {
    let invocations = INVOCATIONS
        .min(limits.max_compute_invocations_per_workgroup)
        .min(limits.max_compute_workgroup_size_x);
    // A table has its launch before it, in a buffer where everything begins at such a multiple.
    let aligned = limits
        .min_uniform_buffer_offset_alignment
        .max(limits.min_storage_buffer_offset_alignment)
        .max(LAUNCH_BYTES);
    Bounds {
        // Some backends report more than their shaders' 32-bit sizes can address.
        binding: binding(limits).min(i32::MAX as u64) / 16 * 16,
        table: binding(limits).min(limits.max_buffer_size.saturating_sub(aligned.into())),
        alignment: u64::from(limits.min_storage_buffer_offset_alignment).max(16),
        workgroups: u64::from(limits.max_compute_workgroups_per_dimension),
        invocations: u64::from(invocations),
        each: 1,
    }
}

/// Bytes of the largest binding of a buffer of the library's.
fn binding(limits: &wgpu::Limits) -> u64 {
    limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
}

/// A parameter's step in a group, in 16 bits if that takes more.
fn spec(kind: &GroupKind, master: Master, copied: bool) -> Spec {
    Spec {
        state: kind.state,
        kept: kind.kept,
        weight: if master == Master::None { Weight::Plain } else { Weight::Mastered(master) },
        copy: copied.then_some(Format::Bf16),
        ..Spec::new(Body::Update, Some(kind.rule.clone()))
    }
}

/// Whether the device can run a group's kernels at all, with parameters that are copied or not.
pub(super) fn check(
    limits: &wgpu::Limits,
    (kind, master): (&GroupKind, Master),
    copied: bool,
) -> Result<(), Error> {
    let at_least = |limit, has: u64, needs: u64| {
        if has >= needs {
            return Ok(());
        }
        let what = format!("rule `{}`", kind.rule.name());
        Err(Error::Limit { limit, has, what, needs })
    };
    // A parameter has a master or a copy.
    let copied = copied && master == Master::None;
    let operands = variables(&spec(kind, master, copied)).len() as u32;
    // A binding may have to start one alignment early, and must then still hold as much again.
    let window = u64::from(WINDOW) * BLOCK;
    let wide = |limit: u32| u64::from(limit);
    // A workgroup that encodes blocks holds whole blocks.
    let in_blocks = !kind.state.blocks().is_empty();
    let invocations = if in_blocks { u64::from(INVOCATIONS) } else { 1 };
    let alignment = u64::from(limits.min_storage_buffer_offset_alignment).max(BLOCK);
    let binding = 2 * if in_blocks { GRAIN * Format::F32.bytes() } else { alignment };
    let all = [
        (
            "max_storage_buffers_per_shader_stage",
            wide(limits.max_storage_buffers_per_shader_stage),
            wide(1 + operands), // and the chunks
        ),
        ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size, binding),
        ("max_uniform_buffer_binding_size", limits.max_uniform_buffer_binding_size, window),
        ("max_buffer_size", limits.max_buffer_size, window),
        ("max_bind_groups", wide(limits.max_bind_groups), 2),
        (
            "max_bindings_per_bind_group",
            wide(limits.max_bindings_per_bind_group),
            wide(BESIDE_OPERANDS + operands),
        ),
        (
            "max_uniform_buffers_per_shader_stage",
            wide(limits.max_uniform_buffers_per_shader_stage),
            wide(UNIFORM_BUFFERS),
        ),
        (
            "max_dynamic_uniform_buffers_per_pipeline_layout",
            wide(limits.max_dynamic_uniform_buffers_per_pipeline_layout),
            1,
        ),
        (
            "max_compute_invocations_per_workgroup",
            wide(limits.max_compute_invocations_per_workgroup),
            invocations,
        ),
        ("max_compute_workgroup_size_x", wide(limits.max_compute_workgroup_size_x), invocations),
        (
            "max_compute_workgroup_storage_size",
            wide(limits.max_compute_workgroup_storage_size),
            crate::kernel::block_memory(&kind.state),
        ),
        (
            "max_compute_workgroups_per_dimension",
            wide(limits.max_compute_workgroups_per_dimension),
            1,
        ),
    ];
    all.into_iter().try_for_each(|(limit, has, needs)| at_least(limit, has, needs))
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
        ("max_buffer_size", limits.max_buffer_size, CONTROL_BINDING),
    ] {
        if has < needs {
            let what = "clipping by norm, dynamic loss scaling or skipping".to_owned();
            return Err(Error::Limit { limit, has, what, needs });
        }
    }
    Ok(())
}

/// Words of the controller's buffer: its head, and the clocks of as many cohorts as there may be.
pub(super) fn controller_words(limits: &wgpu::Limits) -> usize {
    let cohorts = (binding(limits) / BLOCK).min(MOST_COHORTS) as usize;
    ControllerWords::NAMES.len() + CLOCK_WORDS * cohorts
}

/// Whether the state of a parameter fits a buffer, which it may not where it takes more bytes.
pub(super) fn check_state(
    limits: &wgpu::Limits,
    (kind, master): (&GroupKind, Master),
    name: &str,
    param: &View,
) -> Result<(), Error> {
    // The state starts at the parameter's place in a quad.
    let elements = param.at() % QUAD + param.len;
    let kind = &GroupKind { state: kind.state_of(param.len), ..kind.clone() };
    let needs = largest_bytes(&spec(kind, master, false), elements);
    if needs <= limits.max_buffer_size {
        return Ok(());
    }
    let (limit, has) = ("max_buffer_size", limits.max_buffer_size);
    let format = kind.state.plain().map_or("the formats of its group", Format::name);
    let what = format!("a slot of `{name}` in {format}");
    Err(Error::Limit { limit, has, what, needs })
}

/// Whether the device can bind the scalars of this many cohorts at once. Where the GPU decides, whole windows of
/// them are one binding, and each has a row of its own behind the blocks.
pub(super) fn check_cohorts(
    limits: &wgpu::Limits,
    cohorts: u64,
    controlled: bool,
) -> Result<(), Error> {
    let has = binding(limits);
    let windows = cohorts.next_multiple_of(WINDOW.into()) * BLOCK;
    let needs = match controlled {
        false => cohorts * BLOCK,
        true => windows.max(cohorts * (BLOCK + 4 * ROW_WORDS as u64)),
    };
    if needs > has {
        let limit = "max_storage_buffer_binding_size";
        let what = format!("an optimizer of {cohorts} groups");
        return Err(Error::Limit { limit, has, what, needs });
    }
    // Beyond one binding of scalars, a buffer of whole windows; a block of arguments stands before rows.
    let room = if controlled { needs + BLOCK } else { windows };
    if room > limits.max_buffer_size {
        let (limit, has) = ("max_buffer_size", limits.max_buffer_size);
        let what = format!("an optimizer of {cohorts} groups");
        return Err(Error::Limit { limit, has, what, needs: room });
    }
    if cohorts > MOST_COHORTS {
        return Err(Error::TooManyGroups(MOST_COHORTS));
    }
    Ok(())
}

/// Whether the device can bind the list of this many scalars that depend on a step that the GPU counts.
pub(super) fn check_dependents(limits: &wgpu::Limits, dependents: u64) -> Result<(), Error> {
    let (limit, has) = ("max_storage_buffer_binding_size", binding(limits));
    let needs = dependents * size_of::<[u32; 4]>() as u64;
    if needs <= has {
        return Ok(());
    }
    let what = format!("{dependents} scalars that depend on steps that may be skipped");
    Err(Error::Limit { limit, has, what, needs })
}

/// Whether the partial sums of a norm over parameters of these lengths fit a binding.
pub(super) fn check_partials(
    limits: &wgpu::Limits,
    lens: impl Iterator<Item = u64>,
    bounds: Bounds,
) -> Result<(), Error> {
    let partials: u64 = lens.map(|len| partials_of(len, bounds)).sum();
    let (limit, has) = ("max_storage_buffer_binding_size", binding(limits));
    let needs = partials * size_of::<[u32; 4]>() as u64;
    if needs <= has {
        return Ok(());
    }
    let what = "the norm of all gradients".to_owned();
    Err(Error::Limit { limit, has, what, needs })
}

/// Whether the sums of a parameter's gradients fit a buffer.
pub(super) fn check_sum(limits: &wgpu::Limits, name: &str, param: &View) -> Result<(), Error> {
    let (limit, has) = ("max_buffer_size", limits.max_buffer_size);
    let needs = (param.at() % QUAD + param.len) * Format::F32.bytes();
    if needs <= has {
        return Ok(());
    }
    let what = format!("adding up the gradients of `{name}` in f32");
    Err(Error::Limit { limit, has, what, needs })
}
