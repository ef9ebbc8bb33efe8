//! Many tensors: in one arena or in buffers of their own, under one group or ten. Measured in turn,
//! and set beside the streams of the same launches and of one tensor with as many elements.

use wgpu_optim::Optimizer;

use support::bench::{Place, clock, fill, in_turn};
use support::{ok, one_of_each};

const TENSORS: u64 = 1000;
const LEN: u64 = 8192;

fn main() {
    let clock = clock();
    let gpu = &clock.gpu;
    println!("{TENSORS} tensors of {LEN} elements");
    println!(
        "| rule | tensors | dispatches | step ms | ±% | of its stream | of one tensor's stream |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|");
    for group in one_of_each() {
        let cases = [
            ("one tensor", (Place::Own, 1, 1)),
            ("arena, 1 group", (Place::Arena, TENSORS, 1)),
            ("arena, 10 groups", (Place::Arena, TENSORS, 10)),
            ("own buffers, 1 group", (Place::Own, TENSORS, 1)),
            ("own buffers, 10 groups", (Place::Own, TENSORS, 10)),
        ];
        // The step of each case and its stream.
        let mut all = Vec::new();
        for (_, (place, tensors, groups)) in cases {
            for empty in [Optimizer::new(&gpu.device), Optimizer::streaming(&gpu.device)] {
                let what = (place, tensors, TENSORS * LEN / tensors);
                all.push(ok(fill(empty, gpu, what, (&group, groups))));
            }
        }
        let samples = in_turn(&clock, &mut all);
        for (i, (name, _)) in cases.into_iter().enumerate() {
            let (step, stream, ceiling) = (&samples[2 * i], &samples[2 * i + 1], &samples[1]);
            println!(
                "| {} | {name} | {} | {:.3} | {:.0} | {:.2} | {:.2} |",
                group.rule.name(),
                all[2 * i].dispatches(),
                step.median(),
                100.0 * step.spread(),
                stream.over(step).median(),
                ceiling.over(step).median(),
            );
        }
    }
}
