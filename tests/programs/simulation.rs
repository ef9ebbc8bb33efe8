//! Simulates in f64 what calls do according to the documentation.

use wgpu_optim::{Accumulation, Control, LossScale, Norm};

use super::memory::{Memory, Spot, load, store};
use super::mutation::Mutation;
use super::number::Num;
use super::rule::Spec;

/// State that calls change at once, even if their encoder is never submitted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Host {
    pub(crate) groups: Vec<Group>,
    pub(crate) params: Vec<Param>,
    pub(crate) control: Control,
    /// Whether steps ever depended on gradients: since then, the GPU counts.
    pub(crate) counts: bool,
    /// How often the loss scale was set since then.
    pub(crate) scales: u64,
    /// Gradients that were added up since the last step, and the number of the step they are for.
    pub(crate) added: u32,
    pub(crate) step: u64,
    /// Steps so far.
    pub(crate) recorded: u64,
    /// Calls so far that change something.
    pub(crate) version: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) spec: Spec,
    pub(crate) recorded: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) group: usize,
    pub(crate) param: Spot,
    pub(crate) grad: Option<Spot>,
    pub(crate) copy: Option<Spot>,
    /// Where the gradient was before it moved.
    pub(crate) before: Option<Spot>,
    /// Steps for which it had a gradient, and how many of those were not submitted yet.
    pub(crate) recorded: u64,
    pub(crate) pending: u64,
}

impl Param {
    pub(crate) fn spots(&self) -> impl Iterator<Item = &Spot> {
        [Some(&self.param), self.grad.as_ref(), self.copy.as_ref()].into_iter().flatten()
    }
}

/// State that the GPU changes when it executes.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) memory: Vec<Memory>,
    pub(crate) params: Vec<Numbers>,
    /// Copies, present and past.
    pub(crate) copies: Vec<(Spot, Vec<Num>)>,
    /// For which step sums are.
    pub(crate) sums_for: u64,
    /// How many parts they have.
    pub(crate) parts: u32,
    /// The loss scale of gradients to come, how many steps it was good, and how often it was set.
    pub(crate) scale: f64,
    pub(crate) good: u32,
    pub(crate) scales: u64,
    pub(crate) skipped: u64,
    pub(crate) last: Option<Outcome>,
}

/// The numbers of a parameter.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) value: Vec<Num>,
    pub(crate) slots: Vec<Vec<Num>>,
    pub(crate) ema: Vec<Num>,
    pub(crate) sum: Vec<Num>,
    pub(crate) skipped: u64,
    /// The copy that is rounded from the present value.
    pub(crate) copied: Option<Spot>,
}

/// The statistics of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) norm: Num,
    pub(crate) coefficient: Num,
    pub(crate) first: Option<usize>,
    pub(crate) taken: u64,
    /// Whether it looked at them, and what the host's version was.
    pub(crate) looked: bool,
    pub(crate) version: u64,
}

/// The simulation of one optimizer and its buffers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulation {
    pub(crate) host: Host,
    /// After everything submitted.
    pub(crate) done: World,
    /// After everything recorded.
    pub(crate) next: World,
    pub(crate) wrong: Option<Mutation>,
    /// Whether no numbers are computed.
    pub(crate) idle: bool,
}

impl Simulation {
    pub(crate) fn new(wrong: Option<Mutation>, idle: bool) -> Self {
        let mut new = Self { wrong, idle, ..Self::default() };
        new.host.step = 1;
        new
    }

    pub(crate) fn is(&self, mutation: Mutation) -> bool {
        self.wrong == Some(mutation)
    }

    fn worlds(&mut self) -> [&mut World; 2] {
        [&mut self.done, &mut self.next]
    }

    pub(crate) fn add_buffer(&mut self, words: usize) {
        for world in self.worlds() {
            let buffer = world.memory.len();
            world.memory.push(Memory::new(buffer, words));
        }
    }

    pub(crate) fn add_param(&mut self, group: usize, param: Spot, grad: Spot) {
        let Spec { rule, ema, .. } = self.host.groups[group].spec.clone();
        for world in self.worlds() {
            let memory = &mut world.memory[param.buffer];
            memory.mark(&param);
            let value: Vec<Num> = load(&memory.words, &param).into_iter().map(Num::exact).collect();
            let zeros = vec![Num::ZERO; value.len()];
            world.params.push(Numbers {
                value,
                slots: vec![zeros.clone(); rule.slots().len()],
                ema: if ema.is_some() { zeros.clone() } else { Vec::new() },
                sum: zeros,
                skipped: 0,
                copied: None,
            });
        }
        let (grad, copy, before) = (Some(grad), None, None);
        let (recorded, pending) = (0, 0);
        self.host.params.push(Param { group, param, grad, copy, before, recorded, pending });
    }

    pub(crate) fn set_grad(&mut self, param: usize, grad: Option<Spot>) {
        let param = &mut self.host.params[param];
        param.before = param.grad;
        param.grad = grad;
    }

