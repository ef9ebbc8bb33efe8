//! The state's buffers, and the launches over parameters, gradients and state.

use std::collections::HashMap;

use super::ledger::Ledger;
use super::{Optimizer, Param, Source, check};
use crate::error::Error;
use crate::group::Group;
use crate::kernel::{Body, Files, Grads, Kind, WINDOW, Weight, now};
use crate::num::{Format, Master, WORD};
use crate::plan::{self, Piece, Role, Roles};
use crate::record::{Bound, Buffers, Launches, recordables};
use crate::rule::slot_names;
use crate::view::View;

/// The state of parameters that share a buffer, the names of their slots, and the step they were
/// added before: a buffer for each slot, with the same layout.
#[derive(Debug)]
pub(super) struct Page {
    slots: Vec<wgpu::Buffer>,
    format: Format,
    /// What completes the parameters, an element of it beside each of a slot's.
    lower: Option<wgpu::Buffer>,
    /// Averages of the parameters, in f32, likewise.
    average: Option<wgpu::Buffer>,
    /// Sums of the gradients, in f32, likewise, once gradients were added up.
    pub(super) sums: Option<wgpu::Buffer>,
    /// How many elements each of these has.
    elements: u64,
}

/// What a page holds of each parameter: slots, their format, what completes the parameter, and whether
/// its average.
type Kept = (Vec<&'static str>, Format, Master, bool);

/// A parameter's place in a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) page: usize,
    /// In elements.
    pub(super) at: u64,
}

