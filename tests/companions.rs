//! A step does more than move parameters: averages, copies, gradients that are added up or cleared.

use support::ByName;
use support::arena::{PLACES, ROOM, adam, add_all, is_inside, places};
use support::{Case, bits, cases, encoded, gpu, halves, numbers, ok, read, record, set, upload};
use wgpu_optim::{Control, Error, Format, Group, OneStep, Optimizer, Sgd, View};

/// The average that the formula gives of what a kernel has stored, whatever stores it: each step within the
/// bound of one step. A skipped step leaves it alone and does not count.
fn averages(case: &Case, decay: f64) {
    let gpu = gpu();
    let Case { group, control, .. } = case.clone();
    let params = encoded(gpu, case.param, &numbers(ROOM, 1));
    let grads = encoded(gpu, case.grad, &numbers(ROOM, 2));
    let mut optimizer = Optimizer::new(&gpu.device);
    ok(optimizer.set_control(control));
    let other = group.clone().lr(3e-3).ema(0.5);
    let decays = [decay, 0.5];
    add_all(&mut optimizer, [group.clone(), other], &params, &grads);
    let names = PLACES.iter().enumerate().map(|(i, _)| i.to_string());
    let views: Vec<View> = names
        .map(|name| {
            ok(optimizer.ema_of(&name)).unwrap_or_else(|| panic!("`{name}` has no average"))
        })
        .collect();
    assert!(views.iter().all(|view| read(gpu, view).iter().all(|x| *x == 0.0)));

    let mut before: Vec<Vec<f32>> = views.iter().map(|view| read(gpu, view)).collect();
    let mut t = 0;
    for step in 1..=12_u64 {
        let bad = control.skip_nonfinite && step % 5 == 3;
        let mut gradients = numbers(ROOM, 2 + step);
        if bad {
            gradients[1200] = f32::INFINITY;
        }
        set(gpu, &grads, &gradients);
        gpu.step(&mut optimizer);
        t += u64::from(!bad);
        for (i, (view, param)) in views.iter().zip(places(&params)).enumerate() {
            let after = read(gpu, view);
            let name = i.to_string();
            let weights = match ok(optimizer.master_of(&name)) {
                Some(rest) => {
                    let pairs = read(gpu, &param).into_iter().zip(read(gpu, &rest));
                    pairs.map(|(stored, rest)| group.master.whole(stored, rest)).collect()
                }
                None => read(gpu, &param),
            };
            let decay = decays[i % 2];
            let gain = (1.0 - decay) / (1.0 - decay.powi(t as i32));
            for ((old, new), weight) in before[i].iter().zip(&after).zip(weights) {
                let (old_, weight_) = (OneStep::loaded(*old), OneStep::loaded(weight));
                let gain = OneStep { value: f64::from(gain as f32), error: 0.0 };
                let expected = old_ + gain * (weight_ - old_);
                let right = if bad { new == old } else { expected.ratio(*new) <= 1.0 };
                assert!(right, "{name} at {step}: {old} and {weight} gave {new}, not {expected:?}");
                assert!(t != 1 || bad || *new == weight, "the first average is the parameter");
            }
            before[i] = after;
        }
    }
}

#[test]
fn averages_follow_what_is_stored() {
    for case in cases() {
        if let Some(decay) = case.group.ema {
            averages(&case, decay);
        }
    }
}

