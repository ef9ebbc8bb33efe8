//! This module keeps the bytes that parameters, gradients and copies occupy. It finds overlaps, so that no byte is
//! written twice or by surprise.

use std::collections::{BTreeMap, HashMap};

use super::param::Grad;
use crate::view::View;

/// The ranges of parameters, gradients and copies, by buffer. Each range belongs to a parameter, by its index.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    sets: [HashMap<wgpu::Buffer, Sorted>; 3],
    /// Whether gradients have moved since their set was made.
    stale: bool,
}

/// Ranges of bytes, in the order of their starts. Gradients may overlap each other unless they are written.
#[derive(Debug, Default)]
struct Sorted {
    /// (first byte, owner) → the first byte after.
    ends: BTreeMap<(u64, usize), u64>,
    /// A length that no range exceeds.
    longest: u64,
}

impl Sorted {
    /// Finds an owner whose range overlaps `start..end`.
    fn overlapping(&self, (start, end): (u64, u64)) -> Option<usize> {
        let candidates = (start.saturating_sub(self.longest), 0)..(end, 0);
        self.ends
            .range(candidates)
            .find(|(_, at_end)| **at_end > start)
            .map(|((_, owner), _)| *owner)
    }
}

/// The part of a parameter to which a range belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Param,
    Grad,
    Copy,
}

impl Part {
    const ALL: [Self; 3] = [Self::Param, Self::Grad, Self::Copy];
}

impl Ranges {
    /// Finds a range that `view` would collide with as `part`, and its owner. Gradients collide with each other only
    /// if they are `written`.
    pub(crate) fn against(&self, part: Part, view: &View, written: bool) -> Option<(Part, usize)> {
        let read = |other| part == Part::Grad && other == Part::Grad && !written;
        Part::ALL.into_iter().filter(|other| !read(*other)).find_map(|other| {
            let set = self.sets[other as usize].get(&view.buffer)?;
            Some((other, set.overlapping(view.bytes())?))
        })
    }

    pub(crate) fn claim(&mut self, part: Part, owner: usize, view: &View) {
        let (start, end) = view.bytes();
        let ranges = self.sets[part as usize].entry(view.buffer.clone()).or_default();
        ranges.ends.insert((start, owner), end);
        ranges.longest = ranges.longest.max(end - start);
    }

    pub(crate) fn release(&mut self, part: Part, owner: usize, view: &View) {
        let of = &mut self.sets[part as usize];
        if let Some(ranges) = of.get_mut(&view.buffer) {
            ranges.ends.remove(&(view.offset, owner));
            if ranges.ends.is_empty() {
                of.remove(&view.buffer); // lets go of the caller's buffer
            }
        }
    }

    /// Takes out all ranges of an owner, and counts the owners after it anew.
    pub(crate) fn remove(&mut self, owner: usize) {
        for of in &mut self.sets {
            for ranges in of.values_mut() {
                let kept = ranges.ends.iter().filter(|((_, other), _)| *other != owner);
                let moved = |other: usize| other - usize::from(other > owner);
                ranges.ends =
                    kept.map(|((start, other), end)| ((*start, moved(*other)), *end)).collect();
            }
            of.retain(|_, ranges| !ranges.ends.is_empty());
        }
    }

    /// Whether parameters or copies lie in a buffer. A gradient can collide with them only there.
    pub(crate) fn writes(&self, buffer: &wgpu::Buffer) -> bool {
        [Part::Param, Part::Copy].iter().any(|part| self.sets[*part as usize].contains_key(buffer))
    }

    /// Notes that gradients have moved. Their ranges are invalid until [`Ranges::refresh`].
    pub(crate) fn forget_grads(&mut self) {
        self.stale = true;
        self.sets[Part::Grad as usize].clear(); // lets go of the callers' buffers
    }

    /// Enters the ranges of all gradients anew, if they have moved.
    pub(crate) fn refresh(&mut self, grads: &[Grad]) {
        if std::mem::take(&mut self.stale) {
            for (owner, grad) in grads.iter().enumerate() {
                if let Some(view) = &grad.view {
                    self.claim(Part::Grad, owner, view);
                }
            }
        }
    }
}

/// Finds two of the given ranges that overlap, and returns their owners.
pub(crate) fn overlapping<'a>(
    views: impl Iterator<Item = (usize, &'a View)>,
) -> Option<[usize; 2]> {
    let mut ranges: HashMap<&wgpu::Buffer, Vec<(u64, u64, usize)>> = HashMap::new();
    for (owner, view) in views {
        let (start, end) = view.bytes();
        ranges.entry(&view.buffer).or_default().push((start, end, owner));
    }
    ranges.into_values().find_map(|mut ranges| {
        if !ranges.is_sorted() {
            ranges.sort_unstable();
        }
        // If some earlier range overlaps this one, the one that reaches farthest does.
        let mut before = (0, usize::MAX);
        ranges.into_iter().find_map(|(start, end, owner)| {
            let found = (before.0 > start).then_some([before.1, owner]);
            before = before.max((end, owner));
            found
        })
    })
}
