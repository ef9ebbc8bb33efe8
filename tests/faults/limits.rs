//! Limits: whatever was accepted is valid for wgpu, at any step. An error that nobody captures panics here.

use support::noop::device;
use support::ok;
use wgpu_optim::wgpu::{Buffer, BufferDescriptor, BufferUsages, Device, Limits};
use wgpu_optim::{
    Adagrad, Adam, Control, Error, Group, GroupId, LossScale, Optimizer, ParamId, Scalar, View,
};

use super::foreign::Foreign;

const MIB: u64 = 1 << 20;

fn limits(binding: u64) -> Limits {
    Limits { max_storage_buffer_binding_size: binding, ..Limits::default() }
}

fn buffer(device: &Device, elements: u64) -> Buffer {
    device.create_buffer(&BufferDescriptor {
        label: Some("test"),
        size: elements * 4,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    })
}

fn skipping() -> Control {
    Control { skip_nonfinite: true, ..Control::default() }
}

/// Rules of one kind that have no scalar in common.
fn falling(i: u64) -> Group {
    Group::new(0.1, Adagrad { lr_decay: 0.1 + i as f64 / 1e5, ..Adagrad::default() })
}

/// Rules of one kind that differ.
fn adam(i: u64) -> Group {
    let beta = 0.999 - i as f64 / 1e5;
    Group::new(0.1, Adam { betas: [0.9, beta], ..Adam::default() })
}

/// An optimizer with a group and a parameter of it, so many times, all in one arena.
struct Many {
    device: Device,
    optimizer: Optimizer,
    ids: Vec<(GroupId, ParamId)>,
    other: Buffer,
}

impl Many {
    /// Up to `count` of them, or the error at the one that is refused.
    fn new(device: &Device, count: u64, group: impl Fn(u64) -> Group) -> Result<Self, Error> {
        let [params, grads, other] = [(); 3].map(|()| buffer(device, 4 * count));
        let mut optimizer = Optimizer::new(device);
        let mut ids = Vec::new();
        for i in 0..count {
            let id = optimizer.add_group(group(i))?;
            let view = |buffer| View::f32(buffer).range(4 * i..4 * i + 3);
            let name = i.to_string();
            ids.push((id, optimizer.add_param(id, &name, view(&params), view(&grads))?));
        }
        Ok(Self { device: device.clone(), optimizer, ids, other })
    }

    fn steps(&mut self, count: u64) {
        for _ in 0..count {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            self.optimizer.step(&mut encoder);
            drop(encoder.finish());
        }
    }

    /// Steps of every kind: with gradients that stay and that move, and with sums.
    fn all_kinds(&mut self) -> Result<(), Error> {
        self.steps(2);
        let mut encoder = self.device.create_command_encoder(&Default::default());
        self.optimizer.accumulate(&mut encoder)?;
        self.optimizer.step(&mut encoder);
        // Some move, so that there are both kinds of launches.
        let moved = self.ids.iter().enumerate().step_by(3).map(|(i, (_, param))| {
            let at = 4 * i as u64;
            (*param, Some(View::f32(&self.other).range(at..at + 3)))
        });
        self.optimizer.set_grads(moved.collect::<Vec<_>>())?;
        self.optimizer.step(&mut encoder);
        drop(encoder.finish());
        Ok(())
    }
}

