//! Many tensors: in one arena or in buffers of their own, under one group or ten. Measured in turn,
//! and set beside the streams of the same launches and of one tensor with as many elements.

mod common;

use wgpu_optim::timing::{Clock, Samples};
use wgpu_optim::{Group, Optimizer, rule};

use common::{Place, clock, fill, ok};

const TENSORS: u64 = 1000;
const LEN: u64 = 8192;

/// A way to lay out the tensors, and how long its step and its stream take.
struct Case {
    name: &'static str,
    dispatches: usize,
    optimizers: [Optimizer; 2],
    samples: [Samples; 2],
}

fn case(
    clock: &Clock,
    group: &Group,
    name: &'static str,
    (place, tensors, groups): (Place, u64, u64),
) -> Case {
    let gpu = &clock.gpu;
    let make = |optimizer| {
        let what = (place, tensors, TENSORS * LEN / tensors);
        ok(fill(optimizer, gpu, what, (group, groups)))
    };
    let mut optimizers = [Optimizer::new(&gpu.device), Optimizer::streaming(&gpu.device)].map(make);
    let dispatches = optimizers[0].dispatches();
    Case { name, dispatches, optimizers, samples: Default::default() }
}

fn main() {
    // `cargo bench` says so; `cargo test` only wants to see that it runs.
    let full = std::env::args().any(|arg| arg == "--bench");
    let rounds = if full { 15 } else { 1 };
    let clock = clock();
    println!("{TENSORS} tensors of {LEN} elements, median of {rounds}");
    println!(
        "| rule | tensors | dispatches | step ms | ±% | of its stream | of one tensor's stream |"
    );
    println!("|---|---|---|---|---|---|---|");
    for entry in rule::ALL {
        let Some(group) = (entry.variants)().into_iter().next() else { continue };
        let mut cases = [
            ("one tensor", (Place::Own, 1, 1)),
            ("arena, 1 group", (Place::Arena, TENSORS, 1)),
            ("arena, 10 groups", (Place::Arena, TENSORS, 10)),
            ("own buffers, 1 group", (Place::Own, TENSORS, 1)),
            ("own buffers, 10 groups", (Place::Own, TENSORS, 10)),
        ]
        .map(|(name, what)| case(&clock, &group, name, what));
        let steps = if full { ok(clock.enough(&mut cases[0].optimizers[0], 20.0)) } else { 1 };
        // The first round warms up.
        for round in 0..=rounds {
            for case in &mut cases {
                for (optimizer, samples) in case.optimizers.iter_mut().zip(&mut case.samples) {
                    let ms = ok(clock.gpu_ms(optimizer, steps));
                    if round > 0 {
                        samples.push(ms);
                    }
                }
            }
        }
        let [_, ceiling] = cases[0].samples.clone();
        for Case { name, dispatches, samples: [step, stream], .. } in &cases {
            println!(
                "| {} | {name} | {dispatches} | {:.3} | {:.0} | {:.2} | {:.2} |",
                entry.name,
                step.median(),
                100.0 * step.spread(),
                stream.over(step).median(),
                ceiling.over(step).median(),
            );
        }
    }
}
