//! Which bytes of which buffers are spoken for: a step writes parameters, so nothing may overlap them.

use std::collections::{BTreeMap, HashMap};

use crate::view::View;

/// The ranges that parameters and gradients occupy, by buffer. A parameter is known by its index.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    params: HashMap<wgpu::Buffer, Ranges>,
    grads: HashMap<wgpu::Buffer, Ranges>,
}

/// Ranges of bytes, in order of their starts. Gradients may overlap each other.
#[derive(Debug, Default)]
struct Ranges {
    /// (first byte, owner) → the first byte after.
    ends: BTreeMap<(u64, usize), u64>,
    /// At least as long as the longest range there is.
    longest: u64,
}

impl Ranges {
    /// Some owner whose range overlaps `start..end`.
    fn overlapping(&self, (start, end): (u64, u64)) -> Option<usize> {
        let candidates = (start.saturating_sub(self.longest), 0)..(end, 0);
        self.ends
            .range(candidates)
            .find(|(_, at_end)| **at_end > start)
            .map(|((_, owner), _)| *owner)
    }
}

/// What is already there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Taken {
    Param(usize),
    Grad(usize),
}

impl Claims {
    /// What a parameter at `view` would collide with.
    pub(crate) fn against_param(&self, view: &View) -> Option<Taken> {
        let find = |of: &HashMap<_, Ranges>| of.get(&view.buffer)?.overlapping(view.bytes());
        find(&self.params).map(Taken::Param).or_else(|| find(&self.grads).map(Taken::Grad))
    }

    /// What a gradient at `view` would collide with.
    pub(crate) fn against_grad(&self, view: &View) -> Option<Taken> {
        self.params.get(&view.buffer)?.overlapping(view.bytes()).map(Taken::Param)
    }

    pub(crate) fn claim_param(&mut self, owner: usize, view: &View) {
        claim(&mut self.params, owner, view);
    }

    pub(crate) fn claim_grad(&mut self, owner: usize, view: &View) {
        claim(&mut self.grads, owner, view);
    }

    pub(crate) fn release_grad(&mut self, owner: usize, view: &View) {
        if let Some(ranges) = self.grads.get_mut(&view.buffer) {
            ranges.ends.remove(&(view.offset, owner));
            if ranges.ends.is_empty() {
                self.grads.remove(&view.buffer); // lets go of the caller's buffer
            }
        }
    }
}

fn claim(of: &mut HashMap<wgpu::Buffer, Ranges>, owner: usize, view: &View) {
    let (start, end) = view.bytes();
    let ranges = of.entry(view.buffer.clone()).or_default();
    ranges.ends.insert((start, owner), end);
    ranges.longest = ranges.longest.max(end - start);
}
