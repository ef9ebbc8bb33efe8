//! Where the numbers of a verification lie: lengths, offsets and buffers of every kind.

use super::numbers::Numbers;
use super::{Case, Numbered};
use crate::error::Error;
use crate::format::Format;
use crate::headless::Gpu;
use crate::optimizer::Optimizer;
use crate::view::{View, WORD};

/// A parameter and its gradient somewhere.
pub(super) struct Spot {
    pub(super) name: String,
    /// Which of the two groups.
    pub(super) group: usize,
    pub(super) param: View,
    pub(super) grad: View,
}

/// Parameters and gradients in some buffers.
pub(super) struct Layout {
    pub(super) spots: Vec<Spot>,
    /// Every buffer once.
    buffers: Vec<wgpu::Buffer>,
    /// Of parameters and of gradients.
    formats: [Format; 2],
}

/// What the buffers held at some moment.
pub(super) struct Snapshot {
    /// The bytes of each buffer.
    buffers: Vec<Vec<u8>>,
    /// The slots of each spot.
    state: Vec<Vec<Vec<f32>>>,
}

/// Bytes in the gaps between views: any that nothing computes.
const GAP: [u8; WORD as usize] = (-7.25e-11_f32).to_le_bytes();

impl Layout {
    fn new(case: &Case) -> Self {
        Self { spots: Vec::new(), buffers: Vec::new(), formats: [case.param, case.grad] }
    }

    /// Every kind of place, with few elements each.
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

    /// A view past 65 536 elements that starts off a 16-byte boundary; and two views side by side, long
    /// enough for several workgroups to share a row of their launch's table.
    pub(super) fn long(gpu: &Gpu, case: &Case) -> Result<Self, Error> {
        let mut layout = Self::new(case);
        layout.own(gpu, 65_537, 1)?;
        let [params, grads] = layout.pair(gpu, 16_004)?;
        for range in [3..9003, 9003..16_004] {
            let name = format!("neighbour {}", range.end - range.start);
            layout.add(name, params.clone().range(range.clone()), grads.clone().range(range));
        }
        Ok(layout)
    }

    fn buffer(&mut self, gpu: &Gpu, bytes: u64) -> Result<wgpu::Buffer, Error> {
        let buffer = gpu.zeros("wgpu-optim verify", bytes.div_ceil(WORD))?;
        self.buffers.push(buffer.clone());
        Ok(buffer)
    }

    /// Buffers for as many parameters and for as many gradients.
    fn pair(&mut self, gpu: &Gpu, len: u64) -> Result<[View; 2], Error> {
        let [param, grad] = self.formats;
        let params = self.buffer(gpu, len * param.bytes())?;
        let grads = self.buffer(gpu, len * grad.bytes())?;
        Ok([View::whole(&params, param), View::whole(&grads, grad)])
    }

    fn add(&mut self, name: String, param: View, grad: View) {
        let group = self.spots.len() % 2;
        self.spots.push(Spot { name, group, param, grad });
    }

    /// A parameter in a buffer of its own, `offset` elements in.
    fn own(&mut self, gpu: &Gpu, len: u64, offset: u64) -> Result<(), Error> {
        let [param, grad] = self.pair(gpu, offset + len)?;
        let range = offset..offset + len;
        self.add(format!("own {len}"), param.range(range.clone()), grad.range(range));
        Ok(())
    }

    /// Views of one buffer with gaps between them; gradients in another buffer, at the parameters'
    /// phase of a quadruple or not. Neighbours share words of two.
    fn arena(&mut self, gpu: &Gpu) -> Result<(), Error> {
        let [params, grads] = self.pair(gpu, 8192)?;
        let (mut at, mut grad_at) = (1, 5);
        for (i, len) in [1, 2, 3, 4, 5, 7, 64, 255, 1023, 1024, 2500].into_iter().enumerate() {
            grad_at += if i % 3 == 2 { 1 } else { (at + 8 - grad_at % 4) % 4 };
            let param = params.clone().range(at..at + len);
            let grad = grads.clone().range(grad_at..grad_at + len);
            self.add(format!("arena {len}"), param, grad);
            at += len + i as u64 % 5;
            grad_at += len + 2;
        }
        Ok(())
    }

    /// Parameters and gradients in one buffer.
    fn shared(&mut self, gpu: &Gpu) -> Result<(), Error> {
        let buffer = self.buffer(gpu, 1502 * WORD)?;
        for (at, grad_at, len) in [(3, 307, 300), (610, 700, 77), (1024, 1280, 220)] {
            let [param, grad] = [(at, 0), (grad_at, 1)].map(|(at, role): (u64, usize)| {
                let format = self.formats[role];
                // What is smaller than a word begins in the middle of one.
                let offset = at * WORD + WORD % (WORD / 2 + format.bytes());
                View { offset, len, ..View::whole(&buffer, format) }
            });
            self.add(format!("shared {len}"), param, grad);
        }
        Ok(())
    }

    /// The state of every spot, in `slots`' order.
    pub(super) fn state(
        &self,
        optimizer: &mut Optimizer,
        slots: &[&str],
    ) -> Result<Vec<Vec<View>>, Error> {
        let of = |spot: &Spot| slots.iter().map(|slot| optimizer.state(&spot.name, slot)).collect();
        self.spots.iter().map(of).collect()
    }

    /// Initial parameters, and everything else as in the gaps.
    pub(super) fn fill_params(&self, gpu: &Gpu, numbers: &mut Numbers) {
        let gap = |buffer: &wgpu::Buffer| GAP.repeat((buffer.size() / WORD) as usize);
        let mut buffers: Vec<Vec<u8>> = self.buffers.iter().map(gap).collect();
        for Spot { param, .. } in &self.spots {
            let values: Vec<f32> = (0..param.len).map(|_| numbers.param()).collect();
            self.put(&mut buffers, param, &values);
        }
        self.write(gpu, &buffers, |_| true);
    }

    /// New gradients for step `t`, there and in `now`.
    pub(super) fn fill_grads(&self, gpu: &Gpu, numbers: &mut Numbers, t: u64, now: &mut Snapshot) {
        for Spot { grad, .. } in &self.spots {
            let values: Vec<f32> = (0..grad.len as usize).map(|i| numbers.grad(i, t)).collect();
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

    /// Reads everything back.
    pub(super) fn snapshot(&self, gpu: &Gpu, state: &[Vec<View>]) -> Result<Snapshot, Error> {
        let mut views: Vec<View> = self.buffers.iter().map(View::f32).collect();
        views.extend(state.iter().flatten().cloned());
        let mut read = gpu.download_bytes(&views)?.into_iter();
        let buffers = read.by_ref().take(self.buffers.len()).collect();
        let decode = |(view, bytes): (&View, Vec<u8>)| view.format.decode_all(&bytes);
        let of = |slots: &Vec<View>| slots.iter().zip(read.by_ref()).map(decode).collect();
        let state = state.iter().map(of).collect();
        Ok(Snapshot { buffers, state })
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
        let Spot { param, grad, .. } = &self.spots[i];
        let written = std::iter::once(part(param)).chain(at.state[i].iter().cloned()).collect();
        Numbered { grad: part(grad), written }
    }

    /// How many bytes outside every parameter a step has changed, gradients included.
    pub(super) fn strays(&self, before: &Snapshot, after: &Snapshot) -> u64 {
        let mut strays = 0;
        for (i, buffer) in self.buffers.iter().enumerate() {
            let mut outside = vec![true; buffer.size() as usize];
            let own = self.spots.iter().filter(|spot| spot.param.buffer == *buffer);
            own.for_each(|spot| outside[range(&spot.param)].fill(false));
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
