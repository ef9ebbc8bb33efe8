//! Steps that the GPU counts: recording one costs the same at any step, whatever changes in between.

use support::ByName;
use support::noop::device;
use support::ok;
use wgpu_optim::wgpu::{Buffer, BufferDescriptor, BufferUsages, Device, Limits, Queue};
use wgpu_optim::{
    Adagrad, Control, Formula, Group, GroupId, Optimizer, ParamId, Rule, Scalar, View,
};

use super::foreign::{Calls, Foreign, asked};

/// The step at which recording must cost what it costs at the tenth.
const LATE: u64 = 1_000_000;

/// Calls of `scalars` for one recorded step, at most: the step's own for each cohort, and a few steps to come.
const HANDFUL: u64 = 12;

fn buffer(device: &Device, elements: u64) -> Buffer {
    device.create_buffer(&BufferDescriptor {
        label: Some("test"),
        size: elements * 4,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    })
}

/// An optimizer whose rule counts calls, with two parameters.
struct Counted {
    device: Device,
    // The device does not outlive it.
    _queue: Queue,
    optimizer: Optimizer,
    group: GroupId,
    params: Vec<ParamId>,
    grads: Buffer,
    calls: std::sync::Arc<Calls>,
}

impl Counted {
    fn new<R: Formula + Rule>(rule: Foreign<R>, control: Control) -> Self {
        let (device, queue) = device(Limits::default());
        let calls = rule.calls.clone();
        let mut optimizer = Optimizer::new(&device);
        ok(optimizer.set_control(control));
        let group = ok(optimizer.add_group(Group::new(0.1, rule)));
        let [weights, grads] = [(); 2].map(|()| buffer(&device, 1024));
        let params = (0..2).map(|i| {
            let view = |buffer| View::f32(buffer).range(100 * i..100 * i + 10);
            ok(optimizer.add_param(group, &i.to_string(), view(&weights), view(&grads)))
        });
        let params = params.collect();
        Self { device, _queue: queue, optimizer, group, params, grads, calls }
    }

    /// The calls of `scalars` that recording a step takes.
    fn step(&mut self) -> u64 {
        let before = asked(&self.calls.scalars);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.optimizer.step(&mut encoder);
        drop(encoder.finish());
        asked(&self.calls.scalars) - before
    }

    /// Goes on from another step.
    fn set_steps(&mut self, steps: u64) {
        ok(self.optimizer.set_steps(self.group, steps));
        (0..3).for_each(|_| _ = self.step());
    }

    /// The most calls for one of as many steps as there are changes, each before its step.
    fn most(&mut self, steps: u64, mut change: impl FnMut(&mut Self, u64)) -> u64 {
        let each = (0..steps).map(|i| {
            change(self, i);
            self.step()
        });
        each.max().unwrap_or_default()
    }
}

/// A change that may happen before a step: its name, and how it is made.
type Change = (&'static str, fn(&mut Counted, u64));

fn changes() -> Vec<Change> {
    vec![
        ("nothing", |_, _| {}),
        ("set_grad", |all, i| {
            let place = View::f32(&all.grads).range(300 + i % 7..310 + i % 7);
            ok(all.optimizer.set_grad(all.params[0], place));
        }),
        ("set_grads", |all, i| {
            let place = |at| Some(View::f32(&all.grads).range(at + i % 7..at + 10 + i % 7));
            let moved = [(all.params[0], place(300)), (all.params[1], place(500))];
            ok(all.optimizer.set_grads(moved));
        }),
        ("a gradient that comes and goes", |all, i| {
            let place = (i % 2 == 0).then(|| View::f32(&all.grads).range(300..310));
            ok(all.optimizer.set_grads([(all.params[0], place)]));
        }),
        ("set_control", |all, i| {
            let clip_norm = Some(1.0 + i as f64);
            let control = Control { clip_norm, ..*all.optimizer.control() };
            ok(all.optimizer.set_control(control));
        }),
        ("set_lr", |all, i| ok(all.optimizer.set_lr(1.0 / (2 + i) as f64))),
        ("set_group", |all, i| {
            let group = ok(all.optimizer.group(all.group)).clone();
            ok(all.optimizer.set_group(all.group, group.weight_decay(i as f64 / 100.0)));
        }),
        ("a parameter that is added", |all, i| {
            if i % 300 == 0 {
                let at = 600 + i / 300 * 20;
                let [param, grad] = [(); 2].map(|()| View::f32(&all.grads));
                let (param, grad) = (param.range(at..at + 3), grad.range(at + 64..at + 67));
                ok(all.optimizer.add_param(all.group, &format!("later {i}"), param, grad));
                // Its first steps are nobody else's.
                let calls = all.step();
                assert!(calls < 300, "{calls} calls for a new parameter");
            }
        }),
        ("state", |all, _| _ = ok(all.optimizer.state_of("0", "sum"))),
        ("prepare", |all, _| ok(all.optimizer.prepare())),
    ]
}

fn controls() -> [Control; 3] {
    let plain = Control::default();
    [
        Control { clip_norm: Some(1.0), ..plain },
        Control { skip_nonfinite: true, ..plain },
        Control { clip_norm: Some(1.0), skip_nonfinite: true, ..plain },
    ]
}

fn falling() -> Adagrad {
    Adagrad { lr_decay: 0.1, ..Adagrad::default() }
}

#[test]
fn recording_costs_as_much_at_any_step_after_any_change() {
    for control in controls() {
        for (what, change) in changes() {
            let mut all = Counted::new(Foreign::new(falling()), control);
            (0..3).for_each(|_| _ = all.step());
            all.set_steps(LATE);
            let most = all.most(600, change);
            assert!(most <= HANDFUL, "{what}, {control:?}: {most} calls for one step");
        }
    }
}

/// Rows that are computed anew, because a rate or a rule has changed that is in them, are as many at any step.
#[test]
fn a_window_that_is_made_anew_does_not_grow() {
    let skipping = controls()[1];
    let with_rate = || Foreign {
        hyper: |_, own| own.iter().map(|one| Scalar::by_step_and_rate(one.name)).collect(),
        ..Foreign::new(falling())
    };
    let calls = |steps: u64, rate: f64| {
        let mut all = Counted::new(with_rate(), skipping);
        (0..3).for_each(|_| _ = all.step());
        all.set_steps(steps);
        ok(all.optimizer.set_lr(rate));
        all.step()
    };
    let [early, late, later] = [20_000, LATE, 1 << 31].map(|steps| calls(steps, 0.01));
    assert_eq!((late, later), (early, early));
    // A page of numbers, not the history.
    assert!(early < 10_000, "{early} calls");
}
