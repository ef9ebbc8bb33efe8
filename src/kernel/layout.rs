//! This module makes the layouts of bind groups.

use super::spec::{Address, KernelSpec};
use crate::model::Body;

/// The layouts that kernels share. All are made together, because they are few and cost next to nothing.
#[derive(Clone, Debug)]
pub(super) struct Layouts {
    device: wgpu::Device,
    /// The scalars of one cohort or of a window of cohorts, at a dynamic offset.
    pub(super) scalars: wgpu::BindGroupLayout,
    /// The scalars of all cohorts.
    pub(super) all_scalars: wgpu::BindGroupLayout,
    /// One uniform with the arguments of `norm` or `accumulate`.
    pub(super) arguments: wgpu::BindGroupLayout,
    /// The arguments of `prepare`, and the scalars that the host gives it.
    pub(super) given: wgpu::BindGroupLayout,
    /// Gradients in a group of their own: first only read, then also written.
    pub(super) grads: [wgpu::BindGroupLayout; 2],
    /// One buffer that is read, to ask the device whether it can bind the buffer.
    pub(super) probe: wgpu::BindGroupLayout,
}

pub(crate) const READ: wgpu::BufferBindingType =
    wgpu::BufferBindingType::Storage { read_only: true };
pub(crate) const WRITE: wgpu::BufferBindingType =
    wgpu::BufferBindingType::Storage { read_only: false };
const UNIFORM: wgpu::BufferBindingType = wgpu::BufferBindingType::Uniform;

impl Layouts {
    pub(super) fn new(device: &wgpu::Device) -> Self {
        let layout = |label, entries: &[wgpu::BindGroupLayoutEntry]| {
            let label = Some(label);
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries })
        };
        Self {
            device: device.clone(),
            scalars: layout("wgpu-optim scalars", &[entry(0, UNIFORM, true)]),
            all_scalars: layout("wgpu-optim all scalars", &[entry(0, READ, false)]),
            arguments: layout("wgpu-optim arguments", &[entry(0, UNIFORM, false)]),
            given: layout("wgpu-optim given", &[entry(0, UNIFORM, false), entry(1, READ, false)]),
            grads: [READ, WRITE].map(|ty| layout("wgpu-optim gradients", &[entry(0, ty, false)])),
            probe: layout("wgpu-optim probe", &[entry(0, READ, false)]),
        }
    }

    /// The layout of a kernel's group 0.
    pub(super) fn operands(&self, kernel: &KernelSpec) -> wgpu::BindGroupLayout {
        let mut entries = vec![entry(0, UNIFORM, false)];
        if kernel.address != Address::Direct {
            entries.push(entry(1, READ, false));
        }
        for variable in kernel.variables() {
            if kernel.group(&variable) == 0 {
                let ty = if variable.written { WRITE } else { READ };
                entries.push(entry(variable.binding, ty, false));
            }
        }
        if kernel.spec.body == Body::Norm {
            entries.push(entry(kernel.extra(0), WRITE, false));
            entries.push(entry(kernel.extra(1), READ, false));
        }
        entries.extend(sums_binding(kernel).map(|at| entry(at, UNIFORM, false)));
        let of_tables = if tables_are_storage(kernel) { READ } else { UNIFORM };
        entries.extend(tables_binding(kernel).map(|at| entry(at, of_tables, false)));
        self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("wgpu-optim operands"),
            entries: &entries,
        })
    }

    /// The layout of the scalars that a launch sees, by its way of addressing.
    pub(super) fn scalars_of(&self, address: Address) -> &wgpu::BindGroupLayout {
        match address {
            Address::Direct | Address::Table => &self.scalars,
            Address::Moving => &self.all_scalars,
        }
    }

    /// The layouts of all groups of a kernel; `operands` is the layout of group 0.
    pub(super) fn of<'a>(
        &'a self,
        kernel: &KernelSpec,
        operands: &'a wgpu::BindGroupLayout,
    ) -> Vec<&'a wgpu::BindGroupLayout> {
        let step = match kernel.spec.body {
            Body::Update | Body::Stream | Body::Blend => self.scalars_of(kernel.address),
            Body::Norm | Body::Accumulate => &self.arguments,
        };
        let mut all = vec![operands, step];
        if kernel.address == Address::Moving {
            all.push(&self.grads[usize::from(kernel.writes_grads())]);
        }
        all
    }
}

/// The binding of the uniform that says which sums were made, in kernels that read it.
pub(crate) fn sums_binding(kernel: &KernelSpec) -> Option<u32> {
    match kernel.spec.body {
        Body::Accumulate => Some(kernel.extra(0)),
        Body::Norm if kernel.spec.summed => Some(kernel.extra(2)),
        Body::Update if kernel.spec.summed => Some(kernel.extra(0)),
        _ => None,
    }
}

/// Whether the tables of codes are in storage. Different invocations read different parts of them, for which uniforms
/// are slow on some devices: an H200 takes 2.4 times as long. A kernel with as many operands as the default limits allow
/// has them in a uniform.
pub(crate) fn tables_are_storage(kernel: &KernelSpec) -> bool {
    // The chunks are storage, too, and so are the scalars of all cohorts.
    let scalars = u32::from(kernel.address == Address::Moving);
    let buffers = kernel.variables().len() as u32 + 2 + scalars;
    buffers <= wgpu::Limits::default().max_storage_buffers_per_shader_stage
}

/// The binding of the tables of codes, in kernels that encode blocks.
pub(crate) fn tables_binding(kernel: &KernelSpec) -> Option<u32> {
    let encodes = kernel.spec.body == Body::Update && kernel.spec.in_blocks();
    encodes.then(|| kernel.extra(1))
}

pub(crate) fn entry(
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