    pub(crate) fn set_control(&mut self, control: Control) {
        let old = std::mem::replace(&mut self.host.control, control);
        if self.host.counts {
            self.host.scales += u64::from(old.loss_scale != control.loss_scale);
        } else if looks(&control) {
            self.host.counts = true;
            let scale = match control.loss_scale {
                LossScale::Fixed(scale) => scale,
                LossScale::Dynamic { init, .. } => init,
                other => panic!("{other:?} is not simulated"),
            };
            self.worlds().into_iter().for_each(|world| world.scale = scale);
        }
    }

    /// Whether gradients have bytes in common, and are to be cleared.
    pub(crate) fn clears_shared(&self, control: &Control, grads: &[Option<Spot>]) -> bool {
        let pair = |(i, one): (usize, &Spot)| {
            grads[i + 1..].iter().flatten().any(|other| one.overlaps(other))
        };
        let mut all = grads.iter().enumerate().filter_map(|(i, one)| Some((i, one.as_ref()?)));
        control.zero_grad && all.any(pair)
    }

    pub(crate) fn grads(&self) -> Vec<Option<Spot>> {
        self.host.params.iter().map(|param| param.grad).collect()
    }

    /// Records that these words are written.
    pub(crate) fn write(&mut self, buffer: usize, at: usize, words: &[u32]) {
        self.next.memory[buffer].words[at..at + words.len()].copy_from_slice(words);
    }

    pub(crate) fn submit(&mut self) {
        self.done = self.next.clone();
        self.host.params.iter_mut().for_each(|param| param.pending = 0);
    }

    pub(crate) fn drop_encoder(&mut self) {
        self.next = self.done.clone();
        let forgets = self.is(Mutation::DroppedNotCounted);
        for param in &mut self.host.params {
            let pending = std::mem::take(&mut param.pending);
            param.recorded -= if forgets { pending } else { 0 };
        }
    }

    /// The gradients where they lie; none where there are none.
    pub(crate) fn load_grads(&self) -> Vec<Option<Vec<Num>>> {
        let load = |param: &Param| {
            let old = param.before.filter(|_| self.is(Mutation::OldGradient));
            let spot = old.or(param.grad)?;
            let numbers = load(&self.next.memory[spot.buffer].words, &spot);
            Some(numbers.into_iter().map(Num::exact).collect())
        };
        self.host.params.iter().map(load).collect()
    }

    pub(crate) fn clear_grads(&mut self) {
        if self.host.control.zero_grad && !self.is(Mutation::NothingCleared) {
            for spot in self.grads().into_iter().flatten() {
                store(&mut self.next.memory[spot.buffer].words, &spot, std::iter::repeat(0.0));
            }
        }
    }

    pub(crate) fn accumulate(&mut self) {
        self.host.added += 1;
        if self.idle {
            return;
        }
        let grads = self.load_grads();
        let world = &mut self.next;
        if world.sums_for != self.host.step {
            (world.sums_for, world.parts) = (self.host.step, 0);
            if self.wrong != Some(Mutation::SumsGoOn) {
                world.params.iter_mut().for_each(|numbers| numbers.sum.fill(Num::ZERO));
            }
        }
        world.parts += 1;
        for (numbers, grad) in world.params.iter_mut().zip(grads) {
            for (sum, g) in numbers.sum.iter_mut().zip(grad.into_iter().flatten()) {
                *sum = *sum + g;
            }
        }
        self.clear_grads();
    }
}

/// Whether a step depends on its gradients.
pub(crate) fn looks(control: &Control) -> bool {
    control.clip_norm.is_some() || skips(control)
}

/// Whether a step with Inf or NaN is not taken.
pub(crate) fn skips(control: &Control) -> bool {
    control.skip_nonfinite || matches!(control.loss_scale, LossScale::Dynamic { .. })
}

/// The divisor of sums.
pub(crate) fn divisor(control: &Control, added: u32) -> f64 {
    if control.accumulation == Accumulation::Mean { f64::from(added.max(1)) } else { 1.0 }
}

/// The norm of numbers, with what is off in each of them, and in adding them up.
pub(crate) fn norm<'a>(which: Norm, all: impl Iterator<Item = &'a Num> + Clone) -> Num {
    let root = |part: fn(&Num) -> f64| all.clone().map(|g| part(g).powi(2)).sum::<f64>().sqrt();
    let x = match which {
        Norm::Largest => all.clone().fold(0.0, |most: f64, g| {
            if g.x.is_nan() || most.is_nan() { f64::NAN } else { most.max(g.x.abs()) }
        }),
        _ => root(|g| g.x),
    };
    Num { x, e: root(|g| g.e) + OFF * x }
}

/// How far a norm and a coefficient may be off, relative: `docs/NUMERICS.md`, "Norms".
pub(crate) const OFF: f64 = 64.0 / (1u64 << 24) as f64;
