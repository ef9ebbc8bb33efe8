//! Runs a program on a device and in simulations, and compares them.

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu_optim::wgpu::{BufferUsages, CommandEncoder, Device, Queue};
use wgpu_optim::{Error, GroupId, Optimizer, ParamId};

use super::calls::{DROPPED_ENCODERS, group};
use super::check::Tally;
use super::memory::{rounded, store};
use super::mutation::Mutation;
use super::program::{Call, Fill, Program};
use super::simulation::{Simulation, skips};
use super::store::{Role, Store};

/// When encoders are submitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pack {
    /// Where the program says so.
    AsWritten,
    /// After each call.
    Each,
    /// At the end.
    Once,
}

/// How a program is run.
#[derive(Clone, Debug)]
pub(crate) struct How {
    pub(crate) pack: Pack,
    /// Whether gradients move where the program says so, and not at all otherwise.
    pub(crate) moves: bool,
    /// Whether gradients that are to move get new numbers, and their format stays.
    pub(crate) refills: bool,
    /// Whether errors are no failure: on a device without numbers.
    pub(crate) lenient: bool,
    /// Simulations that ought to fail.
    pub(crate) wrong: Vec<Mutation>,
}

impl Default for How {
    fn default() -> Self {
        let (pack, wrong) = (Pack::AsWritten, Vec::new());
        Self { pack, moves: true, refills: false, lenient: false, wrong }
    }
}

/// The results of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Parameters, copies, slots and averages, as bits.
    pub(crate) bits: Vec<Vec<u32>>,
    pub(crate) tally: Tally,
    /// Which of the wrong simulations failed.
    pub(crate) noticed: Vec<bool>,
}

pub(crate) struct Runner<'a> {
    pub(crate) gpu: Option<&'a Gpu>,
    pub(crate) device: Device,
    pub(crate) queue: Queue,
    pub(crate) how: How,
    pub(crate) optimizer: Optimizer,
    pub(crate) groups: Vec<GroupId>,
    pub(crate) params: Vec<ParamId>,
    pub(crate) store: Store,
    encoder: Option<CommandEncoder>,
    /// The right one first.
    pub(crate) simulations: Vec<Simulation>,
    pub(crate) noticed: Vec<bool>,
    pub(crate) tally: Tally,
    /// Calls so far: the seed of what is written where gradients move.
    pub(crate) calls: u16,
}

pub(crate) type Outcome<T = ()> = Result<T, String>;

impl<'a> Runner<'a> {
    /// Runs a program on a device that computes.
    pub(crate) fn run(gpu: &'a Gpu, program: &Program, how: How) -> Outcome<Report> {
        let mut runner = Self::new(Some(gpu), &gpu.device, &gpu.queue, how);
        runner.calls(program)?;
        let bits = runner.bits()?;
        let Self { tally, noticed, .. } = runner;
        Ok(Report { bits, tally, noticed })
    }

    pub(crate) fn new(gpu: Option<&'a Gpu>, device: &Device, queue: &Queue, how: How) -> Self {
        let wrong = how.wrong.iter().copied().map(Some);
        let idle = how.lenient;
        let of = |wrong| Simulation::new(wrong, idle);
        Self {
            gpu,
            device: device.clone(),
            queue: queue.clone(),
            optimizer: Optimizer::new(device),
            groups: Vec::new(),
            params: Vec::new(),
            store: Store::new(device),
            encoder: None,
            simulations: std::iter::once(None).chain(wrong).map(of).collect(),
            noticed: vec![false; how.wrong.len()],
            tally: Tally::default(),
            calls: 0,
            how,
        }
    }

    pub(crate) fn calls(&mut self, program: &Program) -> Outcome {
        for (i, call) in program.0.iter().enumerate() {
            self.calls = i as u16;
            self.call(call).map_err(|e| format!("call {i}, {call:?}: {e}"))?;
            if self.how.pack == Pack::Each {
                self.submit().map_err(|e| format!("after call {i}, {call:?}: {e}"))?;
            }
        }
        self.submit().map_err(|e| format!("at the end: {e}"))?;
        match self.optimizer.is_up_to_date() {
            true => Ok(()),
            false => Err("a program made anew does something else".to_owned()),
        }
    }

