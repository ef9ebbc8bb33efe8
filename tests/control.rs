//! Clipping, loss scaling and skipping, against the same in f64.

use support::ByName;
use support::{
    COEFFICIENT, bits, close, gpu, numbers, ok, one_of_each_text, read, scaled, slots, stats,
};
use wgpu_optim::headless::Gpu;
use wgpu_optim::{
    Adam, Control, Controller, Error, Group, LossScale, Norm, Optimizer, Reference, Sgd, Stats,
    Trajectory, View,
};

/// Parameters of every kind of place, in two groups, and their gradients.
struct Model {
    optimizer: Optimizer,
    params: Vec<View>,
    grads: Vec<View>,
    groups: [Group; 2],
}

const LENGTHS: [u64; 7] = [1, 4, 7, 1000, 5000, 70_001, 33];

impl Model {
    fn new(gpu: &Gpu, groups: [Group; 2]) -> Self {
        let mut optimizer = Optimizer::new(&gpu.device);
        let ids = groups.clone().map(|group| ok(optimizer.add_group(group)));
        let total: u64 = LENGTHS.iter().map(|len| len + 1).sum();
        let (arena, arena_grads) = (ok(gpu.zeros("w", total)), ok(gpu.zeros("g", total)));
        let (mut params, mut grads, mut at) = (Vec::new(), Vec::new(), 1);
        for (i, &len) in LENGTHS.iter().enumerate() {
            let range = at..at + len;
            let [param, grad] = match i % 3 {
                0 => [&arena, &arena_grads].map(|b| View::f32(b).range(range.clone())),
                1 => [0, 1].map(|_| View::f32(&ok(gpu.zeros("own", len)))),
                // Parameter and gradient in one buffer.
                _ => {
                    let both = ok(gpu.zeros("both", 2 * len.next_multiple_of(64)));
                    let from = len.next_multiple_of(64);
                    [0..len, from..from + len].map(|range| View::f32(&both).range(range))
                }
            };
            at += len + 1;
            ok(optimizer.add_param(ids[i % 2], &format!("w{i}"), param.clone(), grad.clone()));
            gpu.queue.write_buffer(
                &param.buffer,
                param.offset,
                bytemuck::cast_slice(&numbers(len, i as u64)),
            );
            params.push(param);
            grads.push(grad);
        }
        Self { optimizer, params, grads, groups }
    }

    fn step(&mut self, gpu: &Gpu, grads: &[Vec<f32>]) {
        for (view, grad) in self.grads.iter().zip(grads) {
            gpu.queue.write_buffer(&view.buffer, view.offset, bytemuck::cast_slice(grad));
        }
        gpu.step(&mut self.optimizer);
    }

    fn stats(&self, gpu: &Gpu) -> Stats {
        stats(gpu, &self.optimizer)
    }

    /// All parameters and all state, as bits.
    fn bits(&mut self, gpu: &Gpu) -> Vec<Vec<u32>> {
        let mut all: Vec<Vec<u32>> = self.params.iter().map(|view| bits(gpu, view)).collect();
        for (i, name) in (0..LENGTHS.len()).map(|i| (i, format!("w{i}"))) {
            for slot in slots(&self.groups[i % 2]) {
                all.push(bits(gpu, &ok(self.optimizer.state_of(&name, slot))));
            }
        }
        all
    }
}

fn gradients(step: u64, size: f32) -> Vec<Vec<f32>> {
    let of = |(i, &len)| numbers(len, 1000 * (step + 1) + i as u64);
    let all = LENGTHS.iter().enumerate().map(of);
    all.map(|grad: Vec<f32>| grad.into_iter().map(|g| g * size).collect()).collect()
}

fn wide(grads: &[Vec<f32>]) -> Vec<Vec<f64>> {
    grads.iter().map(|grad| grad.iter().map(|&g| f64::from(g)).collect()).collect()
}

