//! The bindings of programs over random layouts, on a device that computes nothing: wgpu validates what it can.

use proptest::prelude::*;
use support::noop::device;

use super::Optimizer;
use crate::{Adagrad, Control, Error, Format, Group, GroupId, ParamId, Sgd, View};

/// A view to be placed: its buffer, the elements before it, whether it begins where a binding may, and how it is
/// stored.
type Place = (usize, u64, bool, usize);

/// A parameter: its length, its group, and the places of itself, its gradient, its copy, and its next gradient.
type Row = (u64, usize, Place, Place, Option<Place>, Option<Place>);

const BUFFERS: usize = 3;

fn place() -> impl Strategy<Value = Place> {
    // The first buffer, more often than others, holds everything.
    let buffer = prop_oneof![3 => Just(0), 1 => 0..BUFFERS];
    (buffer, 0u64..6, any::<bool>(), 0..Format::ALL.len())
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let other = || prop::option::of(place());
    prop::collection::vec((1u64..200, 0usize..3, place(), place(), other(), other()), 1..10)
}

/// The buffers of a layout, filled from their starts.
struct Room {
    buffers: Vec<wgpu::Buffer>,
    ends: Vec<u64>,
}

impl Room {
    fn new(device: &wgpu::Device) -> Self {
        let buffer = |_| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("test"),
                size: 1 << 16,
                usage: wgpu::BufferUsages::STORAGE,
                mapped_at_creation: false,
            })
        };
        Self { buffers: (0..BUFFERS).map(buffer).collect(), ends: vec![0; BUFFERS] }
    }

    fn view(&mut self, (buffer, gap, aligned, format): Place, len: u64) -> View {
        let format = Format::ALL[format];
        let size = format.bytes();
        let end = self.ends[buffer];
        let start = if aligned { end.next_multiple_of(256) } else { end.next_multiple_of(size) };
        let first = start / size + gap;
        self.ends[buffer] = (first + len) * size;
        View::whole(&self.buffers[buffer], format).range(first..first + len)
    }
}

fn groups(optimizer: &mut Optimizer) -> Vec<GroupId> {
    let momentum = Sgd { momentum: 0.9, ..Sgd::default() };
    let all = [Group::sgd(0.1), Group::adam(0.1).ema(0.9), Group::new(0.1, momentum)];
    all.into_iter()
        .map(|group| optimizer.add_group(group).unwrap_or_else(|e| panic!("{e}")))
        .collect()
}

