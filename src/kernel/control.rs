//! The kernels that look at gradients before a step: `shaders/control/`.

use std::collections::HashMap;

use super::{Address, Kernel, entry, trusted};
use crate::num::Format;
use crate::plan::{Bounds, Width};

/// Which files make a kernel that sums up gradients.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Norm {
    pub(crate) width: Width,
    pub(crate) address: Address,
    /// How gradients are stored.
    pub(crate) format: Format,
    pub(crate) clip_value: bool,
}

/// `real`s that an invocation of [`Norm`] sums up, one after the other.
pub(crate) const EACH: u64 = 16;

impl Norm {
    fn all() -> impl Iterator<Item = Self> {
        [Width::Vec4, Width::Scalar].into_iter().flat_map(|width| {
            [Address::Direct, Address::Table].into_iter().flat_map(move |address| {
                Format::ALL.into_iter().flat_map(move |format| {
                    [false, true].map(|clip_value| Self { width, address, format, clip_value })
                })
            })
        })
    }

    fn wgsl(self) -> String {
        [
            self.width.wgsl(),
            include_str!("../../shaders/prelude.wgsl"),
            self.format.codec().unwrap_or_default(),
            include_str!("../../shaders/access/bindings.wgsl"),
            &self.format.access("grad", self.width, false),
            self.address.wgsl(),
            include_str!("../../shaders/clip.wgsl"),
            include_str!("../../shaders/control/ledger.wgsl"),
            include_str!("../../shaders/control/norm.wgsl"),
        ]
        .join("\n")
    }

    fn label(self) -> String {
        let Self { width, address, format, clip_value } = self;
        let clip = if clip_value { "-clip" } else { "" };
        format!("norm-{width:?}-{address:?}-{}{clip}", format.name()).to_lowercase()
    }
}

fn prepare_wgsl() -> String {
    [
        include_str!("../../shaders/control/ledger.wgsl"),
        include_str!("../../shaders/control/prepare.wgsl"),
    ]
    .join("\n")
}

/// Every kernel that looks at gradients before a step, or adds them up between steps.
pub fn control_kernels() -> Vec<Kernel> {
    let mut all: Vec<Kernel> = Norm::all()
        .map(|norm| Kernel {
            name: norm.label(),
            wgsl: norm.wgsl(),
            entry_point: "norm",
            switches: vec![("CLIP_VALUE", norm.clip_value)],
            formats: [Format::F32, norm.format, Format::F32],
        })
        .collect();
    let (name, entry_point) = ("prepare".to_owned(), "prepare");
    let formats = [Format::F32; 3];
    all.push(Kernel { name, wgsl: prepare_wgsl(), entry_point, switches: Vec::new(), formats });
    all.extend(super::accumulate::kernels());
    all
}

/// The layouts and pipelines of one device.
#[derive(Debug)]
pub(crate) struct ControlKernels {
    device: wgpu::Device,
    bounds: Bounds,
    /// Group 1 of both kernels: what the host says of a step, and the scalars it gives.
    pub(crate) step: [wgpu::BindGroupLayout; 2],
    pub(crate) prepare: super::Pipeline,
    norms: HashMap<Norm, super::Pipeline>,
}

impl ControlKernels {
    /// `bounds` are those of a step.
    pub(crate) fn new(device: &wgpu::Device, bounds: Bounds) -> Self {
        let uniform = || entry(0, wgpu::BufferBindingType::Uniform, false);
        let layout = |label, entries: &[wgpu::BindGroupLayoutEntry]| {
            let label = Some(label);
            device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries })
        };
        let step = [
            layout("wgpu-optim norm step", &[uniform()]),
            layout("wgpu-optim prepare step", &[uniform(), entry(1, READ, false)]),
        ];
        let kept = layout(
            "wgpu-optim prepare",
            &[
                entry(0, READ, false),
                entry(1, WRITE, false),
                entry(2, WRITE, false),
                entry(3, READ, false),
                entry(4, READ, false),
            ],
        );
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some("wgpu-optim prepare"),
            source: wgpu::ShaderSource::Wgsl(prepare_wgsl().into()),
        });
        let constants = [("WORKGROUP_SIZE", bounds.invocations as f64)];
        let pipeline = pipeline(device, "prepare", &module, [&kept, &step[1]], &constants);
        let prepare = super::Pipeline { pipeline, layout: kept, bindings: [].into() };
        Self { device: device.clone(), bounds, step, prepare, norms: HashMap::new() }
    }

    pub(crate) fn norm(&mut self, norm: Norm) -> super::Pipeline {
        if let Some(pipeline) = self.norms.get(&norm) {
            return pipeline.clone();
        }
        let mut entries = vec![
            entry(0, wgpu::BufferBindingType::Uniform, false),
            entry(2, WRITE, false),
            entry(3, READ, false),
            entry(4, READ, false),
        ];
        if norm.address == Address::Table {
            entries.push(entry(1, READ, false));
        }
        let label = format!("wgpu-optim {}", norm.label());
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(&label),
            entries: &entries,
        });
        let module = trusted(&self.device, &label, norm.wgsl());
        let size = self.bounds.invocations;
        let constants = [
            ("CLIP_VALUE", f64::from(u8::from(norm.clip_value))),
            ("WORKGROUP_SIZE", size as f64),
            ("WORKGROUP_SPAN", (size * EACH) as f64),
        ];
        let groups = [&layout, &self.step[0]];
        let pipeline = pipeline(&self.device, "norm", &module, groups, &constants);
        let made = super::Pipeline { pipeline, layout, bindings: [].into() };
        self.norms.insert(norm, made.clone());
        made
    }
}

const READ: wgpu::BufferBindingType = wgpu::BufferBindingType::Storage { read_only: true };
const WRITE: wgpu::BufferBindingType = wgpu::BufferBindingType::Storage { read_only: false };

fn pipeline(
    device: &wgpu::Device,
    entry_point: &str,
    module: &wgpu::ShaderModule,
    groups: [&wgpu::BindGroupLayout; 2],
    constants: &[(&str, f64)],
) -> wgpu::ComputePipeline {
    let label = format!("wgpu-optim {entry_point}");
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(&label),
        bind_group_layouts: &groups.map(Some),
        immediate_size: 0,
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
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
