//! Which bytes of which buffers are spoken for: a step writes parameters, so nothing may overlap them.

use std::collections::{BTreeMap, HashMap};

use crate::view::View;

/// The ranges that parameters, gradients and copies occupy, by buffer. Each belongs to a parameter, known
/// by its index.
#[derive(Debug, Default)]
pub(crate) struct Claims([HashMap<wgpu::Buffer, Ranges>; 3]);

/// Ranges of bytes, in order of their starts. Gradients may overlap each other unless they are written.
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

/// What of a parameter is, or would be, somewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    Param,
    Grad,
    Copy,
}

impl What {
    const ALL: [Self; 3] = [Self::Param, Self::Grad, Self::Copy];
}

impl Claims {
    /// Something, with its owner, that `view` would collide with as `what`. Gradients do not with each
    /// other, unless they are `written`.
    pub(crate) fn against(&self, what: What, view: &View, written: bool) -> Option<(What, usize)> {
        let read = |other| what == What::Grad && other == What::Grad && !written;
        What::ALL.into_iter().filter(|other| !read(*other)).find_map(|other| {
            let owner = self.0[other as usize].get(&view.buffer)?.overlapping(view.bytes())?;
            Some((other, owner))
        })
    }

    pub(crate) fn claim(&mut self, what: What, owner: usize, view: &View) {
        let (start, end) = view.bytes();
        let ranges = self.0[what as usize].entry(view.buffer.clone()).or_default();
        ranges.ends.insert((start, owner), end);
        ranges.longest = ranges.longest.max(end - start);
    }

    pub(crate) fn release(&mut self, what: What, owner: usize, view: &View) {
        let of = &mut self.0[what as usize];
        if let Some(ranges) = of.get_mut(&view.buffer) {
            ranges.ends.remove(&(view.offset, owner));
            if ranges.ends.is_empty() {
                of.remove(&view.buffer); // lets go of the caller's buffer
            }
        }
    }

    /// Two owners whose gradients overlap, if any do.
    pub(crate) fn shared_grads(&self) -> Option<[usize; 2]> {
        self.0[What::Grad as usize].values().find_map(|ranges| {
            let mut before: Option<(u64, usize)> = None;
            ranges.ends.iter().find_map(|(&(start, owner), &end)| {
                let found = before.filter(|(to, _)| *to > start).map(|(_, other)| [other, owner]);
                // Whoever reaches farthest overlaps first.
                before = before.max(Some((end, owner)));
                found
            })
        })
    }
}