    pub(crate) fn right(&self) -> &Simulation {
        &self.simulations[0]
    }

    /// Tells every simulation.
    pub(crate) fn tell(&mut self, what: impl Fn(&mut Simulation)) {
        let created = std::mem::take(&mut self.store.created);
        for simulation in &mut self.simulations {
            created.iter().for_each(|words| simulation.add_buffer(*words));
            simulation.host.version += 1;
            what(simulation);
        }
    }

    /// Whether a call that should have succeeded did.
    pub(crate) fn done(&self, result: Result<(), Error>) -> Outcome<bool> {
        match result {
            Ok(()) => Ok(true),
            Err(_) if self.how.lenient => Ok(false),
            Err(error) => Err(format!("refused: {error}")),
        }
    }

    /// Whether a call was refused if it had to be. True if it was done.
    pub(crate) fn refused_if(&self, must: bool, result: Result<(), Error>) -> Outcome<bool> {
        match (must, result) {
            (true, Ok(())) => Err("was not refused".to_owned()),
            (true, Err(_)) => Ok(false),
            (false, result) => self.done(result),
        }
    }

    fn call(&mut self, call: &Call) -> Outcome {
        let params = self.params.len();
        let one = |number: u8| usize::from(number) % params.max(1);
        match call {
            Call::AddGroup(spec) => match self.optimizer.add_group(group(spec)) {
                Ok(id) => {
                    self.groups.push(id);
                    let recorded = 0;
                    let of = || super::simulation::Group { spec: spec.clone(), recorded };
                    self.tell(|simulation| simulation.host.groups.push(of()));
                }
                Err(error) => self.done(Err(error)).map(|_| ())?,
            },
            Call::AddParam { group, len, home, grad } if !self.groups.is_empty() => {
                let group = usize::from(*group) % self.groups.len();
                self.add_param(group, (*len).into(), *home, *grad)?;
            }
            Call::SetGroup { group: number, spec } if !self.groups.is_empty() => {
                let number = usize::from(*number) % self.groups.len();
                let spec = spec.after(&self.right().host.groups[number].spec);
                let result = self.optimizer.set_group(self.groups[number], group(&spec));
                if self.done(result)? {
                    self.tell(|simulation| simulation.host.groups[number].spec = spec.clone());
                }
            }
            Call::SetLr(lr) => {
                let result = self.optimizer.set_lr(*lr);
                if self.done(result)? {
                    self.tell(|simulation| {
                        simulation.host.groups.iter_mut().for_each(|group| group.spec.lr = *lr);
                    });
                }
            }
            Call::SetControl(control) => self.set_control(*control)?,
            Call::SetGrad { param, to } if params > 0 => self.set_grad(one(*param), *to)?,
            Call::SetGrads(moves) if params > 0 => self.set_grads(moves)?,
            Call::SetCopy { param, to } if params > 0 => {
                let param = one(*param);
                let len = self.right().host.params[param].param.len;
                let copy = match to {
                    Some((format, home)) => self.store.place(*home, Role::Copy, *format, len),
                    None => None,
                };
                let view = copy.map(|spot| self.store.view(&spot));
                let result = self.optimizer.set_copy(self.params[param], view);
                if self.done(result)? {
                    self.tell(|simulation| simulation.host.params[param].copy = copy);
                }
            }
            Call::Accumulate(fill) if params > 0 => {
                self.fill(fill.as_ref())?;
                let mut encoder = self.encoder();
                let result = self.optimizer.accumulate(&mut encoder);
                self.encoder = Some(encoder);
                if self.done(result)? {
                    self.tell(Simulation::accumulate);
                }
            }
            Call::Step(fill) if params > 0 => {
                self.fill(fill.as_ref())?;
                let mut encoder = self.encoder();
                self.optimizer.step(&mut encoder);
                self.encoder = Some(encoder);
                self.tell(Simulation::step);
            }
            Call::Prepare => {
                let result = self.optimizer.prepare();
                self.done(result)?;
            }
            Call::Stats => self.stats()?,
            Call::Drop if self.how.pack == Pack::AsWritten && DROPPED_ENCODERS => {
                self.encoder = None;
                self.simulations.iter_mut().for_each(Simulation::drop_encoder);
            }
            Call::Submit | Call::Drop if self.how.pack == Pack::AsWritten => self.submit()?,
            // A refused call takes room, and how much depends on the places of gradients.
            Call::Wrong { what, param } if params > 0 && self.compares() => {
                self.wrong(*what, one(*param))?;
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn encoder(&mut self) -> CommandEncoder {
        let device = &self.device;
        self.encoder.take().unwrap_or_else(|| device.create_command_encoder(&Default::default()))
    }

    /// Records writing numbers to all gradients.
    pub(crate) fn fill(&mut self, fill: Option<&Fill>) -> Outcome {
        let Some(fill) = fill else { return Ok(()) };
        let right = self.right();
        // Gradients are as large as the loss scale makes them.
        let exponent = right.scale().log2().floor().clamp(-10.0, 10.0);
        let size = f64::from(fill.size) * exponent.exp2();
        let skips = skips(&right.host.control);
        let mut contents: Vec<u32> = Vec::new();
        let mut copies = Vec::new();
        for param in 0..self.params.len() {
            let Some(spot) = self.right().host.params[param].grad else { continue };
            let mut numbers = numbers(fill.seed, param, spot.len, size as f32);
            if let Some(bad) = fill.bad
                && (skips || bad.always)
                && usize::from(bad.param) % self.params.len() == param
            {
                numbers[bad.element as usize % spot.len as usize] = bad.number;
            }
            let numbers = numbers.into_iter().map(|x| rounded(spot.format, x));
            let mut words = self.right().next.memory[spot.buffer].words.clone();
            store(&mut words, &spot, numbers);
            let range = spot.words();
            let words = words[range.clone()].to_vec();
            for simulation in &mut self.simulations {
                simulation.write(spot.buffer, range.start, &words);
            }
            // No buffer need be longer than the program's own are.
            if contents.len() + words.len() > 4096 && !contents.is_empty() {
                self.copy(&std::mem::take(&mut contents), std::mem::take(&mut copies));
            }
            copies.push((spot.buffer, range, contents.len()));
            contents.extend(words);
        }
        self.copy(&contents, copies);
        Ok(())
    }

    /// Records copying these words to ranges of words: which buffer, where to and from which word.
    fn copy(&mut self, contents: &[u32], copies: Vec<(usize, std::ops::Range<usize>, usize)>) {
        let staging = self.device.create_buffer_init(&BufferInitDescriptor {
            label: Some("fill"),
            contents: bytemuck::cast_slice(contents),
            usage: BufferUsages::COPY_SRC,
        });
        let mut encoder = self.encoder();
        for (buffer, range, from) in copies {
            let buffer = &self.store.buffers[buffer];
            let (to, len) = (4 * range.start as u64, 4 * range.len() as u64);
            encoder.copy_buffer_to_buffer(&staging, 4 * from as u64, buffer, to, len);
        }
        self.encoder = Some(encoder);
    }

    pub(crate) fn submit(&mut self) -> Outcome {
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        self.queue.submit([encoder.finish()]);
        self.simulations.iter_mut().for_each(Simulation::submit);
        self.check()
    }
}

/// Numbers between −2 and 2, a few of them 0, times `size`.
fn numbers(seed: u16, param: usize, len: u64, size: f32) -> Vec<f32> {
    let mut state = u64::from(seed) << 32 | param as u64;
    let next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = state;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        let number = (x >> 40) as f32 / (1_u32 << 22) as f32 - 2.0;
        if x & 15 == 0 { 0.0 } else { number * size }
    };
    std::iter::repeat_with(next).take(len as usize).collect()
}