impl Page {
    /// Whether `buffer` is one of these.
    pub(super) fn holds(&self, buffer: &wgpu::Buffer) -> bool {
        let beside = [&self.lower, &self.average, &self.sums];
        self.slots.contains(buffer) || beside.into_iter().flatten().any(|own| own == buffer)
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
        self.sums.forget();
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
        let slots = slot_names(rule);
        let at = slots.iter().position(|s| *s == slot);
        match (at, &param.state) {
            (Some(at), Some(place)) => Ok(self.pages[place.page].view(at, place, param.param.len)),
            _ => Err(Error::UnknownSlot {
                name: name.to_owned(),
                rule: rule.name(),
                slot: slot.to_owned(),
                known: check::quoted(&slots),
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

    /// Where the average of a parameter is ([`Group::ema`]): as many elements as the parameter, in f32, zero
    /// before its first step. `None` if there is none. Usages as [`Optimizer::state`]'s.
    ///
    /// # Errors
    /// If there is no such parameter, or the device has no room for its state.
    pub fn ema(&mut self, name: &str) -> Result<Option<View>, Error> {
        let Some(&index) = self.names.get(name) else {
            return Err(self.unknown_param(&format!("`{name}`")));
        };
        self.prepare()?;
        let Param { param, state, .. } = &self.params[index];
        let kept = state.and_then(|place| {
            let whole = View::f32(self.pages[place.page].average.as_ref()?);
            Some(whole.range(place.at..place.at + param.len))
        });
        Ok(kept)
    }

    /// Gives state to the parameters that have none yet.
    pub(super) fn allocate(&mut self) {
        let mut together = Buckets::new();
        for (i, param) in self.params.iter().enumerate().skip(self.with_state) {
            let Group { rule, state_format, ema, .. } = self.group_of(param);
            let kept = (slot_names(&**rule), *state_format, param.master, ema.is_some());
            let key = (param.param.buffer.clone(), kept.clone());
            together.entry(key, || (kept, Vec::new())).1.push(i);
        }
        self.with_state = self.params.len();
        let most = self.device.limits().max_buffer_size;
        for (kept, mut members) in together.buckets {
            // Sums and averages take 4 bytes, as most else does.
            let largest = Format::F32.bytes();
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
                    self.add_page(kept.clone(), end);
                    start = phase;
                }
                self.params[i].state = Some(Place { page: self.pages.len(), at: start });
                end = start + len;
            }
            self.add_page(kept, end);
        }
    }

    /// A page of `elements` a slot.
    fn add_page(&mut self, (slots, format, master, averaged): Kept, elements: u64) {
        let buffer = |what, format| self.state_buffer(what, format, elements);
        let slots = slots.iter().map(|slot| buffer(slot, format)).collect();
        let lower = master.rest().map(|format| buffer("master", format));
        let average = averaged.then(|| buffer("ema", Format::F32));
        self.pages.push(Page { slots, format, lower, average, sums: None, elements });
        if self.sums.used {
            self.add_sums(self.pages.len() - 1);
        }
    }

    /// Room for the sums of a page's gradients.
    pub(super) fn add_sums(&mut self, page: usize) {
        if self.pages[page].sums.is_none() {
            let elements = self.pages[page].elements;
            self.pages[page].sums = Some(self.state_buffer("sums", Format::F32, elements));
        }
    }

    fn state_buffer(&self, what: &str, format: Format, elements: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(&format!("wgpu-optim {what}")),
            size: (elements * format.bytes()).next_multiple_of(WORD),
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// The launches of a step over all parameters.
    pub(super) fn plan(&mut self) -> Launches {
        let body = match self.control.clip_value {
            Some(_) if self.body == Body::Update => Body::Clip,
            _ => self.body,
        };
        let mut together = Buckets::new();
        for param in &self.params {
            let Some(place) = param.state else { continue };
            let (view, grad) = (&param.param, self.gradient(param));
            let copy = param.copy.as_ref().map_or(view.at(), View::at);
            let at = Roles::of(view.at(), grad.at(), place.at).with(Role::Copy, copy);
            let piece = Piece { at, len: view.len, block: param.block as u32 };
            let copied = param.copy.as_ref().map(|copy| copy.buffer.clone());
            let buffers = (view.buffer.clone(), grad.buffer.clone(), copied, place.page);
            let weight = self.weight(param);
            let files = (weight, view.format, grad.format);
            // A table sees the scalars of one window of groups, and a launch has its copies at one distance.
            let window = param.block as u32 / WINDOW;
            let far = copy.wrapping_sub(view.at());
            let key = (Kind::of(&*self.group_of(param).rule), files, buffers, window, far);
            together.entry(key, || (param, grad.clone(), Vec::new())).2.push(piece);
        }
        // One pipeline's launches follow each other.
        let mut launches = Buckets::new();
        for (param, grad, pieces) in together.buckets {
            let Group { rule, state_format, ema, .. } = self.group_of(param).clone();
            let formats = [param.param.format, grad.format, state_format];
            let written = [Some(&param.param), param.copy.as_ref()];
            let grads = match self.control.zero_grad && self.source == Source::Grads {
                true => Grads::Cleared,
                false if written.into_iter().flatten().any(|view| view.buffer == grad.buffer) => {
                    Grads::Shared
                }
                false => Grads::Own,
            };
            let [of_param, of_grad, of_state] = formats.map(Format::bytes);
            let mut sizes = Roles::of(of_param, of_grad, of_state);
            for (role, format) in [
                (Role::Lower, param.master.rest()),
                (Role::Average, ema.map(|_| Format::F32)),
                (Role::Copy, param.copy.as_ref().map(|copy| copy.format)),
            ] {
                sizes = sizes.with(role, format.map_or(sizes[role], Format::bytes));
            }
            let (weight, average, body) = (self.weight(param), ema.is_some(), body);
            for launch in plan::launches(pieces, sizes, self.bounds) {
                let (width, address) = (launch.width, launch.work.address());
                let files = Files { width, address, grads, formats, weight, average, body };
                let pipeline = self.kernels.get(&*rule, files);
                let key = pipeline.pipeline.clone();
                let of = (param, grad.buffer.clone());
                launches.entry(key, || (pipeline, Vec::new())).1.push((of, launch));
            }
        }
        let mut bound = Vec::new();
        for (pipeline, launches) in &launches.buckets {
            bound.extend(launches.iter().map(|((param, grad), launch)| {
                let buffers = self.buffers(param, grad);
                Bound { launch, pipeline, buffers }
            }));
        }
        recordables(&self.device, &bound)
    }

    /// What a step makes of a parameter.
    fn weight(&self, param: &Param) -> Weight {
        let at_random = self.group_of(param).stochastic_rounding.is_some();
        match (param.master, &param.copy) {
            (Master::Remainder, _) => Weight::Remainder,
            (Master::F32, _) => Weight::Master,
            (Master::None, Some(copy)) => Weight::Copy(copy.format),
            (Master::None, None) if at_random && param.param.format != Format::F32 => {
                Weight::Stochastic
            }
            (Master::None, None) => Weight::Plain,
        }
    }

    /// The buffers of a launch over a parameter and others like it.
    fn buffers<'a>(&'a self, param: &'a Param, grad: &'a wgpu::Buffer) -> Buffers<'a> {
        let page = param.state.map(|place| &self.pages[place.page]);
        let roles = Roles::default()
            .with(Role::Param, Some(&param.param.buffer))
            .with(Role::Grad, Some(grad))
            .with(Role::Lower, page.and_then(|page| page.lower.as_ref()))
            .with(Role::Average, page.and_then(|page| page.average.as_ref()))
            .with(Role::Copy, param.copy.as_ref().map(|copy| &copy.buffer));
        Buffers { roles, slots: page.map_or(&[], |page| &page.slots) }
    }
}

/// The first element from `end` on that has this place in its quadruple.
fn next_in_phase(end: u64, phase: u64) -> u64 {
    end + (phase + 4 - end % 4) % 4
}
