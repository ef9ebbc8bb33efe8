//! An optimizer that trains a case of the table: parameters in places of every kind, and all their bits.

use crate::ByName;
use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::{Buffer, CommandEncoder, ComputePass};
use wgpu_optim::{Format, Group, GroupId, Optimizer, View};

use crate::arena::{PLACES, ROOM};
use crate::{Case, encoded, numbers, ok, slots};

/// One thing that a step consists of, which may be recorded and submitted alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// New gradients are copied to where the optimizer finds them.
    Gradients,
    /// They are added to a sum.
    Accumulate,
    /// The parameters take a step.
    Step,
}

/// An optimizer in training, its parameters and their gradients.
pub struct Training {
    /// It has all parameters, in two groups, and the case's control.
    pub optimizer: Optimizer,
    gpu: Gpu,
    case: Case,
    groups: [GroupId; 2],
    names: Vec<String>,
    /// Whole words of gradients; parameters have theirs in them.
    grads: Vec<View>,
    /// Every buffer of the caller's, once, with its name.
    buffers: Vec<(String, Buffer)>,
    /// Gradients that came and steps that were recorded.
    counts: [u64; 2],
}

impl Training {
    /// Adds parameters that tables and launches of their own cover, in and out of phase with their gradients:
    /// in an arena, in a buffer of its own, and beside its gradient.
    pub fn new(gpu: &Gpu, case: &Case) -> Self {
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(case.control));
        let groups = [0, 1].map(|index| ok(optimizer.add_group(group(case, index, 0))));
        let mut all = Self {
            optimizer,
            gpu: gpu.clone(),
            case: case.clone(),
            groups,
            names: Vec::new(),
            grads: Vec::new(),
            buffers: Vec::new(),
            counts: [0, 0],
        };
        let params = all.buffer("arena", case.param, ROOM + 8);
        let grads = all.buffer("gradients of the arena", case.grad, ROOM + 8);
        for (i, (at, len)) in PLACES.into_iter().enumerate() {
            // The second pair is out of phase.
            let grad_at = at + if i < 2 { 4 } else { 5 };
            let param = params.clone().range(at..at + len);
            all.add(&format!("arena {i}"), param, grads.clone().range(grad_at..grad_at + len));
        }
        let param = all.buffer("own", case.param, 1030);
        let grad = all.buffer("gradient of own", case.grad, 1030);
        all.add("own", param.range(3..1026), grad.clone().range(3..1026));
        let both = all.buffer("both", Format::F32, 512).buffer;
        // Behind the largest parameter, at a multiple of every offset that a device asks for.
        let from = 1024 / case.grad.bytes();
        let beside = View::whole(&both, case.grad).range(from..2 * from);
        all.add("both", View::whole(&both, case.param).range(0..200), beside.clone().range(0..200));
        all.grads = vec![grads, grad, beside];
        all
    }

    /// Numbers in a new buffer.
    fn buffer(&mut self, name: &str, format: Format, len: u64) -> View {
        let view = encoded(&self.gpu, format, &numbers(len, self.buffers.len() as u64));
        self.buffers.push((name.to_owned(), view.buffer.clone()));
        view
    }

    fn add(&mut self, name: &str, param: View, grad: View) {
        let index = self.names.len();
        let (group, len) = (self.groups[index % 2], param.len);
        let id = ok(self.optimizer.add_param(group, name, param, grad));
        if let Some(format) = self.case.copy {
            let from = 4 + index as u64 % 2;
            let copies = self.buffer(&format!("copy of {name}"), format, from + len);
            ok(self.optimizer.set_copy(id, Some(copies.range(from..from + len))));
        }
        self.names.push(name.to_owned());
    }

    /// The actions of a step.
    pub fn actions(&self) -> Vec<Action> {
        match self.case.accumulate as usize {
            0 => vec![Action::Gradients, Action::Step],
            parts => {
                let parts = [Action::Gradients, Action::Accumulate].repeat(parts);
                [parts, vec![Action::Step]].concat()
            }
        }
    }

    /// Records one action. Steps differ in their learning rates.
    pub fn record(&mut self, action: Action, encoder: &mut CommandEncoder) {
        match action {
            Action::Gradients => self.copy_gradients(encoder),
            Action::Accumulate => ok(self.optimizer.accumulate(encoder)),
            Action::Step => {
                self.set_rates();
                self.optimizer.step(encoder);
            }
        }
    }

    /// Records one action into an open pass, where gradients stay as they are.
    pub fn record_in_pass(&mut self, action: Action, pass: &mut ComputePass<'_>) {
        match action {
            Action::Gradients => {}
            Action::Accumulate => ok(self.optimizer.accumulate_in_pass(pass)),
            Action::Step => {
                self.set_rates();
                self.optimizer.step_in_pass(pass);
            }
        }
    }

    /// Submits one action alone.
    pub fn submit(&mut self, action: Action) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        self.record(action, &mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// Submits a step, each action alone.
    pub fn step(&mut self) {
        self.actions().into_iter().for_each(|action| self.submit(action));
    }

    fn set_rates(&mut self) {
        self.counts[1] += 1;
        for (index, id) in self.groups.into_iter().enumerate() {
            ok(self.optimizer.set_group(id, group(&self.case, index, self.counts[1])));
        }
    }

    /// If non-finite gradients are skipped, every third set has one.
    fn copy_gradients(&mut self, encoder: &mut CommandEncoder) {
        self.counts[0] += 1;
        let bad = self.counts[0] % 3 == 2 && self.case.control.skip_nonfinite;
        for (i, grads) in self.grads.iter().enumerate() {
            let mut values = numbers(grads.len, 10 * self.counts[0] + i as u64);
            if bad && i == 0 {
                values[1100] = f32::INFINITY;
            }
            let source = encoded(&self.gpu, grads.format, &values).buffer;
            let size = grads.len * grads.format.bytes();
            encoder.copy_buffer_to_buffer(&source, 0, &grads.buffer, grads.offset, size);
        }
    }

    /// The bits of everything: the caller's buffers whole, gaps included, and the optimizer's own.
    pub fn bits(&mut self) -> Bits {
        let whole = |(name, buffer): &(String, Buffer)| (name.clone(), View::f32(buffer));
        let mut all: Vec<(String, View)> = self.buffers.iter().map(whole).collect();
        let slots = slots(&self.case.group);
        for name in &self.names {
            for slot in &slots {
                all.push((format!("{slot} of {name}"), ok(self.optimizer.state_of(name, slot))));
            }
            let master = ok(self.optimizer.master_of(name));
            all.extend(master.map(|view| (format!("master of {name}"), view)));
            let average = ok(self.optimizer.ema_of(name));
            all.extend(average.map(|view| (format!("average of {name}"), view)));
        }
        let (names, views): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let numbers = ok(self.gpu.download_all(&views)).into_iter();
        let bits = numbers.map(|numbers| numbers.into_iter().map(f32::to_bits).collect());
        Bits(names.into_iter().zip(bits).collect())
    }
}

/// The case's group or another of its kind, as it is at this step.
fn group(case: &Case, index: usize, step: u64) -> Group {
    let Group { lr, weight_decay, .. } = case.group;
    let lr = lr * (1.0 + (step % 3) as f64 / 2.0);
    let more = index as f64;
    let (lr, weight_decay) = (lr / (1.0 + 2.0 * more), weight_decay + 0.02 * more);
    // A schedule stays, where there is one.
    Group { lr, weight_decay, ..case.group.clone() }
}

/// Bits of buffers, each with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Bits(Vec<(String, Vec<u32>)>);

impl Bits {
    /// Fails unless all are `expected`, and names the first that differs.
    #[track_caller]
    pub fn assert_are(&self, expected: &Self, what: &str) {
        assert_eq!(self.0.len(), expected.0.len(), "{what}");
        for ((name, found), (_, expected)) in self.0.iter().zip(&expected.0) {
            assert_eq!(found.len(), expected.len(), "{what}: {name}");
            let pairs = found.iter().zip(expected);
            let different = pairs.enumerate().find(|(_, (found, expected))| found != expected);
            assert!(different.is_none(), "{what}: {name}: {different:x?}");
        }
    }
}
