//! Averages that rules keep: the way there and back, whatever stores a parameter and whoever counts its steps.

use support::arena::{PLACES, ROOM, add_all, places};
use support::{ByName, Case, bits, cases, encoded, gpu, halves, numbers, ok, read, set};
use wgpu_optim::{Control, Cpu, Format, Group, OneStep, Optimizer, Reference, View, rule};

/// Every rule that keeps an average, as its first variant, and a slot's place and weights.
fn averaging() -> Vec<Group> {
    let all = rule::ALL.iter().filter_map(|entry| (entry.variants)().into_iter().next());
    let all: Vec<Group> = all.map(Group::from).filter(|g| g.rule.average().is_some()).collect();
    assert!(!all.is_empty());
    all
}

fn switch(optimizer: &mut Optimizer, to_average: bool) {
    let gpu = gpu();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    match to_average {
        true => optimizer.eval(&mut encoder),
        false => optimizer.train(&mut encoder),
    }
    gpu.queue.submit([encoder.finish()]);
    assert_eq!(optimizer.is_eval(), to_average);
}

/// All weights of the four, completed by their masters.
fn weights(optimizer: &mut Optimizer, group: &Group, params: &View) -> Vec<Vec<f32>> {
    let gpu = gpu();
    let names = (0..PLACES.len()).map(|i| i.to_string());
    let weight = |(name, param): (String, View)| match ok(optimizer.master_of(&name)) {
        Some(rest) => {
            let pairs = read(gpu, &param).into_iter().zip(read(gpu, &rest));
            pairs.map(|(stored, rest)| group.master.whole(stored, rest)).collect()
        }
        None => read(gpu, &param),
    };
    names.zip(places(params)).map(weight).collect()
}

/// Trains four parameters of one case; steps with an Inf are skipped if the case counts on the GPU.
fn trained(case: &Case, group: &Group, bad: &[u64]) -> (Optimizer, View, View) {
    let gpu = gpu();
    let params = encoded(gpu, case.param, &numbers(ROOM, 1));
    let grads = encoded(gpu, case.grad, &numbers(ROOM, 2));
    let mut optimizer = Optimizer::new(&gpu.device);
    ok(optimizer.set_control(case.control));
    add_all(&mut optimizer, [group.clone(), group.clone().lr(3e-3)], &params, &grads);
    for step in 1..=5 {
        let mut gradients = numbers(ROOM, 2 + step);
        if bad.contains(&step) {
            gradients[1200] = f32::INFINITY;
        }
        set(gpu, &grads, &gradients);
        gpu.step(&mut optimizer);
    }
    (optimizer, params, grads)
}

/// The cases with an averaging rule in the place of their own: formats, masters, copies, control.
fn averaging_cases() -> Vec<(Case, Group)> {
    let groups = averaging();
    let fitting = cases().into_iter().filter(|case| case.accumulate == 0);
    let all = fitting.zip(groups.iter().cycle()).map(|(case, with)| {
        let Group { rule, lr, .. } = with.clone();
        let group = Group { rule, lr, cautious_weight_decay: false, ..case.group.clone() };
        (case, group)
    });
    all.collect()
}

#[test]
fn parameters_move_to_the_average_and_back() {
    let gpu = gpu();
    for (case, group) in averaging_cases() {
        let of = format!("{case:?}");
        let skips = case.control.looks_at_gradients() && case.control.clip_norm.is_none();
        let (mut optimizer, params, _) = trained(&case, &group, if skips { &[1, 4] } else { &[] });
        let average = group.rule.average().unwrap_or_else(|| panic!("{of}"));
        let before = weights(&mut optimizer, &group, &params);
        let slot = group.rule.slots()[average.slot].name;
        let ema: Vec<_> = names().map(|name| ok(optimizer.ema_of(&name))).collect();
        let read_ema = || ema.iter().flatten().map(|view| bits(gpu, view)).collect::<Vec<_>>();
        let old_ema = read_ema();
        for (to_average, weight) in [(true, average.eval), (false, average.train)] {
            let from = weights(&mut optimizer, &group, &params);
            switch(&mut optimizer, to_average);
            let after = weights(&mut optimizer, &group, &params);
            for (i, name) in names().enumerate() {
                let towards = read(gpu, &ok(optimizer.state_of(&name, slot)));
                for ((p, z), x) in from[i].iter().zip(&towards).zip(&after[i]) {
                    let [p, z] = [*p, *z].map(OneStep::loaded);
                    let w = OneStep { value: f64::from(weight as f32), error: 0.0 };
                    let mut expected = p + w * (z - p);
                    if ok(optimizer.master_of(&name)).is_none() {
                        expected = expected.stored(case.param);
                    }
                    let ratio = expected.ratio(*x);
                    assert!(ratio <= 1.0, "{of}: {name}: {x} in place of {expected:?}");
                }
            }
            assert!(from != after, "{of}");
        }
        assert!(read_ema() == old_ema, "{of}: the average of `ema` is another matter");
        if case.param == Format::F32 {
            let after = weights(&mut optimizer, &group, &params);
            for (x, y) in before.iter().flatten().zip(after.iter().flatten()) {
                assert!((x - y).abs() <= 1e-5 * x.abs().max(1.0), "{of}: {x} came back as {y}");
            }
        }
    }
}

fn names() -> impl Iterator<Item = String> {
    (0..PLACES.len()).map(|i| i.to_string())
}

