//! Where the numbers of a verification lie: lengths, offsets and buffers of every kind.

use super::Numbered;
use super::numbers::Numbers;
use crate::error::Error;
use crate::headless::Gpu;
use crate::optimizer::Optimizer;
use crate::view::{ELEMENT, View};

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
}

/// What the buffers held at some moment.
pub(super) struct Snapshot {
    /// Of each buffer.
    buffers: Vec<Vec<f32>>,
    /// Of each spot, what a step reads and writes.
    spots: Vec<(Vec<f32>, Vec<Vec<f32>>)>,
}

/// Numbers in the gaps between views: any that nothing computes.
const GAP: f32 = -7.25e-11;

impl Layout {
    /// Every kind of place, with few elements each.
    pub(super) fn small(gpu: &Gpu) -> Result<Self, Error> {
        let mut layout = Self { spots: Vec::new(), buffers: Vec::new() };
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
    pub(super) fn long(gpu: &Gpu) -> Result<Self, Error> {
        let mut layout = Self { spots: Vec::new(), buffers: Vec::new() };
        layout.own(gpu, 65_537, 1)?;
        let (params, grads) = (layout.buffer(gpu, 16_004)?, layout.buffer(gpu, 16_004)?);
        for range in [3..9003, 9003..16_004] {
            let name = format!("neighbour {}", range.end - range.start);
            let param = View::f32(&params).range(range.clone());
            layout.add(name, param, View::f32(&grads).range(range));
        }
        Ok(layout)
    }

    fn buffer(&mut self, gpu: &Gpu, len: u64) -> Result<wgpu::Buffer, Error> {
        let buffer = gpu.zeros("wgpu-optim verify", len)?;
        self.buffers.push(buffer.clone());
        Ok(buffer)
    }

    fn add(&mut self, name: String, param: View, grad: View) {
        let group = self.spots.len() % 2;
        self.spots.push(Spot { name, group, param, grad });
    }

    /// A parameter in a buffer of its own, `offset` elements in.
    fn own(&mut self, gpu: &Gpu, len: u64, offset: u64) -> Result<(), Error> {
        let (param, grad) = (self.buffer(gpu, offset + len)?, self.buffer(gpu, offset + len)?);
        let range = offset..offset + len;
        let (param, grad) = (View::f32(&param).range(range.clone()), View::f32(&grad).range(range));
        self.add(format!("own {len}"), param, grad);
        Ok(())
    }

    /// Views of one buffer with gaps between them; gradients in another buffer, at the parameters'
    /// phase of 16 bytes or not.
    fn arena(&mut self, gpu: &Gpu) -> Result<(), Error> {
        let (params, grads) = (self.buffer(gpu, 8192)?, self.buffer(gpu, 8192)?);
        let (mut at, mut grad_at) = (1, 5);
        for (i, len) in [1, 2, 3, 4, 5, 7, 64, 255, 1023, 1024, 2500].into_iter().enumerate() {
            grad_at += if i % 3 == 2 { 1 } else { (at + 8 - grad_at % 4) % 4 };
            let param = View::f32_at(&params, at * ELEMENT, len);
            let grad = View::f32_at(&grads, grad_at * ELEMENT, len);
            self.add(format!("arena {len}"), param, grad);
            at += len + i as u64 % 5;
            grad_at += len + 2;
        }
        Ok(())
    }

    /// Parameters and gradients in one buffer.
    fn shared(&mut self, gpu: &Gpu) -> Result<(), Error> {
        let buffer = self.buffer(gpu, 1500)?;
        let view = |at: u64, len| View::f32_at(&buffer, at * ELEMENT, len);
        self.add("shared 300".to_owned(), view(3, 300), view(307, 300));
        self.add("shared 77".to_owned(), view(610, 77), view(700, 77));
        self.add("shared 220".to_owned(), view(1024, 220), view(1280, 220));
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

    pub(super) fn fill_params(&self, gpu: &Gpu, numbers: &mut Numbers) {
        for buffer in &self.buffers {
            let gap = vec![GAP; (buffer.size() / ELEMENT) as usize];
            gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&gap));
        }
        for Spot { param, .. } in &self.spots {
            let values: Vec<f32> = (0..param.len).map(|_| numbers.param()).collect();
            gpu.queue.write_buffer(&param.buffer, param.offset, bytemuck::cast_slice(&values));
        }
    }

