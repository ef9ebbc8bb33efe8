//! Messages that name what is wrong, and options that mean nothing and may change.

use support::ByName;
use support::noop::device;
use support::{halves, masters, ok};
use wgpu_optim::wgpu::{Buffer, BufferDescriptor, BufferUsages, Device, Limits};
use wgpu_optim::{Control, Error, Format, Group, Optimizer, View};

fn buffer(device: &Device) -> Buffer {
    device.create_buffer(&BufferDescriptor {
        label: Some("test"),
        size: 4096,
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    })
}

/// A rate for all groups is no option of one rule.
#[test]
fn a_wrong_rate_for_all_groups_names_no_rule() {
    let (device, _queue) = device(Limits::default());
    for group in support::one_of_each() {
        let mut optimizer = Optimizer::new(&device);
        let name = group.rule.name();
        ok(optimizer.add_group(group));
        for rate in [f64::NAN, f64::INFINITY, -1.0, 1e39] {
            let message = optimizer.set_lr(rate).expect_err("no rate").to_string();
            assert_eq!(
                message,
                format!("the learning rate is {rate}; it must be a finite f32 number, 0 or more")
            );
            assert!(!message.contains(name));
        }
    }
}

/// An overlap says which of the two a step writes.
#[test]
fn an_overlap_names_what_is_written() {
    let (device, _queue) = device(Limits::default());
    let [params, grads] = [(); 2].map(|()| buffer(&device));
    let mut optimizer = Optimizer::new(&device);
    let group = ok(optimizer.add_group(Group::sgd(0.1)));
    let view = |buffer: &Buffer, from: u64| View::f32(buffer).range(from..from + 10);
    let a = ok(optimizer.add_param(group, "a", view(&params, 0), view(&grads, 0)));
    // Gradients may overlap as long as nobody clears them.
    let b = ok(optimizer.add_param(group, "b", view(&params, 10), view(&grads, 5)));
    let clearing = Control { zero_grad: true, ..Control::default() };
    let cleared = "a step writes the gradients that it clears";
    let told = |outcome: Result<(), Error>, written: &str| {
        let message = outcome.expect_err("an overlap").to_string();
        assert!(message.contains(&format!("{written}, so give each its own range")), "{message}");
    };
    told(optimizer.set_control(clearing), cleared);
    assert_eq!(*optimizer.control(), Control::default());
    ok(optimizer.set_grad(b, view(&grads, 100)));
    ok(optimizer.set_control(clearing));
    told(optimizer.set_grad(b, view(&grads, 5)), cleared);
    let added = optimizer.add_param(group, "c", view(&params, 20), view(&grads, 5));
    told(added.map(|_| ()), cleared);

    for half in halves() {
        let copies = buffer(&device);
        let copy = View::whole(&copies, half).range(0..10);
        ok(optimizer.set_copy(a, Some(copy.clone())));
        told(optimizer.set_copy(b, Some(copy)), "a step writes copies");
        // Words 4 to 13, of which the copy has the first.
        told(optimizer.set_grad(b, view(&copies, 4)), "a step writes copies");
        let added = optimizer.add_param(group, "c", view(&copies, 4), view(&grads, 200));
        told(added.map(|_| ()), "a step writes parameters");
        ok(optimizer.set_copy(a, None));
    }
}

/// Parameters in f32 have no master, whatever their group says.
#[test]
fn a_master_may_change_where_it_means_nothing() {
    let (device, _queue) = device(Limits::default());
    let plain = Group::adam(0.1);
    for (master, format) in masters() {
        for param in [Format::F32, format] {
            let mut optimizer = Optimizer::new(&device);
            let group = ok(optimizer.add_group(plain.clone()));
            let of = || View::whole(&buffer(&device), param).range(0..10);
            ok(optimizer.add_param(group, "w", of(), of()));
            ok(optimizer.prepare());
            let changed = optimizer.set_group(group, plain.clone().master(master));
            if param == Format::F32 {
                ok(changed);
                let mut encoder = device.create_command_encoder(&Default::default());
                optimizer.step(&mut encoder);
                drop(encoder.finish());
                assert_eq!(ok(optimizer.master_of("w")), None);
            } else {
                assert!(matches!(changed, Err(Error::OtherStateFormat { .. })), "{changed:?}");
            }
        }
    }
}