/// Before the first step that is taken there is no average, and whoever counts must know.
#[test]
fn parameters_without_a_step_stay() {
    let gpu = gpu();
    let control = Control { skip_nonfinite: true, ..Control::default() };
    for group in averaging() {
        let skipping = Case { control, ..Case::new(group.clone()) };
        let (mut optimizer, params, grads) = trained(&skipping, &group, &[1, 2, 3, 4, 5]);
        let start = bits(gpu, &params);
        for to_average in [true, false] {
            switch(&mut optimizer, to_average);
            assert!(bits(gpu, &params) == start, "every step was skipped");
        }
        // After one step, the average is the parameter.
        for seed in [9, 10] {
            set(gpu, &grads, &numbers(ROOM, seed));
            gpu.step(&mut optimizer);
        }
        let stepped = bits(gpu, &params);
        switch(&mut optimizer, true);
        assert!(bits(gpu, &params) != stepped);

        let mut new = Optimizer::new(&gpu.device);
        add_all(&mut new, [group.clone(), group.clone()], &params, &grads);
        let start = bits(gpu, &params);
        switch(&mut new, true);
        assert!(bits(gpu, &params) == start, "there was no step");
    }
}

/// GPU and host count to the same bits, and a step goes back by itself.
#[test]
fn whoever_counts_and_whoever_goes_back() {
    let gpu = gpu();
    for group in averaging() {
        let run = |control: Control, explicit: bool| {
            let case = Case { control, ..Case::new(group.clone()) };
            let (mut optimizer, params, grads) = trained(&case, &group, &[]);
            switch(&mut optimizer, true);
            let mut all = vec![bits(gpu, &params)];
            if explicit {
                switch(&mut optimizer, false);
                switch(&mut optimizer, false);
            }
            set(gpu, &grads, &numbers(ROOM, 11));
            gpu.step(&mut optimizer);
            assert!(!optimizer.is_eval());
            all.push(bits(gpu, &params));
            switch(&mut optimizer, true);
            all.push(bits(gpu, &params));
            all
        };
        let host = run(Control::default(), true);
        let skip = Control { skip_nonfinite: true, ..Control::default() };
        for (control, explicit) in [(Control::default(), false), (skip, true), (skip, false)] {
            assert!(host == run(control, explicit), "{control:?} {explicit}");
        }
    }
}

/// A parameter that rests has an average too, and one that joined meanwhile has none.
#[test]
fn frozen_parameters_move_and_new_ones_do_not() {
    let gpu = gpu();
    for skip_nonfinite in [false, true] {
        let control = Control { skip_nonfinite, ..Control::default() };
        let group = averaging().remove(0);
        let case = Case { control, ..Case::new(group.clone()) };
        let (mut optimizer, params, grads) = trained(&case, &group, &[2]);
        let [frozen, without] = ["0", "2"].map(|name| ok(optimizer.param(name)));
        ok(optimizer.freeze(frozen));
        ok(optimizer.set_grads([(without, None)]));
        set(gpu, &grads, &numbers(ROOM, 12));
        gpu.step(&mut optimizer);
        let (w, g) = (ok(gpu.upload("new", &[1.0, 2.0])), ok(gpu.upload("g", &[1.0, 2.0])));
        let id = optimizer.groups().next().map(|(id, _)| id).unwrap_or_else(|| panic!("no group"));
        ok(optimizer.add_param(id, "new", View::f32(&w), View::f32(&g)));
        let before = weights(&mut optimizer, &group, &params);
        switch(&mut optimizer, true);
        let after = weights(&mut optimizer, &group, &params);
        for (i, (before, after)) in before.iter().zip(&after).enumerate() {
            assert!(before != after, "{i}");
        }
        assert_eq!(read(gpu, &View::f32(&w)), [1.0, 2.0]);
        assert!(optimizer.is_up_to_date());
    }
}

#[test]
fn copies_follow() {
    let gpu = gpu();
    for format in halves() {
        let group = averaging().remove(0);
        let (mut optimizer, params, _) = trained(&Case::new(group.clone()), &group, &[]);
        let copy = encoded(gpu, format, &numbers(ROOM, 5));
        for (name, view) in names().zip(places(&copy)) {
            let id = ok(optimizer.param(&name));
            ok(optimizer.set_copy(id, Some(view)));
        }
        switch(&mut optimizer, true);
        for (param, copy) in places(&params).iter().zip(places(&copy)) {
            let expected: Vec<f32> =
                read(gpu, param).iter().map(|x| format.decode(format.encode(*x))).collect();
            assert!(read(gpu, &copy) == expected, "{format}");
        }
    }
}

/// The CPU engine goes the same way as the reference.
#[test]
fn the_cpu_goes_there_and_back() {
    for group in averaging() {
        const LEN: usize = 20_000;
        let start: Vec<f32> = numbers(LEN as u64, 1);
        let mut param = start.clone();
        let mut cpu = ok(Cpu::new(&group, LEN));
        let exact: Vec<f64> = start.iter().map(|x| f64::from(*x)).collect();
        let mut reference = ok(Reference::new(&group, &exact));
        ok(cpu.eval(&mut param));
        assert_eq!(param, start);
        for step in 1..=4 {
            let grads = numbers(LEN as u64, 1 + step);
            ok(cpu.step(&mut param, &grads));
            ok(reference.step(&grads.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()));
        }
        for to_average in [true, false] {
            match to_average {
                true => (ok(cpu.eval(&mut param)), reference.eval()),
                false => (ok(cpu.train(&mut param)), reference.train()),
            };
            for (x, y) in param.iter().zip(reference.param()) {
                assert!((f64::from(*x) - y).abs() <= 1e-4 * y.abs().max(1.0), "{x} {y}");
            }
        }
        assert!(cpu.eval(&mut param[1..]).is_err());
    }
}
