//! Gradients of several passes, added up for one step.

use support::ByName;
use support::arena::{PLACES, ROOM, adam, add_all, places};
use support::{bits, encoded, gpu, numbers, ok, read, record, set, upload};
use wgpu_optim::{
    Accumulation, Control, Format, Group, LossScale, Optimizer, Reference, Trajectory, View,
};

/// The mean or sum of several gradients, as in f64, and a step from it as the reference's.
fn accumulated(format: Format, how: Accumulation, control: Control) {
    let gpu = gpu();
    let control = Control { accumulation: how, ..control };
    let start = numbers(ROOM, 8);
    let params = View::f32(&upload(gpu, &start));
    let grads = encoded(gpu, format, &numbers(ROOM + 2, 9)).range(2..ROOM + 2);
    let mut optimizer = Optimizer::new(&gpu.device);
    ok(optimizer.set_control(control));
    let groups = [adam(), adam().lr(1e-3)];
    add_all(&mut optimizer, groups.clone(), &params, &grads);
    let mut references: Vec<Reference<Trajectory>> = PLACES
        .iter()
        .enumerate()
        .map(|(i, &(at, len))| {
            let values: Vec<_> = start[at as usize..(at + len) as usize]
                .iter()
                .map(|x| Trajectory::loaded(*x))
                .collect();
            ok(Reference::starting(&groups[i % 2], &values, Trajectory::loaded(0.0)))
        })
        .collect();
    let mut seed = 10;
    for times in [3_u64, 1, 5, 0, 2] {
        let mut sums = vec![Trajectory::loaded(0.0); ROOM as usize];
        for _ in 0..times.max(1) {
            seed += 1;
            let gradients = numbers(ROOM, seed);
            set(gpu, &grads, &gradients);
            for (sum, g) in sums.iter_mut().zip(&gradients) {
                let stored = format.decode(format.encode(*g));
                *sum = *sum + Trajectory::loaded(stored);
            }
            if times > 0 {
                record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
                // A sum must not depend on what is there afterwards.
                set(gpu, &grads, &vec![f32::NAN; ROOM as usize]);
            }
        }
        gpu.step(&mut optimizer);
        let divisor = if how == Accumulation::Mean { times.max(1) as f64 } else { 1.0 };
        let share = Trajectory { value: 1.0 / divisor, error: 1e-7 / divisor };
        for (reference, (at, len)) in references.iter_mut().zip(PLACES) {
            let part = &sums[at as usize..(at + len) as usize];
            let part: Vec<_> = part.iter().map(|sum| *sum * share).collect();
            ok(reference.step(&part));
        }
    }
    // Sums that cancel tell ADAM little of their sign, and the bound then says so.
    let mut vague = 0;
    for (reference, view) in references.iter().zip(places(&params)) {
        for (expected, found) in reference.param().iter().zip(read(gpu, &view)) {
            let ratio = expected.ratio(found);
            assert!(ratio <= 1.0, "{format:?} {how:?}: {found} in place of {expected:?}");
            vague += u32::from(expected.error > 1e-4);
        }
    }
    assert!(vague < ROOM as u32 / 50, "{format:?} {how:?}: {vague}");
}

#[test]
fn accumulated_gradients_are_their_mean_or_sum() {
    for how in [Accumulation::Mean, Accumulation::Sum] {
        for format in Format::ALL {
            accumulated(format, how, Control::default());
        }
    }
    let control = Control { zero_grad: true, ..Control::default() };
    accumulated(Format::Bf16, Accumulation::Mean, control);
    let control = Control { skip_nonfinite: true, ..Control::default() };
    accumulated(Format::F32, Accumulation::Mean, control);
}

/// Three micro-batches are counted and clipped as one, with the same bits whoever decides, if they are so
/// many that their share is a number: 4.
#[test]
fn sums_are_scaled_and_clipped_like_gradients() {
    let gpu = gpu();
    let run = |skip_nonfinite: bool, loss_scale: f64, times: u32| {
        let params = View::f32(&upload(gpu, &numbers(ROOM, 8)));
        let grads = View::f32(&upload(gpu, &numbers(ROOM, 9)));
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(Control {
            skip_nonfinite,
            clip_value: Some(0.75),
            loss_scale: LossScale::Fixed(loss_scale),
            ..Control::default()
        }));
        add_all(&mut optimizer, [adam(), adam().lr(1e-3)], &params, &grads);
        for step in 0..6 {
            let gradients: Vec<f32> =
                numbers(ROOM, 20 + step).iter().map(|g| g * loss_scale as f32).collect();
            set(gpu, &grads, &gradients);
            record(gpu, |encoder| {
                for _ in 0..times {
                    ok(optimizer.accumulate(encoder));
                }
                optimizer.step(encoder);
            });
        }
        bits(gpu, &params)
    };
    let plain = run(false, 1.0, 0);
    for skip in [false, true] {
        for scale in [1.0, 1024.0] {
            for times in [0, 1, 2, 4] {
                assert_eq!(run(skip, scale, times), plain, "{skip} {scale} {times}");
            }
        }
        // A third is no f32, but the same one for both.
        assert_eq!(run(skip, 8.0, 3), run(false, 1.0, 3), "{skip}");
    }
}