    /// New gradients for step `t`; also returned, spot by spot.
    pub(super) fn fill_grads(&self, gpu: &Gpu, numbers: &mut Numbers, t: u64) -> Vec<Vec<f32>> {
        let fill = |Spot { grad, .. }: &Spot| {
            let values: Vec<f32> = (0..grad.len as usize).map(|i| numbers.grad(i, t)).collect();
            gpu.queue.write_buffer(&grad.buffer, grad.offset, bytemuck::cast_slice(&values));
            values
        };
        self.spots.iter().map(fill).collect()
    }

    /// Reads everything back.
    pub(super) fn snapshot(&self, gpu: &Gpu, state: &[Vec<View>]) -> Result<Snapshot, Error> {
        let mut views: Vec<View> = self.buffers.iter().map(View::f32).collect();
        views.extend(state.iter().flatten().cloned());
        let mut read = gpu.download_all(&views)?.into_iter();
        let buffers: Vec<Vec<f32>> = read.by_ref().take(self.buffers.len()).collect();
        let spots = self.spots.iter().zip(state).map(|(spot, slots)| {
            let mut written = vec![self.part(&buffers, &spot.param).to_vec()];
            written.extend(read.by_ref().take(slots.len()));
            (self.part(&buffers, &spot.grad).to_vec(), written)
        });
        let spots = spots.collect();
        Ok(Snapshot { buffers, spots })
    }

    fn part<'a>(&self, buffers: &'a [Vec<f32>], view: &View) -> &'a [f32] {
        let at = self.buffers.iter().position(|buffer| *buffer == view.buffer);
        let numbers = at.map_or(&[][..], |at| &buffers[at]);
        let first = (view.offset / ELEMENT) as usize;
        &numbers[first..first + view.len as usize]
    }

    /// How many elements outside every parameter a step has changed, gradients aside.
    pub(super) fn strays(&self, after: &Snapshot) -> u64 {
        let mut strays = 0;
        for (buffer, numbers) in self.buffers.iter().zip(&after.buffers) {
            let mut outside = vec![true; numbers.len()];
            for spot in &self.spots {
                for view in [&spot.param, &spot.grad] {
                    if view.buffer == *buffer {
                        let first = (view.offset / ELEMENT) as usize;
                        outside[first..first + view.len as usize].fill(false);
                    }
                }
            }
            let gaps = numbers.iter().zip(outside).filter(|(_, outside)| *outside);
            strays += gaps.filter(|(x, _)| x.to_bits() != GAP.to_bits()).count() as u64;
        }
        strays
    }
}

impl Snapshot {
    /// The numbers of spot `i`.
    pub(super) fn of(&self, i: usize) -> Numbered<'_> {
        let (grad, written) = &self.spots[i];
        Numbered { grad, written: written.iter().map(Vec::as_slice).collect() }
    }

    /// Puts gradients in that were written after it was taken.
    pub(super) fn set_grads(&mut self, grads: Vec<Vec<f32>>) {
        for ((grad, _), new) in self.spots.iter_mut().zip(grads) {
            *grad = new;
        }
    }

    /// How many gradients a step has changed, which it never may.
    pub(super) fn changed_grads(&self, after: &Self) -> u64 {
        let pairs = self.spots.iter().zip(&after.spots);
        let changed = pairs.flat_map(|((before, _), (after, _))| before.iter().zip(after));
        changed.filter(|(before, after)| before.to_bits() != after.to_bits()).count() as u64
    }
}
