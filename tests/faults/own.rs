//! The optimizer's own buffers: a step writes them, so that none may be a parameter, a gradient or a copy.

use support::ByName;
use support::noop::device;
use support::{halves, ok};
use wgpu_optim::wgpu::{BufferDescriptor, BufferUsages, Limits};
use wgpu_optim::{Control, Error, Format, Group, LossScale, Master, Optimizer, View};

#[test]
fn no_buffer_of_its_own_is_taken() {
    let (device, _queue) = device(Limits::default());
    let buffer = || {
        device.create_buffer(&BufferDescriptor {
            label: Some("test"),
            size: 4096,
            usage: BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let mut optimizer = Optimizer::new(&device);
    let Some(half) = halves().find(|half| *half == Format::Bf16) else { panic!("no bf16") };
    let group = Group::adam(0.1).ema(0.9).master(Master::F32);
    let group = ok(optimizer.add_group(group));
    let view = |format| View::whole(&buffer(), format).range(0..64);
    let id = ok(optimizer.add_param(group, "w", view(half), view(half)));
    let plain = ok(optimizer.add_group(Group::sgd(0.1)));
    let other = ok(optimizer.add_param(plain, "v", view(Format::F32), view(Format::F32)));
    let control = Control { loss_scale: LossScale::dynamic(), ..Control::default() };
    ok(optimizer.set_control(control));
    let mut encoder = device.create_command_encoder(&Default::default());
    ok(optimizer.accumulate(&mut encoder));
    optimizer.step(&mut encoder);
    drop(encoder.finish());

    let found = |view: Option<View>| view.unwrap_or_else(|| panic!("the buffer is there"));
    let own = [
        ("the loss scale", found(optimizer.loss_scale())),
        ("a slot", ok(optimizer.state_of("w", "exp_avg"))),
        ("another slot", ok(optimizer.state_of("w", "exp_avg_sq"))),
        ("a master", found(ok(optimizer.master_of("w")))),
        ("an average", found(ok(optimizer.ema_of("w")))),
        ("a sum", found(ok(optimizer.operand_of("w", "sum")))),
    ];
    for (what, view) in own {
        let len = view.len;
        let of = |format| View::whole(&buffer(), format).range(0..len);
        let as_param = optimizer.add_param(plain, "x", view.clone(), of(view.format));
        let as_grad = optimizer.add_param(plain, "x", of(view.format), view.clone());
        let told = [
            ("parameter `x`", as_param.map(|_| ())),
            ("gradient of `x`", as_grad.map(|_| ())),
            ("gradient of `w`", optimizer.set_grad(id, view.clone())),
            ("gradient of `v`", optimizer.set_grads([(other, Some(view.clone()))])),
            ("copy of `v`", optimizer.set_copy(other, Some(view))),
        ];
        for (part, outcome) in told {
            // A loss scale is shorter than the parameter whose gradient it is to be.
            let is_short = matches!(outcome, Err(Error::LengthMismatch { .. })) && len == 1;
            let expected = Error::OwnState { what: part.to_owned() };
            assert!(is_short || outcome == Err(expected), "{what} as {part}: {outcome:?}");
        }
        assert_eq!(optimizer.names().count(), 2);
    }
}