/// Either everything works, or the error tells of a limit.
fn refused_or_valid(outcome: Result<(), Error>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(Error::Limit { .. } | Error::TooManyGroups { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn scalars_that_never_settle_fit_a_binding_of_1_mib() {
    let (device, _queue) = device(limits(MIB));
    for (groups, steps) in [(32, 5000), (300, 600)] {
        let mut many = ok(Many::new(&device, groups, falling));
        ok(many.optimizer.set_control(skipping()));
        many.steps(steps);
        for late in [530_000, 1 << 31] {
            for (group, _) in many.ids.clone() {
                ok(many.optimizer.set_steps(group, late));
            }
            many.steps(600);
        }
    }
}

/// Blocks of scalars come in whole windows, and a row of each cohort's stands behind them.
#[test]
fn groups_up_to_the_limit_are_refused_or_valid() {
    // 4 100 blocks are 1 MiB and 1 KiB; whole windows of them, or with rows behind them, are more.
    for (binding, buffers) in [(MIB + 1024, 256 * MIB), (MIB, MIB), (MIB + 1024, MIB + 1024)] {
        let small = Limits { max_buffer_size: buffers, ..limits(binding) };
        let (device, _queue) = device(small);
        let mut valid = 0;
        for groups in [3855, 3856, 4096, 4100] {
            for controlled in [false, true] {
                let outcome = Many::new(&device, groups, adam).and_then(|mut many| {
                    if controlled {
                        many.optimizer.set_control(skipping())?;
                    }
                    many.all_kinds()
                });
                valid += u32::from(refused_or_valid(outcome));
            }
        }
        assert!(valid >= 2, "bindings of {binding} bytes: only {valid} are valid");
    }
}

/// Every scalar that depends on the step has a row in a table, too.
#[test]
fn many_scalars_of_many_groups_are_refused_or_valid() {
    let (device, _queue) = device(limits(MIB));
    let many_scalars = |_| {
        let hyper = |_, own: Vec<Scalar>| {
            let more = (own.len()..44).map(|_| Scalar::by_step("more"));
            own.iter().copied().chain(more).collect()
        };
        let text = include_str!("many_scalars.wgsl");
        let rule = Foreign { text: Some(text), hyper, ..Foreign::new(Adagrad::default()) };
        Group::new(0.1, rule)
    };
    for groups in [100, 2000] {
        let outcome = Many::new(&device, groups, many_scalars).and_then(|mut many| {
            many.optimizer.set_control(skipping())?;
            many.steps(3);
            many.all_kinds()
        });
        let valid = refused_or_valid(outcome);
        assert!(valid || groups > 1000, "{groups} groups are refused");
    }
    // Rules that change to one of that kind later.
    let mut many = ok(Many::new(&device, 2000, |_| Group::new(0.1, Adagrad::default())));
    ok(many.optimizer.set_control(skipping()));
    many.steps(1);
    for (group, _) in many.ids.clone() {
        if !refused_or_valid(many.optimizer.set_group(group, many_scalars(0))) {
            break;
        }
    }
    many.steps(2);
}

/// A table of chunks has its launch before it in one buffer.
#[test]
fn tables_fit_the_largest_buffer() {
    let small = Limits { max_buffer_size: 1 << 16, ..limits(1 << 16) };
    let (device, _queue) = device(small);
    // More single elements than rows fit a table.
    let [params, grads] = [(); 2].map(|()| buffer(&device, (1 << 16) / 4));
    for moves in [false, true] {
        let mut optimizer = Optimizer::new(&device);
        let group = ok(optimizer.add_group(Group::sgd(0.1)));
        let mut ids = Vec::new();
        for i in 0..5000 {
            let at = 3 * i + 1;
            let view = |buffer| View::f32(buffer).range(at..at + 1);
            ids.push(ok(optimizer.add_param(group, &i.to_string(), view(&params), view(&grads))));
        }
        for _ in 0..2 {
            let mut encoder = device.create_command_encoder(&Default::default());
            optimizer.step(&mut encoder);
            drop(encoder.finish());
            if moves {
                let none = ids.iter().step_by(2).map(|id| (*id, None));
                ok(optimizer.set_grads(none.collect::<Vec<_>>()));
            }
        }
    }
}

/// Partial sums of a norm: one or two for each of many small parameters.
#[test]
fn partial_sums_fit_a_binding_or_are_refused() {
    let (device, _queue) = device(limits(MIB));
    let count = 40_000;
    let [params, grads] = [(); 2].map(|()| buffer(&device, 6 * count));
    let control = Control { clip_norm: Some(1.0), ..Control::default() };
    let what = "the norm of all gradients";
    for first in [false, true] {
        let mut optimizer = Optimizer::new(&device);
        let group = ok(optimizer.add_group(Group::sgd(0.1)));
        if first {
            ok(optimizer.set_control(control));
        }
        let added = (0..count).try_for_each(|i| {
            let view = |buffer| View::f32(buffer).range(6 * i..6 * i + 5);
            optimizer.add_param(group, &i.to_string(), view(&params), view(&grads)).map(|_| ())
        });
        let refused = if first { added } else { optimizer.set_control(control) };
        let error = refused.expect_err("40 000 parameters have 80 000 partial sums of 16 bytes");
        assert!(matches!(&error, Error::Limit { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
        let mut encoder = device.create_command_encoder(&Default::default());
        optimizer.step(&mut encoder);
        drop(encoder.finish());
    }
}

/// Where loss scales, norms and skips begin and end, and parameters are added in between.
#[test]
fn control_that_comes_and_goes_is_valid() {
    let (device, _queue) = device(limits(MIB));
    let mut many = ok(Many::new(&device, 40, falling));
    let dynamic = Control { loss_scale: LossScale::dynamic(), ..Control::default() };
    let clipping = Control { clip_norm: Some(1.0), ..Control::default() };
    for control in [clipping, Control::default(), dynamic, skipping(), Control::default()] {
        ok(many.optimizer.set_control(control));
        ok(many.all_kinds());
    }
}
