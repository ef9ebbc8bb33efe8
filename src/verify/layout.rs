//! This module lays out the numbers of a verification, with lengths, offsets and buffers of every kind.

use super::Case;
use super::numbers::Numbers;
use super::spot::{Numbered, Spot};
use crate::error::Error;
use crate::headless::Gpu;
use crate::num::{BlockCode, Format, Master, WORD};
use crate::optimizer::Optimizer;
use crate::view::View;

/// Parameters and gradients in some buffers.
pub(super) struct Layout {
    pub(super) spots: Vec<Spot>,
    /// The buffers, each once.
    buffers: Vec<wgpu::Buffer>,
    /// The formats of parameters and of gradients.
    formats: [Format; 2],
    /// The format of copies, and each buffer of parameters with that of its copies.
    copies: (Option<Format>, Vec<[wgpu::Buffer; 2]>),
    master: Master,
    /// The number of slots of a parameter.
    slots: usize,
}

/// The numbers that an optimizer keeps of a spot.
pub(super) struct Kept {
    slots: Vec<View>,
    /// The code of each slot that is in blocks. Its view has the words of its blocks.
    codes: Vec<Option<BlockCode>>,
    master: Option<View>,
    ema: Option<View>,
}

impl Kept {
    fn views(&self) -> impl Iterator<Item = &View> {
        self.slots.iter().chain(&self.master).chain(&self.ema)
    }
}

/// The contents of the buffers at some moment.
pub(super) struct Snapshot {
    /// The bytes of each buffer.
    buffers: Vec<Vec<u8>>,
    /// The numbers that are kept of each spot, in the order of [`Kept::views`].
    kept: Vec<Vec<Vec<f32>>>,
    /// The scales of each spot's slots, if they are in blocks.
    scales: Vec<Vec<Option<Vec<f32>>>>,
}

/// The bytes in the gaps between views. No kernel computes such numbers.
const GAP: [u8; WORD as usize] = (-7.25e-11_f32).to_le_bytes();

impl Layout {
    fn new(case: &Case) -> Self {
        Self {
            spots: Vec::new(),
            buffers: Vec::new(),
            formats: [case.param, case.grad],
            copies: (case.copy, Vec::new()),
            master: case.master(),
            slots: case.group.rule.slots().len(),
        }
    }

    /// A layout with every kind of place, and few elements at each.
    pub(super) fn small(gpu: &Gpu, case: &Case) -> Result<Self, Error> {
        let mut layout = Self::new(case);
        for len in [1, 2, 3, 4, 5, 255, 1023] {
            layout.own(gpu, len, 0)?;
        }
        layout.own(gpu, 130, 3)?;
        layout.arena(gpu)?;
        layout.shared(gpu)?;
        Ok(layout)
    }

    /// A layout with a view past 65 536 elements that starts off a 16-byte boundary, and with two views side by side
    /// that are so long that several workgroups share a row of their launch's table.
    pub(super) fn long(gpu: &Gpu, case: &Case) -> Result<Self, Error> {
        let mut layout = Self::new(case);
        layout.own(gpu, 65_537, 1)?;
        let [params, grads] = layout.pair(gpu, 16_004)?;
        for range in [3..9003, 9003..16_004] {
            let name = format!("neighbour {}", range.end - range.start);
            let grad = grads.clone().range(range.clone());
            layout.add(gpu, name, params.clone().range(range), grad)?;
        }
        Ok(layout)
    }

    fn buffer(&mut self, gpu: &Gpu, bytes: u64) -> Result<wgpu::Buffer, Error> {
        let buffer = gpu.zeros("wgpu-optim verify", bytes.div_ceil(WORD))?;
        self.buffers.push(buffer.clone());
        Ok(buffer)
    }

    /// Makes a buffer of parameters and one of gradients with the given number of elements.
    fn pair(&mut self, gpu: &Gpu, len: u64) -> Result<[View; 2], Error> {
        let [param, grad] = self.formats;
        let params = self.buffer(gpu, len * param.bytes())?;
        let grads = self.buffer(gpu, len * grad.bytes())?;
        Ok([View::whole(&params, param), View::whole(&grads, grad)])
    }

    fn add(&mut self, gpu: &Gpu, name: String, param: View, grad: View) -> Result<(), Error> {
        let group = self.spots.len() % 2;
        let copy = self.copy(gpu, &param)?;
        self.spots.push(Spot { name, group, param, grad, copy });
        Ok(())
    }

