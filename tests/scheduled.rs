//! Groups with schedules: the steps that are taken count, whoever counts them.

use support::arena::{PLACES, ROOM, add_all};
use support::{bits, encoded, gpu, numbers, ok, one_of_each, set};
use wgpu_optim::{
    Control, Cpu, Format, Group, Optimizer, Reference, Schedule, Sgd, Target, View, rule,
};

/// A schedule whose every step differs.
fn rates() -> Schedule {
    Schedule::warmup(3, 1e-3, Schedule::cosine(1e-2, 1e-4, 40))
}

/// A group with schedules of all that its rule has.
fn scheduled(group: Group) -> Group {
    let group = group
        .schedule(Target::Lr, rates())
        .schedule(Target::WeightDecay, Schedule::linear(0.1, 0.01, 20));
    let targets = [Target::Momentum, Target::Beta(0), Target::Beta(1)];
    targets.into_iter().fold(group, |group, target| {
        let with = group.clone().schedule(target, Schedule::linear(0.5, 0.9, 7));
        if with.check().is_ok() { with } else { group }
    })
}

fn all() -> Vec<Group> {
    one_of_each().into_iter().map(scheduled).collect()
}

/// A control under which the GPU counts steps.
fn counting() -> Control {
    Control { skip_nonfinite: true, ..Control::default() }
}

struct Run {
    optimizer: Optimizer,
    params: View,
    grads: View,
    step: u64,
}

impl Run {
    fn new(group: &Group, control: Control) -> Self {
        let gpu = gpu();
        let [params, grads] = [1, 2].map(|seed| encoded(gpu, Format::F32, &numbers(ROOM, seed)));
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(control));
        add_all(&mut optimizer, [group.clone(), group.clone().maximize(true)], &params, &grads);
        Self { optimizer, params, grads, step: 0 }
    }

    /// A step, with an Inf in a gradient if it is to be skipped.
    fn step(&mut self, bad: bool) {
        let gpu = gpu();
        self.step += u64::from(!bad);
        let mut gradients = numbers(ROOM, 2 + self.step);
        if bad {
            gradients[PLACES[2].0 as usize] = f32::INFINITY;
        }
        set(gpu, &self.grads, &gradients);
        gpu.step(&mut self.optimizer);
    }
}

#[test]
fn gpu_and_host_count_to_the_same_bits() {
    let gpu = gpu();
    for group in all() {
        let [mut host, mut counted, mut skipping] =
            [Control::default(), counting(), counting()].map(|control| Run::new(&group, control));
        for step in 0..9 {
            host.step(false);
            counted.step(false);
            // A skipped step does not advance the schedule.
            if step % 3 == 1 {
                skipping.step(true);
            }
            skipping.step(false);
            let expected = bits(gpu, &host.params);
            assert!(bits(gpu, &counted.params) == expected, "{group:?} at {step}");
            assert!(bits(gpu, &skipping.params) == expected, "{group:?} at {step}, skipping");
        }
    }
}

/// A schedule is as setting its numbers by hand, for parameters that join later or rest for a while, too.
#[test]
fn a_schedule_is_its_numbers_set_by_hand() {
    let gpu = gpu();
    for control in [Control::default(), counting()] {
        let group = Group::adamw(1e-2).schedule(Target::Lr, rates());
        let mut auto = Run::new(&group, control);
        let mut hand = Run::new(&Group::adamw(1e-2), control);
        let mut late = Vec::new();
        for step in 1..=12 {
            for run in [&mut auto, &mut hand] {
                let rests = ok(run.optimizer.param("1"));
                match step {
                    4 => ok(run.optimizer.freeze(rests)),
                    8 => ok(run.optimizer.unfreeze(rests)),
                    6 => {
                        let id = run.optimizer.groups().next().map(|(id, _)| id);
                        let id = id.unwrap_or_else(|| panic!("there is no group"));
                        let w = ok(gpu.upload("late", &[1.0, -2.0, 3.0]));
                        let g = ok(gpu.upload("late gradient", &[0.5, 0.25, -1.0]));
                        ok(run.optimizer.add_param(id, "late", View::f32(&w), View::f32(&g)));
                        late.push(View::f32(&w));
                    }
                    _ => {}
                }
            }
            ok(hand.optimizer.set_lr(rates().at(step)));
            auto.step(false);
            hand.step(false);
            assert!(bits(gpu, &auto.params) == bits(gpu, &hand.params), "{control:?} at {step}");
            if let [one, other] = &late[..] {
                assert_eq!(bits(gpu, one), bits(gpu, other), "{control:?} at {step}");
            }
        }
    }
}