/// Whether a view was taken. It may be too near to another of the same parameter, or its format of no use.
fn is_taken<T>(outcome: Result<T, Error>) -> Option<T> {
    match outcome {
        Ok(taken) => Some(taken),
        Err(Error::TooNear { .. } | Error::CopyFormat { .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// Records a step, and adds gradients up for it if they are to be.
fn step(device: &wgpu::Device, optimizer: &mut Optimizer, summed: bool) {
    let mut encoder = device.create_command_encoder(&Default::default());
    if summed {
        optimizer.accumulate(&mut encoder).unwrap_or_else(|e| panic!("{e}"));
    }
    optimizer.step(&mut encoder);
    drop(encoder.finish());
}

fn check(rows: Vec<Row>, control: Control) -> Result<[usize; 2], TestCaseError> {
    let (device, _queue) = device(wgpu::Limits::default());
    let (mut room, mut optimizer) = (Room::new(&device), Optimizer::new(&device));
    let groups = groups(&mut optimizer);
    optimizer.set_control(control).unwrap_or_else(|e| panic!("{e}"));
    let mut moved: Vec<(ParamId, View)> = Vec::new();
    for (i, (len, group, param, grad, copy, next)) in rows.into_iter().enumerate() {
        let (param, grad) = (room.view(param, len), room.view(grad, len));
        let added = optimizer.add_param(groups[group], &i.to_string(), param, grad);
        let Some(id) = is_taken(added) else { continue };
        if let Some(copy) = copy {
            is_taken(optimizer.set_copy(id, Some(room.view(copy, len))));
        }
        moved.extend(next.map(|next| (id, room.view(next, len))));
    }
    let mut kinds = [0, 0];
    let mut look = |optimizer: &mut Optimizer, what: &str| {
        prop_assert_eq!(optimizer.program.overlap(), None, "{}", what);
        prop_assert!(optimizer.is_up_to_date(), "{}", what);
        let found = optimizer.program.kinds();
        kinds = [kinds[0] + found[0], kinds[1] + found[1]];
        Ok(())
    };
    for summed in [false, true] {
        step(&device, &mut optimizer, summed);
        look(&mut optimizer, "at first")?;
    }
    for (id, next) in moved {
        is_taken(optimizer.set_grad(id, next));
        for summed in [false, true] {
            step(&device, &mut optimizer, summed);
            look(&mut optimizer, "after a move")?;
        }
        optimizer.set_grads([(id, None)]).unwrap_or_else(|e| panic!("{e}"));
        step(&device, &mut optimizer, false);
        look(&mut optimizer, "without a gradient")?;
    }
    Ok(kinds)
}

/// No two bindings of a launch overlap of which one is written: browsers refuse that, and SPIR-V lets a driver assume
/// it.
#[test]
fn no_two_bindings_overlap_that_are_written() {
    let control = (any::<bool>(), any::<bool>(), any::<bool>());
    let seen = std::cell::Cell::new([0, 0]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&(rows(), control), |(rows, (zero_grad, skip_nonfinite, clips))| {
        let clip_norm = clips.then_some(1.0);
        let control = Control { zero_grad, skip_nonfinite, clip_norm, ..Control::default() };
        let found = check(rows, control)?;
        let all = seen.get();
        seen.set([all[0] + found[0], all[1] + found[1]]);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    assert!(seen.get().into_iter().all(|launches| launches > 100), "{seen:?}");
}

/// However many groups have scalars that never settle, and whatever the step, the GPU's list of them is bounded.
#[test]
fn scalars_by_the_step_take_no_more_than_16_mib() {
    let (device, _queue) = device(wgpu::Limits::default());
    for count in [1, 300, 2000] {
        let mut optimizer = Optimizer::new(&device);
        let control = Control { skip_nonfinite: true, ..Control::default() };
        optimizer.set_control(control).unwrap_or_else(|e| panic!("{e}"));
        let mut room = Room::new(&device);
        let falling = |i| Adagrad { lr_decay: 0.1 + f64::from(i) / 1e5, ..Adagrad::default() };
        let mut groups = Vec::new();
        for i in 0..count {
            let group =
                optimizer.add_group(Group::new(0.1, falling(i))).unwrap_or_else(|e| panic!("{e}"));
            let views = [(0, 0, false, 0), (1, 0, false, 0)].map(|place| room.view(place, 3));
            let [param, grad] = views;
            let added = optimizer.add_param(group, &i.to_string(), param, grad);
            added.unwrap_or_else(|e| panic!("{e}"));
            groups.push(group);
        }
        for steps in [0, 10_000, 1_000_000] {
            for group in &groups {
                optimizer.set_steps(*group, steps).unwrap_or_else(|e| panic!("{e}"));
            }
            step(&device, &mut optimizer, false);
            let bytes = optimizer.program.series_bytes();
            assert!(bytes > 0 && bytes <= 16 << 20, "{count} groups at {steps}: {bytes} bytes");
        }
    }
}

/// Groups of one rule of this crate with the same options share their scalars, whatever learning rate each has.
#[test]
fn equal_rules_share_scalars_by_the_step() {
    let (device, _queue) = device(wgpu::Limits::default());
    let bytes = |rules: &[f64]| {
        let mut optimizer = Optimizer::new(&device);
        let control = Control { skip_nonfinite: true, ..Control::default() };
        optimizer.set_control(control).unwrap_or_else(|e| panic!("{e}"));
        let mut room = Room::new(&device);
        for (i, lr_decay) in (0_u8..).zip(rules) {
            let rule = Adagrad { lr_decay: *lr_decay, ..Adagrad::default() };
            let group = Group::new(0.1 + f64::from(i), rule);
            let group = optimizer.add_group(group).unwrap_or_else(|e| panic!("{e}"));
            let views = [(0, 0, false, 0), (1, 0, false, 0)].map(|place| room.view(place, 3));
            let [param, grad] = views;
            let added = optimizer.add_param(group, &i.to_string(), param, grad);
            added.unwrap_or_else(|e| panic!("{e}"));
        }
        step(&device, &mut optimizer, false);
        optimizer.program.series_bytes()
    };
    let one = bytes(&[0.1]);
    assert_eq!(bytes(&[0.1, 0.1, 0.1]), one);
    assert_eq!(bytes(&[0.1, 0.2, 0.1]), 2 * one);
}

/// A first parameter of more than a quarter as many elements as the largest buffer has bytes is no reason to begin
/// another slab.
#[test]
fn no_slab_is_empty() {
    let limits = wgpu::Limits { max_buffer_size: 1 << 16, ..wgpu::Limits::default() };
    let (device, _queue) = device(limits);
    let mut room = Room::new(&device);
    let mut optimizer = Optimizer::new(&device);
    let Some(half) = Format::ALL.iter().position(|format| format.bytes() == 2) else {
        panic!("no format of 16 bits")
    };
    let group = Group::adam(0.1).state_format(Format::ALL[half]);
    let group = optimizer.add_group(group).unwrap_or_else(|e| panic!("{e}"));
    let [param, grad] = [0, 1].map(|buffer| room.view((buffer, 0, false, half), (1 << 14) + 100));
    optimizer.add_param(group, "w", param, grad).unwrap_or_else(|e| panic!("{e}"));
    step(&device, &mut optimizer, false);
    assert_eq!(optimizer.model.slabs.len(), 1);
}