    /// The view of a parameter's copy, if there is one. It lies some elements further than the parameter, in phase or
    /// not.
    fn copy(&mut self, gpu: &Gpu, param: &View) -> Result<Option<View>, Error> {
        let Some(format) = self.copies.0 else { return Ok(None) };
        let known = self.copies.1.iter().find(|[of, _]| *of == param.buffer);
        let buffer = match known {
            Some([_, buffer]) => buffer.clone(),
            None => {
                let elements = param.buffer.size() / WORD + 8;
                let buffer = self.buffer(gpu, elements * format.bytes())?;
                self.copies.1.push([param.buffer.clone(), buffer.clone()]);
                buffer
            }
        };
        let further = if self.copies.1.len() % 2 == 1 { 4 } else { 5 };
        let from = param.at() + further;
        Ok(Some(View::whole(&buffer, format).range(from..from + param.len)))
    }

    /// Adds a parameter in a buffer of its own, `offset` elements from the start.
    fn own(&mut self, gpu: &Gpu, len: u64, offset: u64) -> Result<(), Error> {
        let [param, grad] = self.pair(gpu, offset + len)?;
        let range = offset..offset + len;
        self.add(gpu, format!("own {len}"), param.range(range.clone()), grad.range(range))
    }

    /// Adds views of one buffer with gaps between them. The gradients lie in another buffer, in phase with the
    /// parameters or not. Neighbours of 16 bits share words.
    fn arena(&mut self, gpu: &Gpu) -> Result<(), Error> {
        let [params, grads] = self.pair(gpu, 8192)?;
        let (mut at, mut grad_at) = (1, 5);
        for (i, len) in [1, 2, 3, 4, 5, 7, 64, 255, 1023, 1024, 2500].into_iter().enumerate() {
            grad_at += if i % 3 == 2 { 1 } else { (at + 8 - grad_at % 4) % 4 };
            let param = params.clone().range(at..at + len);
            let grad = grads.clone().range(grad_at..grad_at + len);
            self.add(gpu, format!("arena {len}"), param, grad)?;
            at += len + i as u64 % 5;
            grad_at += len + 2;
        }
        Ok(())
    }

    /// Adds parameters and gradients in one buffer, 256 bytes apart, because bindings of two formats must be.
    fn shared(&mut self, gpu: &Gpu) -> Result<(), Error> {
        let buffer = self.buffer(gpu, 1502 * WORD)?;
        for (at, grad_at, len) in [(3, 323, 300), (643, 770, 77), (1024, 1280, 220)] {
            let [param, grad] = [(at, 0), (grad_at, 1)].map(|(at, role): (u64, usize)| {
                let format = self.formats[role];
                // A number smaller than a word begins in the middle of a word.
                let offset = at * WORD + WORD % (WORD / 2 + format.bytes());
                View { offset, len, ..View::whole(&buffer, format) }
            });
            self.add(gpu, format!("shared {len}"), param, grad)?;
        }
        Ok(())
    }

    /// The views of the numbers that an optimizer keeps of every spot.
    pub(super) fn kept(&self, optimizer: &mut Optimizer, case: &Case) -> Result<Vec<Kept>, Error> {
        optimizer.prepare()?;
        let of = |Spot { name, .. }: &Spot| {
            let id = optimizer.param(name)?;
            let of = |slot: crate::rule::Slot| match optimizer.state_blocks(id, slot.name) {
                Ok((view, code)) => Ok((view, Some(code))),
                Err(_) => Ok((optimizer.state(id, slot.name)?, None)),
            };
            let slots = case.group.rule.slots().into_iter().map(of);
            let slots: Vec<(View, Option<BlockCode>)> = slots.collect::<Result<_, Error>>()?;
            let (slots, codes) = slots.into_iter().unzip();
            Ok(Kept { slots, codes, master: optimizer.master(id)?, ema: optimizer.ema(id)? })
        };
        self.spots.iter().map(of).collect()
    }

    /// Writes initial parameters, and the bytes of gaps everywhere else.
    pub(super) fn fill_params(&self, gpu: &Gpu, numbers: &mut Numbers) {
        let gap = |buffer: &wgpu::Buffer| GAP.repeat((buffer.size() / WORD) as usize);
        let mut buffers: Vec<Vec<u8>> = self.buffers.iter().map(gap).collect();
        for Spot { param, .. } in &self.spots {
            let values: Vec<f32> = (0..param.len).map(|_| numbers.param()).collect();
            self.put(&mut buffers, param, &values);
        }
        self.write(gpu, &buffers, |_| true);
    }

    /// Writes new gradients for step `t` into the buffers and into `now`. One of them is Inf if the step is `bad`.
    pub(super) fn fill_grads(
        &self,
        gpu: &Gpu,
        numbers: &mut Numbers,
        t: u64,
        bad: bool,
        now: &mut Snapshot,
    ) {
        for (i, Spot { grad, .. }) in self.spots.iter().enumerate() {
            let mut values: Vec<f32> = (0..grad.len as usize).map(|i| numbers.grad(i, t)).collect();
            if bad && i + 1 == self.spots.len() {
                values[grad.len as usize / 2] = f32::INFINITY;
            }
            self.put(&mut now.buffers, grad, &values);
        }
        let has_grads = |buffer: &_| self.spots.iter().any(|spot| spot.grad.buffer == *buffer);
        self.write(gpu, &now.buffers, has_grads);
    }

