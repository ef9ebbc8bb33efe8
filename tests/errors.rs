//! Wrong input, one row each, with the exact message. Nothing runs, so no GPU is needed: the noop
//! backend validates everything else wgpu is told.

use support::ByName;
use support::noop::device;
use wgpu_optim::wgpu::{Buffer, BufferDescriptor, BufferUsages, Device, Limits};
use wgpu_optim::{
    Adagrad, Adam, Error, Group, GroupId, Optimizer, ReduceOnPlateau, RmsProp, Schedule, Sgd, View,
};

fn buffer(device: &Device, size: u64, usage: BufferUsages) -> Buffer {
    let label = Some("test");
    device.create_buffer(&BufferDescriptor { label, size, usage, mapped_at_creation: false })
}

/// An optimizer with a parameter `w` at bytes 0..400 of its buffer and a gradient at 0..400 of another.
struct Setup {
    device: Device,
    optimizer: Optimizer,
    group: GroupId,
    params: Buffer,
    grads: Buffer,
}

fn setup() -> Setup {
    let (device, _queue) = device(Limits::default());
    let [params, grads] = [(); 2].map(|()| buffer(&device, 1024, BufferUsages::STORAGE));
    let mut optimizer = Optimizer::new(&device);
    let added = optimizer.add_group(Group::adam(1e-3)).and_then(|group| {
        let (param, grad) = (View::f32(&params).range(0..100), View::f32(&grads).range(0..100));
        optimizer.add_param(group, "w", param, grad)?;
        Ok(group)
    });
    let group = added.unwrap_or_else(|e| panic!("{e}"));
    Setup { device, optimizer, group, params, grads }
}

/// The message of adding a parameter `b`, after which the optimizer must be as before.
fn add(views: impl FnOnce(&Setup) -> (View, View)) -> String {
    let mut s = setup();
    let (param, grad) = views(&s);
    let error = s.optimizer.add_param(s.group, "b", param, grad);
    let message = error.expect_err("it must be refused").to_string();
    assert_eq!(s.optimizer.names().collect::<Vec<_>>(), ["w"]);
    // A refused parameter has claimed nothing.
    let (param, grad) = (View::f32(&s.params).range(100..104), View::f32(&s.grads).range(100..104));
    assert!(s.optimizer.add_param(s.group, "b", param, grad).is_ok());
    message
}

#[test]
fn views() {
    let p = |s: &Setup, from, to| View::f32(&s.params).range(from..to);
    let g = |s: &Setup, from, to| View::f32(&s.grads).range(from..to);
    let rows = [
        (
            add(|s| (p(s, 120, 120), g(s, 120, 128))),
            "parameter `b` holds 0 elements; it must hold at least 1",
        ),
        (
            add(|s| (p(s, 120, 128), g(s, 128, 120))),
            "gradient of `b` holds 0 elements; it must hold at least 1",
        ),
        (
            add(|s| (p(s, 120, 128), g(s, 120, 127))),
            "parameter `b`: its gradient holds 7 elements, the parameter 8; give both views the same length",
        ),
        (
            add(|s| (View::f32_at(&s.params, 482, 8), g(s, 120, 128))),
            "parameter `b`: its view starts at byte 482, which is not a multiple of 4; move it to byte 480",
        ),
        (
            add(|s| (p(s, 120, 128), View::f32_at(&s.grads, 6, 8))),
            "gradient of `b`: its view starts at byte 6, which is not a multiple of 4; move it to byte 4",
        ),
        (
            add(|s| (p(s, 250, 260), g(s, 120, 130))),
            "parameter `b`: its view ends at byte 1040, its buffer at byte 1024; shorten the view or enlarge the buffer",
        ),
        (
            add(|s| (View::f32_at(&s.params, u64::MAX - 3, u64::MAX), g(s, 120, 130))),
            "parameter `b`: its view ends at byte 92233720368547758072, its buffer at byte 1024; shorten the view or enlarge the buffer",
        ),
        (
            add(|s| (View::f32(&buffer(&s.device, 32, BufferUsages::COPY_DST)), g(s, 120, 128))),
            "parameter `b`: its buffer was created with usage BufferUsages(COPY_DST), which lacks BufferUsages(STORAGE); create it with `usage | BufferUsages(STORAGE)`",
        ),
        (
            add(|s| (p(s, 90, 98), g(s, 120, 128))),
            "parameter `b`: its bytes 360..392 overlap bytes 0..400 of parameter `w` in the same buffer; a step writes parameters, so give each its own range",
        ),
        (
            add(|s| (g(s, 99, 107), g(s, 120, 128))),
            "parameter `b`: its bytes 396..428 overlap bytes 0..400 of the gradient of `w` in the same buffer; a step writes parameters, so give each its own range",
        ),
        (
            add(|s| (p(s, 120, 128), p(s, 99, 107))),
            "gradient of `b`: its bytes 396..428 overlap bytes 0..400 of parameter `w` in the same buffer; a step writes parameters, so give each its own range",
        ),
        (
            add(|s| (p(s, 120, 128), p(s, 127, 135))),
            "parameter `b`: its bytes 480..512 overlap bytes 508..540 of the gradient of `b` in the same buffer; a step writes parameters, so give each its own range",
        ),
    ];
    for (message, expected) in rows {
        assert_eq!(message, expected);
    }
}