fn groups() -> [Group; 2] {
    [Group::adam(1e-2).weight_decay(0.1), Group::new(1e-2, Sgd { momentum: 0.9, ..Sgd::default() })]
}

/// Every combination of options against the reference, which sees the gradients that [`Controller`]
/// makes of them, with the coefficient's own uncertainty.
#[test]
fn every_option_is_within_its_bounds() {
    let gpu = gpu();
    let dynamic = LossScale::Dynamic { init: 8.0, growth: 2.0, backoff: 0.5, interval: 2 };
    let mut clipped = 0;
    for (clip_norm, norm) in
        [(None, Norm::Euclidean), (Some(3.0), Norm::Euclidean), (Some(0.5), Norm::Largest)]
    {
        for clip_value in [None, Some(0.7)] {
            for loss_scale in [LossScale::Fixed(1.0), LossScale::Fixed(3.0), dynamic] {
                for skip_nonfinite in [false, true] {
                    let control = Control {
                        clip_norm,
                        norm,
                        clip_value,
                        loss_scale,
                        skip_nonfinite,
                        ..Control::default()
                    };
                    clipped += run(gpu, control);
                }
            }
        }
    }
    assert!(clipped > 20, "only {clipped} steps were clipped");
}

/// Returns how many steps were clipped by norm.
fn run(gpu: &Gpu, control: Control) -> u32 {
    let mut model = Model::new(gpu, groups());
    ok(model.optimizer.set_control(control));
    let looks = control.clip_norm.is_some()
        || control.skip_nonfinite
        || !matches!(control.loss_scale, LossScale::Fixed(_));
    let mut controller = ok(Controller::new(control));
    let mut references: Vec<Reference<Trajectory>> = model
        .params
        .iter()
        .enumerate()
        .map(|(i, view)| {
            let values: Vec<_> = read(gpu, view).into_iter().map(Trajectory::loaded).collect();
            ok(Reference::starting(&model.groups[i % 2], &values, Trajectory::loaded(0.0)))
        })
        .collect();
    let mut clipped = 0;
    for step in 0..5 {
        let mut grads = gradients(step, 4.0);
        if step == 2
            && (control.skip_nonfinite || !matches!(control.loss_scale, LossScale::Fixed(_)))
        {
            grads[3][500] = f32::NAN;
            grads[4][4999] = f32::INFINITY;
        }
        model.step(gpu, &grads);
        let mut seen = wide(&grads);
        let taken = controller.apply(&mut seen);
        let expected = controller.stats(&["w0", "w1", "w2", "w3", "w4", "w5", "w6"]);
        if looks {
            let stats = model.stats(gpu);
            assert_eq!((stats.taken, stats.skipped), (expected.taken, expected.skipped));
            assert_eq!(stats.nonfinite, expected.nonfinite, "{control:?} {step}");
            assert_eq!(stats.loss_scale, expected.loss_scale, "{control:?} {step}");
            if taken {
                close("norm", stats.norm, expected.norm, COEFFICIENT);
                close("coefficient", stats.coefficient, expected.coefficient, COEFFICIENT);
            }
        }
        clipped += u32::from(taken && expected.coefficient < 1.0);
        if taken {
            for (reference, seen) in references.iter_mut().zip(&seen) {
                ok(reference.step(&seen.iter().map(scaled).collect::<Vec<_>>()));
            }
        }
        for (i, reference) in references.iter().enumerate() {
            for (j, (bound, x)) in
                reference.param().iter().zip(read(gpu, &model.params[i])).enumerate()
            {
                let ratio = bound.ratio(x);
                assert!(ratio <= 1.0, "{control:?}: w{i}[{j}] at {step}: {x} for {bound:?}");
            }
        }
    }
    clipped
}