    fn put(&self, buffers: &mut [Vec<u8>], view: &View, values: &[f32]) {
        if let Some(at) = self.index(view) {
            buffers[at][range(view)].copy_from_slice(&view.format.encode_all(values));
        }
    }

    fn write(&self, gpu: &Gpu, bytes: &[Vec<u8>], which: impl Fn(&wgpu::Buffer) -> bool) {
        for (buffer, bytes) in self.buffers.iter().zip(bytes).filter(|(buffer, _)| which(buffer)) {
            gpu.queue.write_buffer(buffer, 0, bytes);
        }
    }

    /// Reads all numbers back.
    pub(super) fn snapshot(&self, gpu: &Gpu, kept: &[Kept]) -> Result<Snapshot, Error> {
        let mut views: Vec<View> = self.buffers.iter().map(View::f32).collect();
        views.extend(kept.iter().flat_map(Kept::views).cloned());
        let mut read = gpu.download_bytes(&views)?.into_iter();
        let buffers = read.by_ref().take(self.buffers.len()).collect();
        let (mut all, mut all_scales) = (Vec::new(), Vec::new());
        for (kept, spot) in kept.iter().zip(&self.spots) {
            let (mut numbers, mut scales) = (Vec::new(), Vec::new());
            let codes = kept.codes.iter().copied().chain(std::iter::repeat(None));
            for ((view, bytes), code) in kept.views().zip(read.by_ref()).zip(codes) {
                let unpacked =
                    code.map(|code| (code, code.unpack(&bytes, spot.param.len as usize)));
                let (decoded, own) = match unpacked {
                    Some((code, (codes, scales))) => {
                        (code.decode_all(&codes, &scales), Some(scales))
                    }
                    None => (view.format.decode_all(&bytes), None),
                };
                numbers.push(decoded);
                scales.push(own);
            }
            all.push(numbers);
            all_scales.push(scales);
        }
        Ok(Snapshot { buffers, kept: all, scales: all_scales })
    }

    fn index(&self, view: &View) -> Option<usize> {
        self.buffers.iter().position(|buffer| *buffer == view.buffer)
    }

    /// The numbers of spot `i`.
    pub(super) fn of(&self, i: usize, at: &Snapshot) -> Numbered {
        let part = |view: &View| {
            let bytes = self.index(view).map_or(&[][..], |index| &at.buffers[index][range(view)]);
            view.format.decode_all(bytes)
        };
        let Spot { param, grad, copy, .. } = &self.spots[i];
        let mut kept = at.kept[i].iter().cloned();
        let slots = kept.by_ref().take(self.slots).collect();
        let stored = part(param);
        let weight = match self.master {
            Master::None => stored.clone(),
            master => {
                let pairs = stored.iter().zip(kept.next().unwrap_or_default());
                pairs.map(|(stored, rest)| master.whole(*stored, rest)).collect()
            }
        };
        let copy = copy.as_ref().map(part);
        let scales = at.scales[i].clone();
        let ema = kept.next();
        Numbered { grad: part(grad), param: stored, weight, slots, scales, ema, copy }
    }

    /// Counts the bytes that a step has changed by mistake: bytes outside every parameter and copy, and bytes of
    /// gradients. If gradients are `cleared`, counts their bytes that are not zero.
    pub(super) fn strays(&self, before: &Snapshot, after: &Snapshot, cleared: bool) -> u64 {
        let mut strays = 0;
        for (i, buffer) in self.buffers.iter().enumerate() {
            let mut outside = vec![true; buffer.size() as usize];
            let written =
                self.spots.iter().flat_map(|spot| [Some(&spot.param), spot.copy.as_ref()]);
            let cleared = self.spots.iter().filter(|_| cleared).map(|spot| &spot.grad);
            let own = |view: &&View| view.buffer == *buffer;
            for view in cleared.clone().filter(own) {
                let left = &after.buffers[i][range(view)];
                strays += left.iter().filter(|byte| **byte != 0).count() as u64;
            }
            for view in written.flatten().chain(cleared).filter(own) {
                outside[range(view)].fill(false);
            }
            let pairs = before.buffers[i].iter().zip(&after.buffers[i]).zip(outside);
            strays += pairs.filter(|((x, y), outside)| *outside && x != y).count() as u64;
        }
        strays
    }
}

/// The bytes of a view in its buffer.
fn range(view: &View) -> std::ops::Range<usize> {
    let (start, end) = view.bytes();
    start as usize..end as usize
}