/// One bad gradient spoils its sum, which is skipped, and no other.
#[test]
fn a_skipped_sum_begins_anew() {
    let gpu = gpu();
    let run = |with_bad: bool| {
        let params = View::f32(&upload(gpu, &numbers(ROOM, 8)));
        let grads = View::f32(&upload(gpu, &numbers(ROOM, 9)));
        let mut optimizer = Optimizer::new(&gpu.device);
        let control = Control { skip_nonfinite: true, ..Control::default() };
        ok(optimizer.set_control(control));
        add_all(&mut optimizer, [adam().ema(0.9), adam().ema(0.9)], &params, &grads);
        let mut step = |bad: bool, seed| {
            for part in 0..3_u64 {
                let mut gradients = numbers(ROOM, seed + part);
                if bad && part == 1 {
                    gradients[2000] = f32::NAN;
                }
                set(gpu, &grads, &gradients);
                record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
            }
            gpu.step(&mut optimizer);
        };
        step(false, 30);
        if with_bad {
            step(true, 40);
        }
        step(false, 50);
        let average = ok(optimizer.ema_of("2")).expect("an average");
        [bits(gpu, &params), bits(gpu, &average)]
    };
    assert_eq!(run(true), run(false));
}

/// Between two parts of a sum, gradients move and parameters arrive: what was added stays, and what is new
/// has its own part of the mean.
#[test]
fn gradients_may_move_and_parameters_come_between_parts() {
    let gpu = gpu();
    let run = |moving: bool, skip_nonfinite: bool| {
        let params = View::f32(&upload(gpu, &numbers(200, 1)));
        let (one, other) = (upload(gpu, &numbers(200, 2)), upload(gpu, &numbers(256, 3)));
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(Control { skip_nonfinite, ..Control::default() }));
        let group = ok(optimizer.add_group(adam()));
        let part = |of: &View, from: u64| of.clone().range(from..from + 100);
        let first = View::f32(&one);
        let a = part(&first, 0);
        let id = ok(optimizer.add_param(group, "a", part(&params, 0), a.clone()));
        record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
        let second = numbers(100, 4);
        if moving {
            // At another phase of a quadruple.
            let moved = part(&View::f32(&other), 7);
            ok(optimizer.set_grad(id, moved.clone()));
            set(gpu, &moved, &second);
        } else {
            set(gpu, &a, &second);
        }
        record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
        let b = part(&first, 100);
        ok(optimizer.add_param(group, "b", part(&params, 100), b.clone()));
        record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
        // Numbers that come later do not count.
        set(gpu, &first, &[f32::NAN; 200]);
        gpu.step(&mut optimizer);
        bits(gpu, &params)
    };
    let still = run(false, false);
    assert_eq!(run(true, false), still);
    assert_eq!(run(true, true), still);

    // By hand: `a` has the mean of three, the last as the second, `b` a third of one.
    let (one, two) = (numbers(200, 2), numbers(100, 4));
    let sums = (0..200).map(|i| if i < 100 { one[i] + two[i] + two[i] } else { one[i] });
    let means = sums.map(|sum| sum * (1.0 / 3.0));
    let params = View::f32(&upload(gpu, &numbers(200, 1)));
    let grads = View::f32(&upload(gpu, &means.collect::<Vec<_>>()));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(adam()));
    ok(optimizer.add_param(group, "w", params.clone(), grads));
    gpu.step(&mut optimizer);
    assert_eq!(bits(gpu, &params), still);
}

/// A parameter that arrives after the last part has no gradient in this step, whatever lies there.
#[test]
fn a_parameter_without_a_part_has_a_gradient_of_zero() {
    let gpu = gpu();
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(Group::sgd(1.0)));
    let [a, b] = [1, 2].map(|seed| View::f32(&upload(gpu, &numbers(100, seed))));
    let grads = View::f32(&upload(gpu, &[1.0; 100]));
    ok(optimizer.add_param(group, "a", a.clone(), grads.clone()));
    record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
    ok(optimizer.add_param(group, "b", b.clone(), grads));
    gpu.step(&mut optimizer);
    assert_eq!(read(gpu, &b), numbers(100, 2));
    assert_eq!(read(gpu, &a), numbers(100, 1).iter().map(|x| x - 1.0).collect::<Vec<_>>());
    // In the next, without parts, gradients are what lies there.
    gpu.step(&mut optimizer);
    assert_eq!(read(gpu, &b), numbers(100, 2).iter().map(|x| x - 1.0).collect::<Vec<_>>());
}

/// Recording both into one encoder, or one pass, is submitting each alone.
#[test]
fn sums_and_steps_of_one_pass_are_in_order() {
    let gpu = gpu();
    let run = |together: bool| {
        let params = View::f32(&upload(gpu, &numbers(ROOM, 8)));
        let grads = View::f32(&upload(gpu, &numbers(ROOM, 9)));
        let mut optimizer = Optimizer::new(&gpu.device);
        add_all(&mut optimizer, [adam(), adam().lr(1e-3)], &params, &grads);
        if together {
            record(gpu, |encoder| {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                for _ in 0..3 {
                    ok(optimizer.accumulate_in_pass(&mut pass));
                    ok(optimizer.accumulate_in_pass(&mut pass));
                    optimizer.step_in_pass(&mut pass);
                }
            });
        } else {
            for _ in 0..3 {
                record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
                record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
                gpu.step(&mut optimizer);
            }
        }
        bits(gpu, &params)
    };
    assert_eq!(run(true), run(false));
}

/// Without parameters there is nothing to add, which is no error.
#[test]
fn nothing_adds_up_to_nothing() {
    let gpu = gpu();
    let mut optimizer = Optimizer::new(&gpu.device);
    record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
    gpu.step(&mut optimizer);
}
