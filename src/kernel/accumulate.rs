//! The kernels that add up gradients between steps: `shaders/kernel/accumulate.wgsl`.

use super::files::{Binding, Grads};
use super::{Address, Kernel, Kernels, Pipeline, trusted};
use crate::num::Format;
use crate::plan::{Role, Width};

/// Which files make a kernel that adds gradients to their sums.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Accumulate {
    pub(crate) width: Width,
    pub(crate) address: Address,
    /// How gradients are stored; their sums are in f32.
    pub(crate) format: Format,
    pub(crate) grads: Grads,
    /// Whether the sums begin with these gradients.
    pub(crate) first: bool,
}

impl Accumulate {
    fn all() -> Vec<Self> {
        let (width, address, grads) = (Width::Vec4, Address::Direct, Grads::Own);
        let mut all = vec![Self { width, address, format: Format::F32, grads, first: false }];
        let mut each = |choices: &dyn Fn(Self) -> Vec<Self>| {
            all = all.iter().copied().flat_map(choices).collect();
        };
        each(&|files| [Width::Vec4, Width::Scalar].map(|width| Self { width, ..files }).into());
        each(&|files| Address::ALL.map(|address| Self { address, ..files }).into());
        each(&|files| Format::ALL.map(|format| Self { format, ..files }).into());
        each(&|files| [Grads::Own, Grads::Cleared].map(|grads| Self { grads, ..files }).into());
        each(&|files| [false, true].map(|first| Self { first, ..files }).into());
        all
    }

    fn bindings(self) -> Vec<Binding> {
        vec![Binding::grads(self.grads), Binding::written(4, Role::State)]
    }

    fn wgsl(self) -> String {
        [
            self.width.wgsl(),
            include_str!("../../shaders/prelude.wgsl"),
            self.format.codec().unwrap_or_default(),
            include_str!("../../shaders/access/bindings.wgsl"),
            &self.grads.wgsl(self.format, self.width),
            &Format::F32.access("sum", self.width, true),
            self.address.wgsl(),
            include_str!("../../shaders/kernel/accumulate.wgsl"),
        ]
        .join("\n")
    }

    fn switches(self) -> Vec<(&'static str, bool)> {
        vec![("FIRST", self.first)]
    }

    fn label(self) -> String {
        let Self { width, address, grads, format, first } = self;
        let first = if first { "-first" } else { "" };
        let name = format.name();
        format!("accumulate-{width:?}-{address:?}-{grads:?}-{name}{first}").to_lowercase()
    }
}

/// Every kernel that adds up gradients.
pub(super) fn kernels() -> impl Iterator<Item = Kernel> {
    Accumulate::all().into_iter().map(|files| Kernel {
        name: files.label(),
        wgsl: files.wgsl(),
        entry_point: "accumulate",
        switches: files.switches(),
        formats: [Format::F32, files.format, Format::F32],
    })
}

impl Kernels {
    /// The pipeline that adds gradients to their sums.
    pub(crate) fn accumulate(&mut self, files: Accumulate) -> Pipeline {
        if let Some(pipeline) = self.sums.get(&files) {
            return pipeline.clone();
        }
        let bindings = files.bindings();
        let layout = self.launch_layout(files.address, &bindings);
        let label = format!("wgpu-optim {}", files.label());
        let module = trusted(&self.device, &label, files.wgsl());
        let switches = files.switches();
        let pipeline = self.pipeline(&label, &module, "accumulate", &[&layout], &switches);
        let made = Pipeline { pipeline, layout, bindings: bindings.into() };
        self.sums.insert(files, made.clone());
        made
    }
}
