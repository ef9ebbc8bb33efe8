//! Splitting under tiny limits, on the noop backend: wgpu validates every binding and dispatch, and
//! what the launches cover is proved by the tests of `src/plan.rs`.

use support::noop::device;
use support::{most_slots, ok};
use wgpu_optim::wgpu::{Buffer, BufferDescriptor, BufferUsages, Device, Limits, Queue};
use wgpu_optim::{Adan, Format, Group, Optimizer, View};

/// Limits of which every one is reached within a few thousand elements.
fn tiny() -> Limits {
    Limits {
        max_storage_buffer_binding_size: 1024,
        max_uniform_buffer_binding_size: 8192,
        max_buffer_size: 1 << 16,
        max_compute_workgroups_per_dimension: 3,
        max_compute_invocations_per_workgroup: 8,
        max_compute_workgroup_size_x: 8,
        max_compute_workgroup_size_y: 8,
        max_compute_workgroup_size_z: 8,
        ..Limits::default()
    }
}

fn buffer(device: &Device, elements: u64) -> Buffer {
    device.create_buffer(&BufferDescriptor {
        label: Some("test"),
        size: elements * 4,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    })
}

/// Records a step over views of these lengths in one arena; returns the dispatches.
fn dispatches((device, _): &(Device, Queue), lengths: &[u64], shift: u64) -> usize {
    let total: u64 = lengths.iter().map(|len| len + 1).sum();
    let [params, grads] = [(); 2].map(|()| buffer(device, total + shift));
    let mut optimizer = Optimizer::new(device);
    let group = ok(optimizer.add_group(most_slots()));
    let mut at = 0;
    for (i, len) in lengths.iter().enumerate() {
        let param = View::f32(&params).range(at..at + len);
        let grad = View::f32(&grads).range(at + shift..at + shift + len);
        ok(optimizer.add_param(group, &format!("w{i}"), param, grad));
        at += len + 1;
    }
    let mut encoder = device.create_command_encoder(&Default::default());
    optimizer.step(&mut encoder);
    // Validation errors panic here, as nothing else handles them.
    drop(encoder.finish());
    optimizer.dispatches()
}

#[test]
fn views_longer_than_a_binding_are_split() {
    // A binding of 1024 bytes may start 256 early: 192 elements each.
    assert_eq!(dispatches(&device(tiny()), &[192 * 4], 0), 4);
    assert_eq!(dispatches(&device(tiny()), &[192 * 4 + 1], 0), 5);
    assert_eq!(dispatches(&device(Limits::default()), &[192 * 4 + 1], 0), 2);
}

#[test]
fn grids_larger_than_allowed_are_split() {
    // 2 × 2 workgroups of 8 invocations of four elements each, wherever gradients begin.
    let small = || Limits { max_compute_workgroups_per_dimension: 2, ..tiny() };
    assert_eq!(dispatches(&device(small()), &[128 * 5], 0), 5);
    assert_eq!(dispatches(&device(small()), &[128 * 5], 1), 5);
}

#[test]
fn many_views_under_tiny_limits() {
    let lengths: Vec<u64> = (1..200).map(|i| 1 + i * 7 % 61).collect();
    let (tiny, default) = (device(tiny()), device(Limits::default()));
    for shift in [0, 1, 4, 63] {
        let few = dispatches(&default, &lengths, shift);
        assert!(few <= 2, "{few}");
        assert!(dispatches(&tiny, &lengths, shift) > 20);
    }
}

#[test]
fn a_view_off_a_16_byte_boundary_still_goes_by_quadruples() {
    let (device, queue) = device(Limits::default());
    // Alone at the second element: three loose elements, then one quadruple.
    let [params, grads] = [(); 2].map(|()| buffer(&device, 8));
    let mut optimizer = Optimizer::new(&device);
    let view = |buffer| View::f32(buffer).range(1..8);
    let added = optimizer
        .add_group(Group::adam(1e-3))
        .and_then(|group| optimizer.add_param(group, "w", view(&params), view(&grads)));
    assert!(added.is_ok());
    assert_eq!(optimizer.dispatches(), 2);
    drop(queue);
}

#[test]
fn an_arena_as_large_as_a_buffer_may_be_in_any_order() {
    let limits = Limits { max_buffer_size: 1 << 16, ..Limits::default() };
    let (device, queue) = device(limits);
    let elements = (1_u64 << 16) / 4;
    let [params, grads] = [(); 2].map(|()| buffer(&device, elements));
    let orders: [Vec<u64>; 2] = [(0..elements / 32).collect(), (0..elements / 32).rev().collect()];
    let dispatches = orders.map(|order| {
        let mut optimizer = Optimizer::new(&device);
        let group = ok(optimizer.add_group(Group::adam(1e-3)));
        for i in order {
            // Side by side, each at another phase of 16 bytes than the one before.
            let view = |buffer| View::f32(buffer).range(31 * i..31 * (i + 1));
            ok(optimizer.add_param(group, &i.to_string(), view(&params), view(&grads)));
        }
        // The state is as long at most, or wgpu would refuse it here.
        optimizer.dispatches()
    });
    assert_eq!(dispatches[0], dispatches[1], "the order of adding does not matter");
    drop(queue);
}

#[test]
fn fewer_invocations_than_256() {
    for invocations in [1, 7, 64, 128] {
        let limits = Limits {
            max_compute_invocations_per_workgroup: invocations,
            max_compute_workgroup_size_x: invocations,
            max_compute_workgroup_size_y: 1,
            max_compute_workgroup_size_z: 1,
            ..Limits::default()
        };
        dispatches(&device(limits), &[1, 5000, 3], 0);
    }
}

/// Four slots fit the web's limits, and a copy or an average beside them, but not both.
#[test]
fn what_is_kept_beside_four_slots_is_counted() {
    let (device, _queue) = device(Limits::default());
    let [params, grads, copies] = [(); 3].map(|()| buffer(&device, 8));
    let added = |group: Group, copied: bool| {
        let mut optimizer = Optimizer::new(&device);
        let group = optimizer.add_group(group)?;
        let id = optimizer.add_param(group, "w", View::f32(&params), View::f32(&grads))?;
        let copy = View::whole(&copies, Format::Bf16).range(0..8);
        optimizer.set_copy(id, copied.then_some(copy))
    };
    let adan = || Group::new(1e-3, Adan::default());
    assert_eq!(added(adan(), true), Ok(()));
    assert_eq!(added(adan().ema(0.9), false), Ok(()));
    let error = added(adan().ema(0.9), true).expect_err("it must be refused");
    assert_eq!(
        error.to_string(),
        "the device's max_storage_buffers_per_shader_stage is 8, rule `adan` needs 9; \
         request the adapter's own limits when creating the device"
    );
}
