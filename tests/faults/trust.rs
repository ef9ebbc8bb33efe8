//! A rule is asked once for what its kernels are made of: a rule that answers differently later changes nothing.

use support::ByName;
use support::{bits, gpu, numbers, ok, upload};
use wgpu_optim::{Adam, Control, Group, Optimizer, Scalar, Slot, View};

use super::foreign::{Foreign, asked};

const LEN: u64 = 37;

/// Adam's text, but the direction stores far behind every buffer.
const OUTSIDE: &str = "
override AMSGRAD: bool = false;
const HYPER_LENGTH = 10u;
struct Hyper { beta1: f32, b: f32, c: f32, d: f32, e: f32, f: f32, g: f32, h: f32, i: f32, j: f32 }
fn direction(p: real, g: real, hyper: Hyper) -> real {
    store_param(0x3fffffffu, real(1e30));
    return real(1e30);
}";

/// Rules that answer as Adam does at first and otherwise later, each with what changes.
fn liars() -> Vec<(&'static str, Foreign<Adam>)> {
    let new = || Foreign::new(Adam::default());
    vec![
        ("nothing", new()),
        ("the text", Foreign { wgsl: |i, own| if i == 0 { own } else { OUTSIDE }, ..new() }),
        (
            "whether the text is one",
            Foreign { wgsl: |i, own| if i == 0 { own } else { "?" }, ..new() },
        ),
        // A caller that counts slots and scalars before they are used may ask twice.
        (
            "the slots",
            Foreign {
                slots: |i, own| {
                    if i < 3 { own } else { [own, vec![Slot::zero("more"); 7]].concat() }
                },
                ..new()
            },
        ),
        (
            "that there are slots",
            Foreign { slots: |i, own| if i < 3 { own } else { vec![] }, ..new() },
        ),
        (
            "the switches",
            Foreign {
                switches: |i, own| {
                    if i == 0 { own } else { vec![("AMSGRAD", true), ("NONE", true)] }
                },
                ..new()
            },
        ),
        (
            "the scalars",
            Foreign {
                hyper: |i, own| {
                    if i < 4 { own } else { [own, vec![Scalar::by_step("more"); 99]].concat() }
                },
                ..new()
            },
        ),
    ]
}

/// Some steps, with every kind of kernel: plain, skipping, over sums, and over gradients that move.
fn train(optimizer: &mut Optimizer, group: Group) -> Vec<Vec<u32>> {
    let gpu = gpu();
    let [param, grad, other] = [1, 2, 3].map(|seed| View::f32(&upload(gpu, &numbers(LEN, seed))));
    let id = ok(optimizer.add_group(group));
    let w = ok(optimizer.add_param(id, "w", param.clone(), grad.clone()));
    gpu.step(optimizer);
    ok(optimizer.set_control(Control { skip_nonfinite: true, ..Control::default() }));
    gpu.step(optimizer);
    support::record(gpu, |encoder| {
        ok(optimizer.accumulate(encoder));
        optimizer.step(encoder);
    });
    ok(optimizer.set_grad(w, other));
    gpu.step(optimizer);
    ok(optimizer.set_group(id, ok(optimizer.group(id)).clone().lr(0.5)));
    gpu.step(optimizer);
    let state = ["exp_avg", "exp_avg_sq"].map(|slot| ok(optimizer.state_of("w", slot)));
    [param].iter().chain(&state).map(|view| bits(gpu, view)).collect()
}

#[test]
fn a_rule_that_changes_its_mind_changes_nothing() {
    let gpu = gpu();
    let expected = train(&mut Optimizer::new(&gpu.device), Group::adam(0.1));
    for (what, liar) in liars() {
        let found = train(&mut Optimizer::new(&gpu.device), Group::new(0.1, liar));
        assert_eq!(found, expected, "a rule that changes {what}");
    }
}

/// Asking again would ask for another text than the one that was checked.
#[test]
fn a_text_is_asked_for_once() {
    let gpu = gpu();
    let rule = Foreign::new(Adam::default());
    let calls = rule.calls.clone();
    let mut optimizer = Optimizer::new(&gpu.device);
    train(&mut optimizer, Group::new(0.1, rule));
    assert_eq!([&calls.wgsl, &calls.switches].map(asked), [1, 1]);
}

/// A rule that takes the place of another is asked once, too, and what it says later is of no use.
#[test]
fn the_next_rule_of_a_group_is_asked_once() {
    let gpu = gpu();
    let run = |next: Group| {
        let [param, grad] = [1, 2].map(|seed| View::f32(&upload(gpu, &numbers(LEN, seed))));
        let mut optimizer = Optimizer::new(&gpu.device);
        let id = ok(optimizer.add_group(Group::adam(0.1)));
        ok(optimizer.add_param(id, "w", param.clone(), grad));
        gpu.step(&mut optimizer);
        ok(optimizer.set_group(id, next));
        gpu.step(&mut optimizer);
        bits(gpu, &param)
    };
    let adam = || Adam { betas: [0.5, 0.9], ..Adam::default() };
    let liar =
        Foreign { wgsl: |i, own| if i == 0 { own } else { OUTSIDE }, ..Foreign::new(adam()) };
    assert_eq!(run(Group::new(0.1, liar)), run(Group::new(0.1, adam())));
}
