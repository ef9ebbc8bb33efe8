//! The bindings of launches, for tests of the optimizer.

use std::ops::Range;

use super::Program;
use super::pass::{Pass, Recordable};
use crate::kernel::Address;
use crate::model::Body;

/// A buffer's bytes that a launch binds, and whether to write.
type Binding = (wgpu::Buffer, Range<u64>, bool);

impl Program {
    /// Two bindings of one launch that overlap, of which one is written, if there are such.
    pub(crate) fn overlap(&self) -> Option<String> {
        let steps = [&self.update, &self.sums].into_iter().flatten().map(|(_, pass)| pass);
        let mut launches = steps.chain(self.decide.norms()).flat_map(launches);
        launches.find_map(overlap)
    }

    /// Launches over gradients that move, and over others.
    pub(crate) fn kinds(&self) -> [usize; 2] {
        let all = self.update.iter().flat_map(|(_, pass)| launches(pass));
        let (moving, still): (Vec<_>, Vec<_>) =
            all.partition(|launch| launch.kernel.address == Address::Moving);
        [moving.len(), still.len()]
    }

    /// Bytes of the scalars that depend on the step.
    pub(crate) fn series_bytes(&self) -> u64 {
        self.decide.series.made.as_ref().map_or(0, |made| made.values.size())
    }
}

fn launches(pass: &Pass) -> impl Iterator<Item = &Recordable> {
    pass.launches.iter().filter(|launch| launch.is_ready())
}

/// The bindings of a launch, those of operands first.
fn bindings(launch: &Recordable) -> Vec<Binding> {
    let variables = launch.kernel.variables();
    let written = |binding: u32| {
        let operand = variables.iter().find(|variable| variable.binding == binding);
        // A norm writes its partial sums.
        let is_norm = launch.kernel.spec.body == Body::Norm;
        let partials = is_norm && binding == launch.kernel.extra(0);
        operand.map_or(partials, |variable| variable.written)
    };
    let bound = launch.bound.iter();
    let bound = bound.map(|(at, buffer, bytes)| (buffer.clone(), bytes.clone(), written(*at)));
    let grads = launch.moving.as_ref().and_then(|moving| moving.buffer());
    let grads = grads.map(|grads| (grads.clone(), 0..grads.size(), launch.kernel.writes_grads()));
    bound.chain(grads).collect()
}

fn overlap(launch: &Recordable) -> Option<String> {
    let all = bindings(launch);
    let pairs =
        all.iter().enumerate().flat_map(|(i, one)| all[..i].iter().map(move |two| [one, two]));
    let overlaps = |[one, two]: &[&Binding; 2]| {
        let common = one.1.start < two.1.end && two.1.start < one.1.end;
        // WebGPU wants a buffer that a launch writes bound to be written throughout.
        one.0 == two.0 && ((common && (one.2 || two.2)) || one.2 != two.2)
    };
    pairs.into_iter().find(overlaps).map(|pair| format!("{:?}: {pair:?}", launch.kernel.name()))
}