/// Bad steps change nothing and do not count: the rest gives the bits of a run without them, in which
/// the host counts.
#[test]
fn skipped_steps_leave_no_trace() {
    let gpu = gpu();
    let all = one_of_each_text();
    // Each beside the next of the table, the last beside the first.
    let pairs = all.iter().zip(all.iter().cycle().skip(1)).step_by(2);
    for (seed, (one, other)) in pairs.enumerate() {
        let groups = [one.clone(), other.clone()];
        let mut counted = Model::new(gpu, groups.clone());
        let mut skipping = Model::new(gpu, groups);
        ok(skipping.optimizer.set_control(Control { skip_nonfinite: true, ..Control::default() }));
        let bad = numbers(40, seed as u64 + 7);
        let mut skipped = 0;
        for step in 0..40 {
            let mut grads = gradients(step, 1.0);
            // Also the first, as often the scale is too large then.
            if step < 39 && (bad[step as usize] > 0.3 || step == 0) {
                let before = skipping.bits(gpu);
                let param = step as usize % LENGTHS.len();
                let at = (step * 7919 % LENGTHS[param]) as usize;
                grads[param][at] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][step as usize % 3];
                skipping.step(gpu, &grads);
                skipped += 1;
                assert_eq!(skipping.stats(gpu).nonfinite, Some(format!("w{param}")));
                assert!(before == skipping.bits(gpu), "step {step} is not without trace");
                continue;
            }
            counted.step(gpu, &grads);
            skipping.step(gpu, &grads);
        }
        assert!(counted.bits(gpu) == skipping.bits(gpu), "{one:?}, {other:?}");
        let stats = skipping.stats(gpu);
        assert_eq!((stats.taken, stats.skipped), (40 - skipped, skipped));
        assert!(skipped > 8 && stats.nonfinite.is_none());
    }
}

/// Counting goes on where the host's ends, past the length of the first series, and with parameters
/// that come later.
#[test]
fn the_gpu_counts_on_where_the_host_stops() {
    let gpu = gpu();
    let run = |decided: bool| {
        let mut optimizer = Optimizer::new(&gpu.device);
        let slow = Adam { betas: [0.9, 0.9999], ..Adam::default() };
        let id = ok(optimizer.add_group(Group::new(1e-3, slow)));
        let views = [0, 1].map(|i| {
            let [param, grad] = [i, i + 2].map(|seed| ok(gpu.upload("w", &numbers(50, seed))));
            [View::f32(&param), View::f32(&grad)]
        });
        let add = |optimizer: &mut Optimizer, i: usize| {
            let [param, grad] = views[i].clone();
            ok(optimizer.add_param(id, &format!("w{i}"), param, grad));
        };
        add(&mut optimizer, 0);
        for step in 0..2500 {
            if step == 3 && decided {
                ok(optimizer.set_control(Control { skip_nonfinite: true, ..Control::default() }));
            }
            if step == 700 {
                add(&mut optimizer, 1);
            }
            if step % 500 == 0 {
                ok(optimizer.set_lr(1e-3 / (step + 1) as f64));
            }
            gpu.step(&mut optimizer);
        }
        views.map(|[param, _]| bits(gpu, &param))
    };
    assert!(run(false) == run(true));
}

#[test]
fn the_same_gradients_give_the_same_bits() {
    let gpu = gpu();
    let norm = || {
        let mut model = Model::new(gpu, groups());
        ok(model.optimizer.set_control(Control { clip_norm: Some(1.0), ..Control::default() }));
        model.step(gpu, &gradients(0, 1.0));
        (model.stats(gpu), model.bits(gpu))
    };
    assert!(norm() == norm());
}

