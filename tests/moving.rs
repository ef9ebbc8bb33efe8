//! Gradients that lie elsewhere at every step, or nowhere, change no bit and plan nothing anew.

use support::{bits, gpu, numbers, ok, read, upload};
use wgpu_optim::{Adam, Control, Error, Format, Group, Master, Optimizer, ParamId, View};

/// Parameters of these lengths, one behind the other.
const LENGTHS: [u64; 7] = [2, 6, 4, 38, 256, 1024, 5000];

/// Elements of an arena that has room for all of them anywhere.
const ROOM: u64 = 16_384;

/// Where each gradient begins in its arena at a step, in elements.
fn places(step: u64, moves: bool) -> Vec<u64> {
    let mut at = 3 + if moves { step * 5 } else { 0 };
    let mut all: Vec<u64> = LENGTHS
        .iter()
        .enumerate()
        .map(|(i, len)| {
            let here = at & !1;
            at = here + len + if moves { (step * 3 + i as u64) % 7 } else { 1 };
            here
        })
        .collect();
    if moves && step % 4 == 3 {
        // Swapped: the first where the last was, and so on.
        all.iter_mut().for_each(|at| *at += 64);
    }
    all
}

struct Run {
    optimizer: Optimizer,
    ids: Vec<ParamId>,
    params: View,
    arenas: [View; 2],
}

fn run(group: &Group, control: Control, formats: [Format; 2]) -> Run {
    let gpu = gpu();
    let numbers = numbers(ROOM, 3);
    let params = support::encoded(gpu, formats[0], &numbers);
    let arenas = [(); 2].map(|()| support::encoded(gpu, formats[1], &vec![0.0; ROOM as usize]));
    let mut optimizer = Optimizer::new(&gpu.device);
    ok(optimizer.set_control(control));
    let groups =
        [group.clone(), group.clone().lr(group.lr / 3.0)].map(|g| ok(optimizer.add_group(g)));
    let mut at = 1;
    let mut ids = Vec::new();
    for (i, (len, grad)) in LENGTHS.into_iter().zip(places(0, false)).enumerate() {
        let param = params.clone().range(at..at + len);
        let grad = arenas[0].clone().range(grad..grad + len);
        ids.push(ok(optimizer.add_param(groups[i % 2], &format!("w{i}"), param, grad)));
        at += len + i as u64 % 3;
    }
    Run { optimizer, ids, params, arenas }
}

impl Run {
    /// The gradients of a step, written where they belong.
    fn give(&mut self, step: u64, moves: bool, other: bool) {
        let gpu = gpu();
        let mut views = Vec::new();
        for (i, (len, at)) in LENGTHS.into_iter().zip(places(step, moves)).enumerate() {
            let arena = &self.arenas[usize::from(moves && other && step % 2 == 1)];
            let view = arena.clone().range(at..at + len);
            support::set(gpu, &view, &numbers(len, 100 * step + i as u64));
            views.push((self.ids[i], Some(view)));
        }
        if moves {
            ok(self.optimizer.set_grads(views));
        }
    }
}

/// Moving gradients give the bits of the same gradients in a fixed place: in every format, with clipping, skipping
/// and clearing, and in one buffer or two in turn.
#[test]
fn gradients_that_move_change_no_bit() {
    let gpu = gpu();
    let adam = Group::new(1e-2, Adam { amsgrad: true, ..Adam::default() }).weight_decay(0.1);
    let clip = Control { clip_norm: Some(0.5), ..Control::default() };
    let skip = Control { skip_nonfinite: true, clip_value: Some(0.3), ..clip };
    let clear = Control { zero_grad: true, ..clip };
    let f32 = [Format::F32; 2];
    let halves = [Format::Bf16; 2];
    let rows = [
        (adam.clone(), Control::default(), f32),
        (adam.clone().ema(0.9), clip, f32),
        (adam.clone(), skip, [Format::F32, Format::F16]),
        (adam.clone().master(Master::Remainder).state_format(Format::Bf16), clear, halves),
        (adam.clone().stochastic_rounding(5), clip, [Format::Bf16, Format::F32]),
    ];
    for (group, control, formats) in rows {
        for other in [false, true] {
            let mut fixed = run(&group, control, formats);
            let mut moving = run(&group, control, formats);
            let mut dispatches = Vec::new();
            for step in 1..=9 {
                for (run, moves) in [(&mut fixed, false), (&mut moving, true)] {
                    run.give(step, moves, other);
                    gpu.step(&mut run.optimizer);
                }
                assert!(
                    bits(gpu, &fixed.params) == bits(gpu, &moving.params),
                    "{group:?} at {step}"
                );
                assert!(moving.optimizer.is_up_to_date() && fixed.optimizer.is_up_to_date());
                dispatches.push(moving.optimizer.dispatches());
            }
            // The first step finds gradients where they were added, and at the second some may not have moved yet.
            assert!(dispatches[2..].iter().all(|d| *d == dispatches[2]), "{dispatches:?}");
        }
    }
}