/// Copies are the parameters rounded to nearest, bit by bit, and nothing around them changes.
fn copies(format: Format, offset: u64) {
    let gpu = gpu();
    let params = View::f32(&upload(gpu, &numbers(ROOM, 3)));
    let grads = View::f32(&upload(gpu, &numbers(ROOM, 4)));
    let all = encoded(gpu, format, &vec![-7.5; (ROOM + offset) as usize]);
    let copied = all.clone().range(offset..ROOM + offset);
    let mut optimizer = Optimizer::new(&gpu.device);
    add_all(&mut optimizer, [adam(), adam().lr(1e-3)], &params, &grads);
    let id = |optimizer: &Optimizer, i: usize| optimizer.param(&i.to_string()).expect("added");
    for (i, place) in places(&copied).into_iter().enumerate() {
        ok(optimizer.set_copy(id(&optimizer, i), Some(place)));
    }
    // Vec4 and loose ends; a copy at another phase is loose altogether.
    assert_eq!(
        optimizer.dispatches(),
        if offset.is_multiple_of(4) { 2 } else { 1 },
        "{format:?} {offset}"
    );
    for _ in 0..3 {
        gpu.step(&mut optimizer);
    }
    let expected: Vec<f32> = read(gpu, &params);
    for (i, found) in (0..).zip(read(gpu, &copied)) {
        let rounded = format.decode(format.encode(expected[i as usize]));
        let wanted = if is_inside(i) { rounded } else { -7.5 };
        assert_eq!(found.to_bits(), wanted.to_bits(), "{format:?} {offset}: element {i}");
    }
    // No more after that.
    for i in 0..PLACES.len() {
        ok(optimizer.set_copy(id(&optimizer, i), None));
    }
    let before = bits(gpu, &all);
    gpu.step(&mut optimizer);
    assert_eq!(bits(gpu, &all), before);
    assert_ne!(read(gpu, &params), expected);
}

#[test]
fn copies_are_the_parameters_rounded() {
    for format in halves() {
        for offset in [0, 4, 1, 6] {
            copies(format, offset);
        }
    }
}

/// A parameter with a copy takes the steps of one without.
#[test]
fn a_copy_in_the_gradients_buffer_changes_no_bit() {
    let gpu = gpu();
    let run = |copied: bool| {
        let params = View::f32(&upload(gpu, &numbers(300, 5)));
        let shared = upload(gpu, &numbers(640, 6));
        let grads = View::f32(&shared).range(0..300);
        let mut optimizer = Optimizer::new(&gpu.device);
        let group = ok(optimizer.add_group(adam()));
        let id = ok(optimizer.add_param(group, "w", params.clone(), grads));
        if copied {
            ok(optimizer.set_copy(id, Some(View::f16_at(&shared, 1280, 300))));
        }
        gpu.step(&mut optimizer);
        gpu.step(&mut optimizer);
        bits(gpu, &params)
    };
    assert_eq!(run(true), run(false));
}

/// Gradients are zero after whoever used them, also of a step that was skipped; nothing around them is.
#[test]
fn used_gradients_are_zero() {
    let gpu = gpu();
    for format in Format::ALL {
        for (accumulates, bad) in [(false, false), (false, true), (true, false)] {
            let params = View::f32(&upload(gpu, &numbers(ROOM, 8)));
            let grads = encoded(gpu, format, &vec![0.5; ROOM as usize]);
            let mut optimizer = Optimizer::new(&gpu.device);
            let control = Control { zero_grad: true, skip_nonfinite: bad, ..Control::default() };
            ok(optimizer.set_control(control));
            add_all(&mut optimizer, [adam(), adam().lr(1e-3)], &params, &grads);
            if bad {
                set(gpu, &grads.clone().range(1200..1202), &[f32::INFINITY, 0.5]);
            }
            let before = read(gpu, &params);
            if accumulates {
                record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
            } else {
                gpu.step(&mut optimizer);
            }
            assert_eq!(before == read(gpu, &params), accumulates || bad);
            for (i, g) in (0..).zip(read(gpu, &grads)) {
                let expected = if is_inside(i) { 0.0_f32 } else { 0.5 };
                assert_eq!(g.to_bits(), expected.to_bits(), "{format:?} {bad}: element {i}");
            }
        }
    }
}

/// Parameters in the gradients' buffer, and what the step writes of them.
#[test]
fn gradients_beside_parameters_are_cleared_too() {
    let gpu = gpu();
    let run = |zero_grad: bool| {
        let buffer = upload(gpu, &numbers(2048, 8));
        let [params, grads] = [0..1000, 1024..2024].map(|range| View::f32(&buffer).range(range));
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(Control { zero_grad, ..Control::default() }));
        let group = ok(optimizer.add_group(adam()));
        ok(optimizer.add_param(group, "w", params.clone(), grads.clone()));
        gpu.step(&mut optimizer);
        (bits(gpu, &params), read(gpu, &grads))
    };
    let (cleared, kept) = (run(true), run(false));
    assert_eq!(cleared.0, kept.0);
    assert!(cleared.1.iter().all(|g| *g == 0.0) && kept.1.iter().any(|g| *g != 0.0));
}

