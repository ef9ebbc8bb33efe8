//! A case is an optimizer whose recording is timed. Every case has a device of its own, because wgpu's cost
//! of an encoder grows with the number of buffers on the device.

use std::time::Instant;

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::{Buffer, CommandBuffer};
use wgpu_optim::{Adam, Control, Error, Group, GroupId, Optimizer, ParamId, RmsProp, View};

use crate::api;

/// The length of a tensor, in elements: short, because the bench does not measure the device.
const LEN: u64 = 64;

/// The number of groups over an arena.
const GROUPS: u64 = 10;

/// The number of places that each gradient has in turn.
const SETS: usize = 3;

/// The number of choices of absent gradients for each such place.
const HALVES: usize = 6;

/// The place of gradients, and their movement from step to step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Motion {
    /// All gradients lie in one buffer and stay.
    Arena,
    /// Each gradient lies in a buffer of its own and stays.
    Own,
    /// All gradients lie in one buffer, at other places every step, in the order of the parameters.
    Inside,
    /// All gradients lie in one buffer, at other places every step, in a random order.
    AnyOrder,
    /// As `Inside`, and a random half of the parameters has no gradient.
    Halves,
    /// Each gradient lies in another buffer every step.
    Others,
}

/// The option that changes with every step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Nothing,
    ClipNorm,
    Rate,
    /// The learning rate, of a rule that has it among its own scalars.
    RateInMomentum,
    /// Nothing, with the rule of `RateInMomentum`.
    NothingInMomentum,
    /// The decay of the averages, by a new rule of the same kind.
    Betas,
}

/// The option for which the GPU looks at gradients.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Look {
    Not,
    ClipNorm,
    SkipNonfinite,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) motion: Motion,
    pub(crate) look: Look,
    pub(crate) change: Change,
    pub(crate) params: u64,
}

/// A gradient for each parameter, or none.
type Set = Vec<Option<View>>;

/// An optimizer over parameters, with the places that their gradients take.
pub(crate) struct Case {
    spec: Spec,
    gpu: Gpu,
    optimizer: Optimizer,
    groups: Vec<GroupId>,
    params: Vec<ParamId>,
    /// The places of gradients in turn; empty if they stay.
    sets: Vec<Set>,
    steps: usize,
}

impl Spec {
    fn group(&self, step: usize) -> Group {
        let rate = 1e-3 * (1.0 + (step % 7) as f64);
        match self.change {
            Change::Nothing | Change::ClipNorm => Group::adam(1e-3),
            Change::Rate => Group::adam(rate),
            Change::RateInMomentum => {
                Group::new(rate, RmsProp { momentum: 0.9, ..RmsProp::keras() })
            }
            Change::NothingInMomentum => {
                Group::new(1e-3, RmsProp { momentum: 0.9, ..RmsProp::keras() })
            }
            Change::Betas => {
                let betas = [0.9 + 1e-3 * (step % 7) as f64, 0.999];
                Group::new(1e-3, Adam { betas, ..Adam::default() })
            }
        }
    }

    fn control(&self, step: usize) -> Control {
        let varied = if self.change == Change::ClipNorm { (step % 7) as f64 } else { 0.0 };
        let clip_norm = (self.look == Look::ClipNorm).then_some(1.0 + varied);
        let skip_nonfinite = self.look == Look::SkipNonfinite;
        Control { clip_norm, skip_nonfinite, ..Control::default() }
    }

    fn in_one_buffer(&self) -> bool {
        !matches!(self.motion, Motion::Own | Motion::Others)
    }
}

impl Case {
    /// Makes the optimizer; `None` if the crate lacks a call that the case needs.
    pub(crate) fn new(spec: Spec) -> Result<Option<Self>, Error> {
        if spec.motion == Motion::Halves && !api::ABSENT {
            return Ok(None);
        }
        let gpu = Gpu::headless()?;
        let mut optimizer = Optimizer::new(&gpu.device);
        let groups = if spec.in_one_buffer() { GROUPS } else { 1 };
        let groups = (0..groups).map(|_| optimizer.add_group(spec.group(0)));
        let groups = groups.collect::<Result<Vec<_>, _>>()?;
        let first = views(&gpu, spec, "params", 0)?;
        let (sets, start) = match spec.motion {
            Motion::Arena | Motion::Own => (Vec::new(), views(&gpu, spec, "grads", 0)?),
            Motion::Others => {
                let sets = (0..SETS).map(|_| views(&gpu, spec, "grads", 0));
                let sets = sets.collect::<Result<Vec<_>, _>>()?;
                let start = sets[0].clone();
                (sets.into_iter().map(|set| set.into_iter().map(Some).collect()).collect(), start)
            }
            Motion::Inside | Motion::AnyOrder | Motion::Halves => moving(&gpu, spec)?,
        };
        let mut params = Vec::with_capacity(first.len());
        for (i, (param, grad)) in first.into_iter().zip(start).enumerate() {
            let group = groups[i % groups.len()];
            params.push(optimizer.add_param(group, &format!("w{i}"), param, grad)?);
        }
        optimizer.set_control(spec.control(0))?;
        optimizer.prepare()?;
        Ok(Some(Self { spec, gpu, optimizer, groups, params, sets, steps: 0 }))
    }

