//! The state's buffers, and the launches over parameters, gradients and state.

use std::collections::HashMap;

use super::{Optimizer, Param};
use crate::kernel::{Body, Files, Grads, Kind, Pipeline};
use crate::plan::{self, Launch, Piece};
use crate::record::{Bound, Recordable, recordables};
use crate::view::{ELEMENT, View};

/// The state of parameters that share a buffer, the names of their slots, and the step they were
/// added before: a buffer for each slot, with the same layout.
#[derive(Debug)]
pub(super) struct Page {
    slots: Vec<wgpu::Buffer>,
}

/// A parameter's place in a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) page: usize,
    /// In elements.
    at: u64,
}

impl Page {
    /// Whether `buffer` is one of these.
    pub(super) fn holds(&self, buffer: &wgpu::Buffer) -> bool {
        self.slots.contains(buffer)
    }

    /// What `slot` holds of a parameter of `len` elements.
    pub(super) fn view(&self, slot: usize, place: &Place, len: u64) -> View {
        View::f32_at(&self.slots[slot], place.at * ELEMENT, len)
    }
}

/// Things gathered by a key, in order of the first of each.
pub(super) struct Buckets<K, T> {
    index: HashMap<K, usize>,
    buckets: Vec<T>,
}

impl<K: std::hash::Hash + Eq, T> Buckets<K, T> {
    pub(super) fn new() -> Self {
        Self { index: HashMap::new(), buckets: Vec::new() }
    }

    pub(super) fn entry(&mut self, key: K, new: impl FnOnce() -> T) -> &mut T {
        let next = self.buckets.len();
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.buckets.push(new());
        }
        &mut self.buckets[at]
    }

    pub(super) fn into_buckets(self) -> Vec<T> {
        self.buckets
    }
}

impl Optimizer {
    /// Gives state to the parameters that have none yet.
    pub(super) fn allocate(&mut self) {
        let mut together = Buckets::new();
        for (i, param) in self.params.iter().enumerate().skip(self.with_state) {
            let key = (param.param.buffer.clone(), self.rule_of(param).slots());
            together.entry(key, Vec::new).push(i);
        }
        self.with_state = self.params.len();
        for mut members in together.buckets {
            // In the parameters' order and with at most their gaps: no longer than their buffer.
            members.sort_by_key(|&i| self.params[i].param.offset);
            let page = self.pages.len();
            let mut end = 0;
            for &i in &members {
                let View { offset, len, .. } = self.params[i].param;
                // At the parameter's phase of 16 bytes, so that both can be read in quadruples.
                let start = next_in_phase(end, offset / ELEMENT % 4);
                self.params[i].state = Some(Place { page, at: start });
                end = start + len;
            }
            self.add_page(&members, end);
        }
    }

    /// The page that `members` have been given places in, of `elements` a slot.
    fn add_page(&mut self, members: &[usize], elements: u64) {
        let Some(&any) = members.first() else { return };
        let slots = self.rule_of(&self.params[any]).slots();
        let slots = slots.iter().map(|slot| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(&format!("wgpu-optim {slot}")),
                size: elements * ELEMENT,
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        });
        let page = Page { slots: slots.collect() };
        self.pages.push(page);
    }

    /// The launches of a step over all parameters.
    pub(super) fn plan(&mut self) -> Vec<Recordable> {
        let body = match self.control.clip_value {
            Some(_) if self.body == Body::Update => Body::Clip,
            _ => self.body,
        };
        let mut together = Buckets::new();
        for (i, param) in self.params.iter().enumerate() {
            let Some(place) = param.state else { continue };
            let at = [param.param.offset / ELEMENT, param.grad.offset / ELEMENT, place.at];
            let piece = Piece { at, len: param.param.len, block: param.block as u32 };
            let buffers = (param.param.buffer.clone(), param.grad.buffer.clone(), place.page);
            let key = (Kind::of(self.rule_of(param)), buffers);
            together.entry(key, || (i, Vec::new())).1.push(piece);
        }
        // One pipeline's launches follow each other.
        let mut launches = Buckets::new();
        for (of, pieces) in together.buckets {
            let param = &self.params[of];
            let rule = self.groups[self.blocks[param.block].group].group.rule.clone();
            let grads = match param.param.buffer == param.grad.buffer {
                true => Grads::Shared,
                false => Grads::Own,
            };
            for launch in plan::launches(pieces, self.bounds) {
                let (width, address) = (launch.width, launch.work.address());
                let files = Files { width, address, grads, body };
                let pipeline = self.kernels.get(&*rule, files);
                let key = pipeline.pipeline.clone();
                launches.entry(key, || (pipeline, Vec::new())).1.push((of, launch));
            }
        }
        let mut bound = Vec::new();
        for (pipeline, launches) in &launches.buckets {
            bound.extend(launches.iter().map(|(of, launch)| self.bind(pipeline, *of, launch)));
        }
        recordables(&self.device, &bound)
    }

    /// `launch` over the buffers of parameter `of`.
    fn bind<'a>(&'a self, pipeline: &'a Pipeline, of: usize, launch: &'a Launch) -> Bound<'a> {
        let Param { param, grad, state, .. } = &self.params[of];
        let slots = state.map_or(&[][..], |place| &self.pages[place.page].slots);
        Bound { launch, pipeline, param: &param.buffer, grad: &grad.buffer, slots }
    }
}

/// The first element from `end` on that has this place in its quadruple.
fn next_in_phase(end: u64, phase: u64) -> u64 {
    end + (phase + 4 - end % 4) % 4
}