#[test]
fn names_groups_and_slots() {
    let Setup { device, mut optimizer, group, params, grads } = setup();
    let (param, grad) = (View::f32(&params).range(120..128), View::f32(&grads).range(120..128));
    let other = Optimizer::new(&device).add_group(Group::sgd(0.1));
    let second =
        optimizer.add_group(Group::sgd(0.1)).and_then(|_| optimizer.add_group(Group::sgd(0.1)));
    let Ok(second) = second else { panic!("groups") };
    let mut elsewhere = Optimizer::new(&device);
    let rows = [
        (
            optimizer.add_param(group, "w", param.clone(), grad.clone()).err(),
            "parameter `w`: this optimizer already has a parameter of that name, of 100 elements; names address state, so give each its own",
        ),
        (
            elsewhere.add_param(second, "b", param, grad).err(),
            "no group 2; this optimizer has 0, and a `GroupId` is of use only to the optimizer that returned it",
        ),
        (
            Optimizer::new(&device).group(group).map(|_| ()).err(),
            "no group 0; this optimizer has 0, and a `GroupId` is of use only to the optimizer that returned it",
        ),
        (
            other.and_then(|id| optimizer.group(id).map(|_| ())).err(),
            "no group 0; this optimizer has 3, and a `GroupId` is of use only to the optimizer that returned it",
        ),
        (
            elsewhere.group(second).map(|_| ()).err(),
            "no group 2; this optimizer has 0, and a `GroupId` is of use only to the optimizer that returned it",
        ),
        (optimizer.state_of("v", "exp_avg").err(), "no parameter `v`; this optimizer knows `w`"),
        (
            elsewhere.state_of("v", "exp_avg").err(),
            "no parameter `v`; this optimizer knows nothing",
        ),
        (
            optimizer.state_of("w", "momentum_buffer").err(),
            "parameter `w`: rule `adam` keeps no `momentum_buffer`; it keeps `exp_avg`, `exp_avg_sq`",
        ),
        (
            optimizer.set_group(group, Group::rmsprop(1e-3)).err(),
            "group 0: rule `adam` keeps `exp_avg`, `exp_avg_sq`, rule `rmsprop` `square_avg`; parameters keep their state, so add a group for the new rule and new parameters to it",
        ),
        (
            optimizer.set_lr(f64::NAN).err(),
            "the learning rate is NaN; it must be a finite f32 number, 0 or more",
        ),
    ];
    for (error, expected) in rows {
        assert_eq!(error.map(|e| e.to_string()).as_deref(), Some(expected));
    }
    assert!(
        optimizer.group(group).is_ok_and(|group| group.lr == 1e-3),
        "a refused rate changes nothing"
    );
}

#[test]
fn gradients_given_later() {
    let Setup { mut optimizer, params, grads, .. } = setup();
    let Ok(w) = optimizer.param("w") else { panic!("`w` is there") };
    let rows = [
        (
            optimizer.set_grad(w, View::f32(&grads).range(0..99)),
            "parameter `w`: its gradient holds 99 elements, the parameter 100; give both views the same length",
        ),
        (
            optimizer.set_grad(w, View::f32(&params).range(50..150)),
            "gradient of `w`: its bytes 200..600 overlap bytes 0..400 of parameter `w` in the same buffer; a step writes parameters, so give each its own range",
        ),
        (
            optimizer.set_grad(w, View::f32(&grads).range(200..300)),
            "gradient of `w`: its view ends at byte 1200, its buffer at byte 1024; shorten the view or enlarge the buffer",
        ),
    ];
    for (error, expected) in rows {
        assert_eq!(error.map_err(|e| e.to_string()), Err(expected.to_owned()));
    }
}

#[test]
fn what_a_gradient_occupied_is_free_once_it_has_moved() {
    let Setup { mut optimizer, group, grads, params, .. } = setup();
    let Ok(w) = optimizer.param("w") else { panic!("`w` is there") };
    let (old, grad) = (View::f32(&grads).range(50..60), View::f32(&params).range(200..210));
    assert!(optimizer.add_param(group, "b", old.clone(), grad.clone()).is_err());
    assert!(optimizer.set_grad(w, View::f32(&grads).range(156..256)).is_ok());
    assert_eq!(optimizer.add_param(group, "b", old, grad).map_err(|e| e.to_string()).err(), None);
}