    /// Sets the number of steps that the optimizer has taken; tells whether the crate can.
    pub(crate) fn set_steps(&mut self, steps: u64) -> Result<bool, Error> {
        api::set_steps(&mut self.optimizer, &self.groups, steps)
    }

    /// Times handing over gradients and options and recording a step, in microseconds. The step is not
    /// submitted.
    pub(crate) fn record(&mut self) -> Result<f64, Error> {
        let (took, unused) = self.timed()?;
        drop(unused);
        // An empty submission ends the writes to new buffers that wgpu has queued; they would pile up.
        self.gpu.queue.submit([]);
        self.gpu.wait()?;
        Ok(took)
    }

    /// Times the same and submits the step. The submission is not timed; the method waits for the device.
    pub(crate) fn record_and_submit(&mut self) -> Result<f64, Error> {
        let (took, commands) = self.timed()?;
        self.gpu.queue.submit([commands]);
        self.gpu.wait()?;
        Ok(took)
    }

    fn timed(&mut self) -> Result<(f64, CommandBuffer), Error> {
        self.steps += 1;
        let Self { spec, gpu, optimizer, groups, params, sets, steps } = self;
        let grads = (!sets.is_empty()).then(|| {
            let set = &sets[*steps % sets.len()];
            params.iter().copied().zip(set.iter().cloned()).collect::<Vec<_>>()
        });
        let (control, group) = (spec.control(*steps), spec.group(*steps));
        let start = Instant::now();
        if let Some(grads) = grads {
            api::set_grads(optimizer, grads)?;
        }
        match spec.change {
            Change::Nothing | Change::NothingInMomentum => {}
            Change::ClipNorm => optimizer.set_control(control)?,
            Change::Rate | Change::RateInMomentum => optimizer.set_lr(group.lr)?,
            Change::Betas => {
                groups.iter().try_for_each(|id| optimizer.set_group(*id, group.clone()))?;
            }
        }
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        optimizer.step(&mut encoder);
        let commands = encoder.finish();
        Ok((start.elapsed().as_secs_f64() * 1e6, commands))
    }
}

/// Makes a view for each parameter: in one buffer with room for `more` tensors, or each in its own buffer.
fn views(gpu: &Gpu, spec: Spec, label: &str, more: u64) -> Result<Vec<View>, Error> {
    if spec.in_one_buffer() {
        let all = gpu.zeros(label, (spec.params + more) * LEN)?;
        return Ok((0..spec.params).map(|i| place(&all, i)).collect());
    }
    (0..spec.params).map(|_| Ok(View::f32(&gpu.zeros(label, LEN)?))).collect()
}

/// Views the `i`th tensor of a buffer.
fn place(all: &Buffer, i: u64) -> View {
    View::f32(all).range(i * LEN..(i + 1) * LEN)
}

/// Makes views that move inside one buffer, and the first of them.
fn moving(gpu: &Gpu, spec: Spec) -> Result<(Vec<Set>, Vec<View>), Error> {
    let start = views(gpu, spec, "grads", SETS as u64)?;
    let Some(all) = start.first().map(|view| view.buffer.clone()) else {
        return Ok((Vec::new(), start));
    };
    let mut random = Random(spec.params);
    let sets = (0..SETS * HALVES).map(|set| {
        let mut places: Vec<u64> = (0..spec.params).map(|i| i + (set % SETS) as u64).collect();
        if spec.motion == Motion::AnyOrder {
            for i in (1..places.len()).rev() {
                places.swap(i, random.below(i as u64 + 1) as usize);
            }
        }
        let mut absent = || spec.motion == Motion::Halves && random.below(2) == 0;
        places.into_iter().map(|i| (!absent()).then(|| place(&all, i))).collect()
    });
    Ok((sets.collect(), start))
}

/// A random generator that gives the same numbers in every run: Knuth's linear congruence.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}
