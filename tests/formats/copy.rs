//! A kernel that copies numbers and rounds them only by their codec.

use std::sync::LazyLock;

use support::gpu;
use wgpu_optim::kernel::{Address, Facts, Kernel, Width, every_kernel_of};
use wgpu_optim::wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu_optim::wgpu::{BindGroupDescriptor, BindGroupEntry, BufferUsages};
use wgpu_optim::{Format, Group, View};

/// A copy in place of a step.
const BODY: &str = include_str!("copy.wgsl");

/// The copy itself, and the one the other way.
const COPY: [&str; 2] =
    ["store_param(at.param, load_grad(at.grad));", "store_grad(at.grad, load_param(at.param));"];

/// Every kernel over one run of parameters and gradients and nothing else, rounding to nearest.
fn plain() -> &'static [(Kernel, Facts)] {
    static PLAIN: LazyLock<Vec<(Kernel, Facts)>> = LazyLock::new(|| {
        let sgd = Group::sgd(1.0);
        let with_facts = every_kernel_of(&sgd).filter_map(|kernel| {
            let facts = kernel.facts.clone()?;
            Some((kernel, facts))
        });
        let is_plain = |(_, facts): &(Kernel, Facts)| {
            let operands: Vec<&str> = facts.operands.iter().map(|one| one.name.as_str()).collect();
            facts.address == Address::Direct
                && operands == ["param", "grad"]
                && !(facts.stochastic || facts.summed)
                && facts.formats[2] == Format::F32
        };
        with_facts.filter(is_plain).collect()
    });
    &PLAIN
}

/// A kernel that copies `length` `real`s from one place to another, and how to spoil it.
pub(crate) struct Copy<'a> {
    pub(crate) width: Width,
    /// Whether gradients are bound to be written.
    pub(crate) written: bool,
    /// Whether the copy is from the parameter to its gradient.
    pub(crate) back: bool,
    pub(crate) from: Format,
    pub(crate) to: Format,
    /// Where to and where from, each in its operand's indices.
    pub(crate) places: [u32; 2],
    pub(crate) length: u32,
    /// A piece of its WGSL and the replacement.
    pub(crate) mutation: Option<(&'a str, &'a str)>,
}

impl Copy<'_> {
    /// Runs it; returns what `to` holds then.
    pub(crate) fn run(&self, from: &[u32], to: &[u32]) -> Vec<u32> {
        let [param, grad] = if self.back { [self.from, self.to] } else { [self.to, self.from] };
        let is = |facts: &Facts| {
            facts.width == self.width
                && facts.formats[..2] == [param, grad]
                && facts.operands[1].written == self.written
        };
        let found = plain().iter().find(|(_, facts)| is(facts));
        let Some((kernel, facts)) = found else { panic!("no kernel {param:?} {grad:?}") };
        let (head, _) = kernel.wgsl.split_once("@compute").unwrap_or_else(|| panic!("no entry"));
        assert!(BODY.contains(COPY[0]));
        let body = if self.back { BODY.replace(COPY[0], COPY[1]) } else { BODY.to_owned() };
        let mut wgsl = format!("{head}{body}");
        if let Some((right, wrong)) = self.mutation {
            assert!(wgsl.contains(right), "`{right}` is not in {}", kernel.name);
            wgsl = wgsl.replace(right, wrong);
        }
        self.dispatch(wgsl, facts, from, to)
    }

    fn dispatch(&self, wgsl: String, facts: &Facts, from: &[u32], to: &[u32]) -> Vec<u32> {
        let (gpu, label) = (gpu(), Some("formats"));
        let device = &gpu.device;
        let pipeline = support::pipeline(gpu, wgsl);
        let usage = BufferUsages::UNIFORM | BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let buffer = |words: &[u32]| {
            let contents = bytemuck::cast_slice(words);
            device.create_buffer_init(&BufferInitDescriptor { label, contents, usage })
        };
        let row = self.length.div_ceil(256).min(1000);
        let [target, source] = self.places;
        let [param, grad] = if self.back { [source, target] } else { [target, source] };
        let mut words = [0; 16];
        words[..5].copy_from_slice(&[param, grad, 0, self.length, row]);
        let launch = buffer(&words);
        let (from, to) = (buffer(from), buffer(to));
        let [param, grad] = if self.back { [&from, &to] } else { [&to, &from] };
        let bindings = [&facts.operands[0], &facts.operands[1]].map(|operand| operand.binding);
        let entries = [(0, &launch), (bindings[0], param), (bindings[1], grad)];
        let entries = entries.map(|(binding, buffer)| BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        });
        let layout = &pipeline.get_bind_group_layout(0);
        let group =
            device.create_bind_group(&BindGroupDescriptor { label, layout, entries: &entries });
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(row, self.length.div_ceil(256 * row), 1);
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
        support::bits(gpu, &View::f32(&to))
    }
}