#[test]
fn a_loss_kernel_can_bind_the_scale() {
    let gpu = gpu();
    let mut model = Model::new(gpu, groups());
    assert!(model.optimizer.loss_scale().is_none());
    let control = Control { loss_scale: LossScale::dynamic(), ..Control::default() };
    ok(model.optimizer.set_control(control));
    let Some(scale) = model.optimizer.loss_scale() else { panic!("no scale") };
    assert_eq!(read(gpu, &scale), [65536.0]);
    let mut grads = gradients(0, 1.0);
    grads[0][0] = f32::INFINITY;
    model.step(gpu, &grads);
    assert_eq!(read(gpu, &scale), [32768.0]);
    // The same options leave it alone, others do not.
    ok(model.optimizer.set_control(Control { clip_norm: Some(1.0), ..control }));
    model.step(gpu, &gradients(1, 1.0));
    assert_eq!(read(gpu, &scale), [32768.0]);
    let other = LossScale::Dynamic { init: 4.0, growth: 2.0, backoff: 0.5, interval: 1 };
    ok(model.optimizer.set_control(Control { loss_scale: other, ..control }));
    // The next step's gradients were made with what it shows still, and are divided by that.
    let before = model.stats(gpu).norm;
    model.step(gpu, &gradients(1, 1.0));
    assert_eq!(model.stats(gpu).norm, before);
    assert_eq!(read(gpu, &scale), [4.0]);
    model.step(gpu, &gradients(2, 1.0));
    assert_eq!(read(gpu, &scale), [8.0]);
}

#[test]
fn options_out_of_range_are_refused_and_change_nothing() {
    let gpu = gpu();
    let mut optimizer = Optimizer::new(&gpu.device);
    let plain = Control::default();
    let scale =
        |init, growth, backoff, interval| LossScale::Dynamic { init, growth, backoff, interval };
    let cases = [
        (
            Control { clip_norm: Some(-1.0), ..plain },
            "`clip_norm` is -1; it must be a finite number, 0 or more",
        ),
        (
            Control { clip_norm: Some(f64::NAN), ..plain },
            "`clip_norm` is NaN; it must be a finite number, 0 or more",
        ),
        (
            Control { clip_value: Some(0.0), ..plain },
            "`clip_value` is 0; it must be a finite f32 number above 0",
        ),
        (
            Control { loss_scale: LossScale::Fixed(0.0), ..plain },
            "`loss_scale` is 0; it must be a finite f32 number above 0",
        ),
        (
            Control { loss_scale: scale(1.0, 1.0, 0.5, 1), ..plain },
            "`loss_scale.growth` is 1; it must be above 1",
        ),
        (
            Control { loss_scale: scale(1.0, 2.0, 1.0, 1), ..plain },
            "`loss_scale.backoff` is 1; it must be between 0 and 1",
        ),
        (
            Control { loss_scale: scale(1.0, 2.0, 0.5, 0), ..plain },
            "`loss_scale.interval` is 0; it must be at least 1 step",
        ),
    ];
    for (control, words) in cases {
        let said = optimizer.set_control(control).err().map(|e: Error| e.to_string());
        assert_eq!(said.as_deref(), Some(words));
        assert_eq!(optimizer.control(), &plain);
    }
    let stats = pollster::block_on(optimizer.stats(&gpu.queue));
    assert!(stats.is_err_and(|e| e.to_string().contains("no step has looked at its gradients")));
}

/// A loss scale of 0 would have an infinite inverse, and a step of it would write NaN.
#[test]
fn the_loss_scale_stops_at_the_smallest_normal_number() {
    let gpu = gpu();
    let init = f64::from(f32::MIN_POSITIVE) * 10.0;
    let loss_scale = LossScale::Dynamic { init, growth: 2.0, backoff: 0.25, interval: 10 };
    let control = Control { loss_scale, ..Control::default() };
    let mut model = Model::new(gpu, groups());
    ok(model.optimizer.set_control(control));
    let mut controller = ok(Controller::new(control));
    for _ in 0..4 {
        let mut grads = gradients(0, 1.0);
        grads[0][0] = f32::INFINITY;
        model.step(gpu, &grads);
        assert!(!controller.apply(&mut wide(&grads)), "a step with an Inf is skipped");
        let expected = controller.stats(&[]).loss_scale;
        assert_eq!(model.stats(gpu).loss_scale, f64::from(expected as f32));
    }
    assert_eq!(controller.stats(&[]).loss_scale, f64::from(f32::MIN_POSITIVE));
}
