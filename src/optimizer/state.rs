//! The state's buffers, and the launches over parameters, gradients and state.

use std::collections::HashMap;

use super::ledger::Ledger;
use super::{Optimizer, Param, check};
use crate::error::Error;
use crate::format::Format;
use crate::group::Group;
use crate::kernel::{Body, Files, Grads, Kind, Pipeline, WINDOW, now};
use crate::master::Master;
use crate::plan::{self, Launch, Piece};
use crate::record::{Bound, Launches, recordables};
use crate::view::{View, WORD};

/// The state of parameters that share a buffer, the names of their slots, and the step they were
/// added before: a buffer for each slot, with the same layout.
#[derive(Debug)]
pub(super) struct Page {
    slots: Vec<wgpu::Buffer>,
    format: Format,
    /// What completes the parameters, an element of it beside each of a slot's.
    lower: Option<wgpu::Buffer>,
}

/// What a page holds of each parameter: slots, their format, and what completes the parameter.
type Kept<'a> = (&'a [&'static str], Format, Master);

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
        self.slots.contains(buffer) || self.lower.as_ref() == Some(buffer)
    }

    /// What `slot` holds of a parameter of `len` elements.
    pub(super) fn view(&self, slot: usize, place: &Place, len: u64) -> View {
        let whole = View::whole(&self.slots[slot], self.format);
        whole.range(place.at..place.at + len)
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
    /// Allocates the state of parameters added since the last step and compiles what they need, so
    /// that the next step does neither. [`Optimizer::step`] does it if need be.
    ///
    /// # Errors
    /// If the device has no room for the state; then nothing has changed, and a step would meet the
    /// device's own error handling. On the web such errors arrive later, there.
    pub fn prepare(&mut self) -> Result<(), Error> {
        let (with_state, pages) = (self.with_state, self.pages.len());
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        self.make_ready();
        let Some(Some(error)) = now(scope.pop()) else { return Ok(()) };
        self.pages.truncate(pages);
        self.params[with_state..].iter_mut().for_each(|param| param.state = None);
        self.with_state = with_state;
        self.launches = None;
        if let Some(ledger) = &mut self.ledger {
            ledger.forget();
        }
        Err(Error::OutOfMemory { what: "the state".to_owned(), message: error.to_string() })
    }

    pub(super) fn make_ready(&mut self) {
        if self.launches.is_none() {
            self.allocate();
            self.launches = Some(self.plan());
            if let Some(ledger) = &mut self.ledger {
                ledger.forget();
            }
        }
        if let Some(mut ledger) = self.ledger.take() {
            self.complete(&mut ledger);
            self.ledger = Some(ledger);
        }
    }

    /// How many dispatches a step takes: for looking into a slow one.
    pub fn dispatches(&mut self) -> usize {
        self.make_ready();
        let updates = self.launches.as_ref().map_or(0, Launches::len);
        let deciding = self.ledger.as_ref().filter(|_| updates > 0);
        updates + deciding.map_or(0, Ledger::dispatches)
    }

    /// Where a parameter's state is, by PyTorch's name for it: a view of as many elements as the
    /// parameter, in a buffer of the library's with usages `STORAGE`, `COPY_SRC` and `COPY_DST`.
    /// It stays valid as long as the optimizer.
    ///
    /// # Errors
    /// If there is no such parameter, its rule keeps no such slot, or the device has no room for it.
    pub fn state(&mut self, name: &str, slot: &str) -> Result<View, Error> {
        let Some(&index) = self.names.get(name) else {
            return Err(self.unknown_param(&format!("`{name}`")));
        };
        self.prepare()?;
        let param = &self.params[index];
        let rule = &*self.group_of(param).rule;
        let at = rule.slots().iter().position(|s| *s == slot);
        match (at, &param.state) {
            (Some(at), Some(place)) => Ok(self.pages[place.page].view(at, place, param.param.len)),
            _ => Err(Error::UnknownSlot {
                name: name.to_owned(),
                rule: rule.name(),
                slot: slot.to_owned(),
                known: check::quoted(rule.slots()),
            }),
        }
    }

    /// Where that is kept which a parameter's 16 bits leave of its f32 ([`Group::master`]), for a checkpoint:
    /// as many elements as the parameter, 16 bits each for [`Master::Remainder`], 32 for [`Master::F32`],
    /// which [`Master::whole`] puts together with the parameter's. `None` if it has no master. Usages as
    /// [`Optimizer::state`]'s.
    ///
    /// # Errors
    /// If there is no such parameter, or the device has no room for its state.
    pub fn master(&mut self, name: &str) -> Result<Option<View>, Error> {
        let Some(&index) = self.names.get(name) else {
            return Err(self.unknown_param(&format!("`{name}`")));
        };
        self.prepare()?;
        let Param { param, master, state, .. } = &self.params[index];
        let kept = state.and_then(|place| {
            let lower = self.pages[place.page].lower.as_ref()?;
            let whole = View::whole(lower, master.rest()?);
            Some(whole.range(place.at..place.at + param.len))
        });
        Ok(kept)
    }

    /// Gives state to the parameters that have none yet.
    pub(super) fn allocate(&mut self) {
        let mut together = Buckets::new();
        for (i, param) in self.params.iter().enumerate().skip(self.with_state) {
            let Group { rule, state_format, .. } = self.group_of(param);
            let kept = (rule.slots(), *state_format, param.master);
            let key = (param.param.buffer.clone(), kept);
            together.entry(key, || (kept, Vec::new())).1.push(i);
        }
        self.with_state = self.params.len();
        let most = self.device.limits().max_buffer_size;
        for (kept, mut members) in together.buckets {
            let (_, format, master) = kept;
            let largest = format.bytes().max(master.rest().map_or(0, Format::bytes));
            // In the parameters' order and with at most their gaps: no longer than their buffer, unless
            // the state takes more bytes than they do.
            members.sort_by_key(|&i| self.params[i].param.offset);
            let mut end = 0;
            for i in members {
                let View { len, .. } = self.params[i].param;
                // At the parameter's phase of a quadruple, so that both can be read in quadruples.
                let phase = self.params[i].param.at() % 4;
                let mut start = next_in_phase(end, phase);
                if (start + len) * largest > most {
                    self.add_page(kept, end);
                    start = phase;
                }
                self.params[i].state = Some(Place { page: self.pages.len(), at: start });
                end = start + len;
            }
            self.add_page(kept, end);
        }
    }

    /// A page of `elements` a slot.
    fn add_page(&mut self, (slots, format, master): Kept<'_>, elements: u64) {
        let buffer = |what, format: Format| {
            self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(&format!("wgpu-optim {what}")),
                size: (elements * format.bytes()).next_multiple_of(WORD),
                usage: wgpu::BufferUsages::STORAGE
                    | wgpu::BufferUsages::COPY_SRC
                    | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let slots = slots.iter().map(|slot| buffer(*slot, format)).collect();
        let lower = master.rest().map(|format| buffer("master", format));
        let page = Page { slots, format, lower };
        self.pages.push(page);
    }

    /// The launches of a step over all parameters.
    pub(super) fn plan(&mut self) -> Launches {
        let body = match self.control.clip_value {
            Some(_) if self.body == Body::Update => Body::Clip,
            _ => self.body,
        };
        let mut together = Buckets::new();
        for (i, param) in self.params.iter().enumerate() {
            let Some(place) = param.state else { continue };
            let Param { param: view, grad, .. } = param;
            let at = [view.at(), grad.at(), place.at, place.at];
            let piece = Piece { at, len: view.len, block: param.block as u32 };
            let buffers = (view.buffer.clone(), grad.buffer.clone(), place.page);
            let formats = [view.format, grad.format, self.pages[place.page].format];
            let Group { rule, stochastic_rounding, .. } = self.group_of(param);
            // A table sees the scalars of one window of groups.
            let window = param.block as u32 / WINDOW;
            let key = (Kind::of(&**rule), stochastic_rounding.is_some(), formats, buffers, window);
            together.entry(key, || (i, Vec::new())).1.push(piece);
        }
        // One pipeline's launches follow each other.
        let mut launches = Buckets::new();
        for (of, pieces) in together.buckets {
            let param = &self.params[of];
            let Group { rule, state_format, stochastic_rounding, .. } =
                self.group_of(param).clone();
            let formats = [param.param.format, param.grad.format, state_format];
            let grads = match param.param.buffer == param.grad.buffer {
                true => Grads::Shared,
                false => Grads::Own,
            };
            let [of_param, of_grad, of_state] = formats.map(Format::bytes);
            let master = param.master;
            let stochastic = stochastic_rounding.is_some()
                && param.param.format != Format::F32
                && master == Master::None;
            let of_lower = master.rest().map_or(of_state, Format::bytes);
            let sizes = [of_param, of_grad, of_state, of_lower];
            for launch in plan::launches(pieces, sizes, self.bounds) {
                let (width, address) = (launch.width, launch.work.address());
                let files = Files { width, address, grads, formats, master, stochastic, body };
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
        let page = state.map(|place| &self.pages[place.page]);
        let slots = page.map_or(&[][..], |page| &page.slots);
        let lower = page.and_then(|page| page.lower.as_ref());
        Bound { launch, pipeline, param: &param.buffer, grad: &grad.buffer, slots, lower }
    }
}

/// The first element from `end` on that has this place in its quadruple.
fn next_in_phase(end: u64, phase: u64) -> u64 {
    end + (phase + 4 - end % 4) % 4
}