/// A parameter without a gradient stands still, and so does its clock.
#[test]
fn absent_gradients_leave_everything_as_it_is() {
    let gpu = gpu();
    for control in [
        Control::default(),
        Control { clip_norm: Some(0.5), ..Control::default() },
        Control { skip_nonfinite: true, ..Control::default() },
    ] {
        let mut run = run(&Group::adam(1e-2), control, [Format::F32; 2]);
        let mut alone: Vec<Optimizer> = Vec::new();
        let mut views: Vec<View> = Vec::new();
        let initial = read(gpu, &run.params);
        let mut at = 1;
        for (i, len) in LENGTHS.into_iter().enumerate() {
            let mut optimizer = Optimizer::new(&gpu.device);
            let group = Group::adam(1e-2);
            let group = if i % 2 == 0 { group } else { group.lr(1e-2 / 3.0) };
            let id = ok(optimizer.add_group(group));
            let param = View::f32(&upload(gpu, &initial[at as usize..(at + len) as usize]));
            let grad = View::f32(&upload(gpu, &vec![0.0; len as usize]));
            ok(optimizer.add_param(id, "w", param.clone(), grad.clone()));
            alone.push(optimizer);
            views.extend([param, grad]);
            at += len + i as u64 % 3;
        }
        for step in 1..=20_u64 {
            let present = |i: usize| (step.wrapping_mul(2_654_435_761) >> (i + 3)) & 1 == 0;
            let places = places(step, true);
            let mut given = Vec::new();
            for (i, (len, at)) in LENGTHS.into_iter().zip(places).enumerate() {
                let small: Vec<f32> =
                    numbers(len, step * 10 + i as u64).iter().map(|x| x * 1e-4).collect();
                let view = run.arenas[0].clone().range(at..at + len);
                support::set(gpu, &view, &small);
                support::set(gpu, &views[2 * i + 1], &small);
                given.push((run.ids[i], present(i).then_some(view)));
                if present(i) {
                    gpu.step(&mut alone[i]);
                }
            }
            ok(run.optimizer.set_grads(given));
            gpu.step(&mut run.optimizer);
            assert!(run.optimizer.is_up_to_date());
        }
        let mut at = 1;
        for (i, len) in LENGTHS.into_iter().enumerate() {
            let own = bits(gpu, &run.params.clone().range(at..at + len));
            assert!(own == bits(gpu, &views[2 * i]), "{i} under {control:?}");
            at += len + i as u64 % 3;
        }
    }
}

/// A wrong gradient is named, and none has moved.
#[test]
fn a_wrong_gradient_moves_none() {
    let gpu = gpu();
    let mut run = run(&Group::sgd(1.0), Control::default(), [Format::F32; 2]);
    let good = run.arenas[1].clone().range(0..2);
    type Given = Vec<(ParamId, Option<View>)>;
    let rows: [(Given, &str); 3] = [
        (
            vec![(run.ids[0], Some(good.clone())), (run.ids[1], Some(good.clone()))],
            "parameter `w1`: its gradient holds 2 elements, the parameter 6",
        ),
        (
            vec![(run.ids[0], Some(good.clone())), (run.ids[0], None)],
            "parameter `w0`: it is named twice in one call; name each parameter once",
        ),
        (
            vec![(run.ids[0], Some(good)), (run.ids[1], Some(run.params.clone().range(3..9)))],
            "gradient of `w1`: its bytes 12..36 overlap bytes",
        ),
    ];
    for (given, expected) in rows {
        let error: Result<(), Error> = run.optimizer.set_grads(given);
        let message = error.map_err(|e| e.to_string()).expect_err(expected);
        assert!(message.contains(expected), "{message}");
    }
    run.give(1, false, false);
    let before = read(gpu, &run.params);
    gpu.step(&mut run.optimizer);
    let after = read(gpu, &run.params);
    assert_eq!(after[1], before[1] - numbers(1, 100)[0]);
}