/// Clearing may be turned on and off between steps, whoever clears.
#[test]
fn clearing_may_change() {
    let gpu = gpu();
    let params = View::f32(&upload(gpu, &numbers(ROOM, 8)));
    let grads = View::f32(&upload(gpu, &numbers(ROOM, 9)));
    let mut optimizer = Optimizer::new(&gpu.device);
    add_all(&mut optimizer, [adam(), adam()], &params, &grads);
    let place = &places(&grads)[2];
    for adds in [false, true] {
        for zero_grad in [false, true, false] {
            ok(optimizer.set_control(Control { zero_grad, ..Control::default() }));
            set(gpu, &grads, &numbers(ROOM, 10));
            if adds {
                record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
            } else {
                gpu.step(&mut optimizer);
            }
            assert_eq!(read(gpu, place).iter().all(|g| *g == 0.0), zero_grad, "{adds}");
        }
    }
}

#[test]
fn what_would_be_written_twice_is_refused() {
    let gpu = gpu();
    let buffer = |seed| View::f32(&upload(gpu, &numbers(128, seed)));
    let (params, grads, copies) = (buffer(1), buffer(2), upload(gpu, &numbers(64, 3)));
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(adam()));
    let part = |of: &View, from: u64| of.clone().range(from..from + 16);
    let a = ok(optimizer.add_param(group, "a", part(&params, 0), part(&grads, 0)));
    let b = ok(optimizer.add_param(group, "b", part(&params, 16), part(&grads, 8)));
    let says = |result: Result<(), Error>, words: &[&str]| {
        let message = result.err().map(|e| e.to_string()).unwrap_or_default();
        let all = words.iter().all(|word| message.contains(word));
        assert!(all, "{words:?} are not in `{message}`");
    };
    let cleared = Control { zero_grad: true, ..Control::default() };
    says(optimizer.set_control(cleared), &["gradient of `b`", "gradient of `a`", "32", "64"]);
    assert!(!optimizer.control().zero_grad);
    ok(optimizer.set_grad(b, part(&grads, 16)));
    ok(optimizer.set_control(cleared));
    says(optimizer.set_grad(b, part(&grads, 15)), &["gradient of `b`", "gradient of `a`"]);
    // To where only it was itself.
    ok(optimizer.set_grad(b, part(&grads, 20)));
    let sharing = optimizer.add_param(group, "c", part(&params, 32), part(&grads, 30));
    says(sharing.map(|_| ()), &["gradient of `c`", "gradient of `b`"]);

    let half = |from: u64| View::bf16(&copies).range(from..from + 16);
    ok(optimizer.set_copy(a, Some(half(0))));
    says(optimizer.set_copy(b, Some(half(15))), &["copy of `b`", "the copy of `a`"]);
    ok(optimizer.set_copy(b, Some(half(16))));
    // Where a copy no longer is, another may be.
    ok(optimizer.set_copy(b, Some(half(40))));
    ok(optimizer.set_copy(a, Some(half(16))));
    ok(optimizer.set_copy(a, Some(half(0))));
    ok(optimizer.set_copy(b, Some(half(16))));
    says(optimizer.set_copy(b, Some(View::bf16(&copies).range(16..33))), &["16 elements", "17"]);
    says(optimizer.set_copy(b, Some(part(&params, 32))), &["f32 as f32"]);
    // A copy may lie in the parameters' own buffer, if no binding of one begins in the other.
    ok(optimizer.set_copy(b, Some(View::f16(&params.buffer).range(160..176))));
    let onto_param = View::f16(&params.buffer).range(30..46);
    says(optimizer.set_copy(a, Some(onto_param)), &["copy of `a`", "parameter `a`"]);
    let taken = optimizer.add_param(
        group,
        "d",
        View::f32(&copies).range(0..8),
        part(&grads, 40).range(0..8),
    );
    says(taken.map(|_| ()), &["parameter `d`", "the copy of `a`"]);
    let stochastic = Group { ema: Some(1.0), ..adam() };
    says(optimizer.add_group(stochastic).map(|_| ()), &["ema", "below 1"]);
    says(optimizer.set_group(group, adam().ema(0.9)), &["f32", "with averages"]);
}