/// The learning rate that is set takes the place of the schedule.
#[test]
fn a_rate_that_is_set_ends_the_schedule() {
    let gpu = gpu();
    for control in [Control::default(), counting()] {
        let group = Group::sgd(1.0).schedule(Target::Lr, rates());
        let mut run = Run::new(&group, control);
        run.step(false);
        ok(run.optimizer.set_lr(0.0));
        let before = bits(gpu, &run.params);
        run.step(false);
        run.step(false);
        assert!(bits(gpu, &run.params) == before, "{control:?}");
        let mut groups = run.optimizer.groups();
        assert!(groups.all(|(_, group)| group.schedules.is_empty() && group.lr == 0.0));
    }
}

/// Reference and CPU engine follow schedules as the GPU does.
#[test]
fn the_cpu_follows() {
    for group in all() {
        let start: Vec<f32> = numbers(1000, 1);
        let exact: Vec<f64> = start.iter().map(|x| f64::from(*x)).collect();
        let (mut param, mut cpu) = (start.clone(), ok(Cpu::new(&group, start.len())));
        let mut reference = ok(Reference::new(&group, &exact));
        for step in 1..=6 {
            let grads = numbers(1000, 1 + step);
            ok(cpu.step(&mut param, &grads));
            ok(reference.step(&grads.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()));
            // A sign of a sum near 0 may differ.
            let far = |(x, y): (&f32, &f64)| (f64::from(*x) - y).abs() > 1e-5 * y.abs().max(1.0);
            let far = param.iter().zip(reference.param()).filter(|pair| far(*pair)).count();
            assert!(far < 5, "{group:?}: {far}");
        }
    }
}

#[test]
fn wrong_schedules_are_refused() {
    let rows = [
        (
            Group::sgd(0.1).schedule(Target::Lr, Schedule::linear(-1.0, 1.0, 3)),
            "schedule `linear`: `start` is -1; it must be a finite f32 number, 0 or more",
        ),
        (
            Group::sgd(0.1).weight_decay(1e30).schedule(Target::Lr, Schedule::linear(1.0, 1e30, 3)),
            "lr × weight_decay is",
        ),
        (
            Group::sgd(0.1).schedule(Target::Beta(0), Schedule::constant(0.9)),
            "`sgd`: it has no such β that a schedule could set",
        ),
        (
            Group::adam(0.1).schedule(Target::Momentum, Schedule::constant(0.9)),
            "`adam`: it has no momentum that a schedule could set",
        ),
        (
            Group::adam(0.1).schedule(Target::Beta(2), Schedule::constant(0.9)),
            "`adam`: it has no such β that a schedule could set",
        ),
        (
            Group::adam(0.1).schedule(Target::Beta(1), Schedule::linear(0.9, 1.0, 5)),
            "`adam`: betas[1] is 1; it must be at least 0 and below 1 (also when rounded to f32)",
        ),
        (
            Group::new(0.1, Sgd { momentum: 0.9, ..Sgd::default() })
                .schedule(Target::Momentum, Schedule::linear(0.9, 0.0, 5)),
            "`sgd`: a momentum of 0 keeps no state, so a schedule of the momentum must be above 0 at every step",
        ),
    ];
    for (group, expected) in rows {
        let mut optimizer = Optimizer::new(&gpu().device);
        let error = optimizer.add_group(group.clone()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        let id = ok(optimizer.add_group(Group::sgd(0.1)));
        assert!(optimizer.set_group(id, group).is_err());
    }
    // Every rule with betas or a momentum can be scheduled, but not where an average lies.
    for entry in rule::ALL {
        for variant in (entry.variants)() {
            if variant.rule.average().is_some() {
                continue;
            }
            let options = format!("{:?}", variant.rule);
            let mut rule = variant.rule.copied();
            assert_eq!(options.contains("betas"), rule.scheduled(Target::Beta(0)).is_some());
            assert_eq!(options.contains(" momentum:"), rule.scheduled(Target::Momentum).is_some());
        }
    }
}