#[test]
fn buffers_that_cannot_be_bound() {
    let Setup { device, mut optimizer, group, grads, .. } = setup();
    let state = optimizer.state_of("w", "exp_avg").unwrap_or_else(|e| panic!("{e}"));
    let free = View::f32(&grads).range(120..220);
    let message = optimizer.add_param(group, "b", state.clone(), free.clone());
    assert_eq!(
        message.map_err(|e| e.to_string()).err().as_deref(),
        Some(
            "parameter `b`: its buffer is the state this optimizer keeps; a step writes that, so give it another buffer"
        )
    );
    let Ok(w) = optimizer.param("w") else { panic!("`w` is there") };
    assert!(matches!(optimizer.set_grad(w, state), Err(Error::OwnState { .. })));

    let gone = buffer(&device, 1024, BufferUsages::STORAGE);
    gone.destroy();
    let gone = optimizer.add_param(group, "b", View::f32(&gone).range(0..100), free);
    let message = gone.map_err(|e| e.to_string()).err().unwrap_or_default();
    let expected = "parameter `b`: the optimizer's device cannot bind its buffer, so it is another device's or destroyed; create it on the device given to `Optimizer::new` (";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_long_gradient_is_seen_behind_shorter_ones() {
    let Setup { mut optimizer, group, grads, device, .. } = setup();
    let others = buffer(&device, 1024, BufferUsages::STORAGE);
    // Gradients may overlap each other, so the nearest to start is not the only one to look at.
    let short = optimizer.add_param(
        group,
        "short",
        View::f32(&others).range(0..1),
        View::f32(&grads).range(10..11),
    );
    assert!(short.is_ok());
    let (param, grad) = (View::f32(&grads).range(90..95), View::f32(&others).range(10..15));
    let message = optimizer.add_param(group, "b", param, grad).map_err(|e| e.to_string());
    let expected = "parameter `b`: its bytes 360..380 overlap bytes 0..400 of the gradient of `w` in the same buffer; a step writes parameters, so give each its own range";
    assert_eq!(message.err().as_deref(), Some(expected));
}

#[test]
#[rustfmt::skip]
fn hyper_parameters() {
    let adam = |adam: Adam| Group::new(1e-3, adam);
    let rmsprop = |rmsprop: RmsProp| Group::new(1e-3, rmsprop);
    let sgd = |sgd: Sgd| Group::new(1e-3, sgd);
    let adagrad = |adagrad: Adagrad| Group::new(1e-3, adagrad);
    let fraction = "at least 0 and below 1 (also when rounded to f32)";
    let non_negative = "a finite f32 number, 0 or more";
    let rows = [
        (Group::adam(f64::NAN), format!("`adam`: lr is NaN; it must be {non_negative}")),
        (Group::adam(-1e-3), format!("`adam`: lr is -0.001; it must be {non_negative}")),
        (Group::sgd(f64::INFINITY), format!("`sgd`: lr is inf; it must be {non_negative}")),
        (Group::sgd(1e39), format!("`sgd`: lr is {}; it must be {non_negative}", 1e39)),
        (Group::adamw(1e-3).weight_decay(-0.1), format!("`adam`: weight_decay is -0.1; it must be {non_negative}")),
        (Group::adamw(1e38).weight_decay(1e2), format!("`adam`: lr × weight_decay is {}; it must be {non_negative}", 1e38 * 1e2)),
        (adam(Adam { betas: [1.0, 0.999], ..Adam::default() }), format!("`adam`: betas[0] is 1; it must be {fraction}")),
        (adam(Adam { betas: [0.9, -0.1], ..Adam::default() }), format!("`adam`: betas[1] is -0.1; it must be {fraction}")),
        (adam(Adam { betas: [0.9, f64::NAN], ..Adam::default() }), format!("`adam`: betas[1] is NaN; it must be {fraction}")),
        (adam(Adam { betas: [0.9, 0.99999999], ..Adam::default() }), format!("`adam`: betas[1] is 0.99999999; it must be {fraction}")),
        (adam(Adam { eps: -1.0, ..Adam::default() }), format!("`adam`: eps is -1; it must be {non_negative}")),
        (adam(Adam { eps_root: f64::NAN, ..Adam::default() }), format!("`adam`: eps_root is NaN; it must be {non_negative}")),
        (adam(Adam { eps_root: 0.0, ..Adam::default() }), "`adam`: eps is 0 and eps_root is 0, so a gradient of 0 would be divided by 0; make one of them at least 1.2e-38, the smallest normal f32".to_owned()),
        (rmsprop(RmsProp { eps: 1e-40, eps_root: 0.0, ..RmsProp::default() }), format!("`rmsprop`: eps is {} and eps_root is 0, so a gradient of 0 would be divided by 0; make one of them at least 1.2e-38, the smallest normal f32", 1e-40)),
        (rmsprop(RmsProp { alpha: 1.0, ..RmsProp::default() }), format!("`rmsprop`: alpha is 1; it must be {fraction}")),
        (rmsprop(RmsProp { momentum: -0.5, ..RmsProp::default() }), format!("`rmsprop`: momentum is -0.5; it must be {non_negative}")),
        (sgd(Sgd { momentum: f64::NAN, ..Sgd::default() }), format!("`sgd`: momentum is NaN; it must be {non_negative}")),
        (sgd(Sgd { momentum: 0.9, dampening: f64::NAN, ..Sgd::default() }), "`sgd`: dampening is NaN; it must be a finite f32 number".to_owned()),
        (sgd(Sgd { nesterov: true, ..Sgd::default() }), "`sgd`: nesterov needs momentum above 0 and dampening 0; change those or leave nesterov off".to_owned()),
        (adagrad(Adagrad { lr_decay: -1.0, ..Adagrad::default() }), format!("`adagrad`: lr_decay is -1; it must be {non_negative}")),
        (adagrad(Adagrad { initial_accumulator_value: -0.1, ..Adagrad::default() }), format!("`adagrad`: initial_accumulator_value is -0.1; it must be {non_negative}")),
    ];
    let (device, _queue) = device(Limits::default());
    for (group, expected) in rows {
        let error = Optimizer::new(&device).add_group(group.clone()).expect_err(&expected);
        assert_eq!(error.to_string(), expected);
        let mut optimizer = Optimizer::new(&device);
        let Ok(id) = optimizer.add_group(group.clone().rule(Adam::default()).lr(1.0).weight_decay(0.0)) else {
            panic!("a group at its defaults")
        };
        assert!(optimizer.set_group(id, group).is_err(), "{expected}");
    }
}

/// `tests/schedules.rs` has every key.
#[test]
fn schedules() {
    let nested = Schedule::warmup(10, 0.0, Schedule::linear(1.0, -0.5, 10)).check();
    let expected =
        "schedule `linear`: `then.end` is -0.5; it must be a finite f32 number, 0 or more";
    assert_eq!(nested.map_err(|e| e.to_string()), Err(expected.to_owned()));
    let plateau = ReduceOnPlateau { factor: 1.5, ..ReduceOnPlateau::new(0.1) }.check();
    let expected =
        "schedule `reduce_on_plateau`: `factor` is 1.5; it must be at least 0 and below 1";
    assert_eq!(plateau.map_err(|e| e.to_string()), Err(expected.to_owned()));
}

#[test]
fn limits_too_small() {
    let smaller = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        let error = Optimizer::new(&device(limits).0).add_group(Group::adam(1e-3));
        error.map_err(|e: Error| e.to_string()).map(|_| ())
    };
    let request = "request the adapter's own limits when creating the device";
    let rows = [
        (
            smaller(|l| l.max_storage_buffers_per_shader_stage = 4),
            format!(
                "the device's max_storage_buffers_per_shader_stage is 4, rule `adam` needs 5; {request}"
            ),
        ),
        (
            smaller(|l| l.max_storage_buffer_binding_size = 256),
            format!(
                "the device's max_storage_buffer_binding_size is 256, rule `adam` needs 512; {request}"
            ),
        ),
        (
            smaller(|l| l.max_uniform_buffer_binding_size = 128),
            format!(
                "the device's max_uniform_buffer_binding_size is 128, rule `adam` needs 8192; {request}"
            ),
        ),
    ];
    for (error, expected) in rows {
        assert_eq!(error, Err(expected));
    }
}

#[test]
fn more_groups_than_one_binding_holds() {
    let limits = Limits { max_storage_buffer_binding_size: 1024, ..Limits::default() };
    let (device, _queue) = device(limits);
    let [params, grads] = [(); 2].map(|()| buffer(&device, 1024, BufferUsages::STORAGE));
    let mut optimizer = Optimizer::new(&device);
    let mut add = |i: u64| {
        let group = optimizer.add_group(Group::sgd(0.1))?;
        let view = |buffer| View::f32(buffer).range(i..i + 1);
        optimizer.add_param(group, &format!("w{i}"), view(&params), view(&grads))
    };
    assert!((0..4).all(|i| add(i).is_ok()), "256 bytes a group");
    let message = add(4).map_err(|e| e.to_string());
    let expected = "the device's max_storage_buffer_binding_size is 1024, an optimizer of 5 groups needs 1280; request the adapter's own limits when creating the device";
    assert_eq!(message.err().as_deref(), Some(expected));
}