/// Another decay, while the GPU counts, and groups that share all but that.
#[test]
fn a_decay_may_change() {
    let gpu = gpu();
    let run = |skip_nonfinite: bool| {
        let params = View::f32(&upload(gpu, &numbers(ROOM, 8)));
        let grads = View::f32(&upload(gpu, &numbers(ROOM, 9)));
        let mut optimizer = Optimizer::new(&gpu.device);
        ok(optimizer.set_control(Control { skip_nonfinite, ..Control::default() }));
        let group = ok(optimizer.add_group(adam().ema(0.9)));
        let part = |of: &View| of.clone().range(0..100);
        ok(optimizer.add_param(group, "w", part(&params), part(&grads)));
        gpu.step(&mut optimizer);
        gpu.step(&mut optimizer);
        let other = ok(optimizer.group(group)).clone().ema(0.5);
        ok(optimizer.set_group(group, other));
        gpu.step(&mut optimizer);
        bits(gpu, &ok(optimizer.ema_of("w")).expect("an average"))
    };
    assert_eq!(run(true), run(false));
}

/// Copies at different distances from their parameters, which one launch cannot have.
#[test]
fn copies_may_lie_anywhere() {
    let gpu = gpu();
    let params = View::f32(&upload(gpu, &numbers(400, 3)));
    let grads = View::f32(&upload(gpu, &numbers(400, 4)));
    let copies = encoded(gpu, Format::Bf16, &[0.0; 1000]);
    let mut optimizer = Optimizer::new(&gpu.device);
    let group = ok(optimizer.add_group(adam()));
    for (i, at) in [600, 0, 301, 150].into_iter().enumerate() {
        let part = 100 * i as u64..100 * (i as u64 + 1);
        let (param, grad) = (params.clone().range(part.clone()), grads.clone().range(part));
        let id = ok(optimizer.add_param(group, &i.to_string(), param, grad));
        ok(optimizer.set_copy(id, Some(copies.clone().range(at..at + 100))));
    }
    gpu.step(&mut optimizer);
    let (params, copies) = (read(gpu, &params), read(gpu, &copies));
    for (i, at) in [600, 0, 301, 150].into_iter().enumerate() {
        for j in 0..100 {
            let expected = Format::Bf16.decode(Format::Bf16.encode(params[100 * i + j]));
            assert_eq!(copies[at + j], expected, "{i}: element {j}");
        }
    }
}

/// A launch that begins far into its page, where bindings of 2 and of 4 bytes an element do not begin at the
/// same one.
#[test]
fn averages_beside_16_bit_state_are_found() {
    let gpu = gpu();
    let run = |alone: bool| {
        let params = View::f32(&upload(gpu, &numbers(740, 3)));
        let grads = View::f32(&upload(gpu, &numbers(740, 4)));
        let mut optimizer = Optimizer::new(&gpu.device);
        // The same slots, so one page; other switches, so launches of their own.
        for (name, nesterov, part) in [("a", false, 0..344), ("b", true, 344..740)] {
            if alone && name == "a" {
                continue;
            }
            let rule = Sgd { momentum: 0.9, nesterov, ..Sgd::default() };
            let group = Group::new(1e-2, rule).state_format(Format::Bf16).ema(0.9);
            let group = ok(optimizer.add_group(group));
            let (param, grad) = (params.clone().range(part.clone()), grads.clone().range(part));
            ok(optimizer.add_param(group, name, param, grad));
        }
        for _ in 0..3 {
            gpu.step(&mut optimizer);
        }
        bits(gpu, &ok(optimizer.ema_of("b")).expect("an average"))
    };
    assert_eq!(run(false), run(true));
}
