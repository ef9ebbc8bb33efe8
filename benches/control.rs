//! The time that clipping, scaling and skipping add to a step, measured in turn with a step without them.

use wgpu_optim::{Control, LossScale, Optimizer};

use support::bench::{Place, clock, fill, in_turn};
use support::{ok, one_of_each};

const LEN: u64 = 1 << 24;

fn main() {
    let clock = clock();
    let gpu = &clock.gpu;
    let plain = Control::default();
    let clip_norm = Some(1.0);
    let cases = [
        ("nothing", plain),
        ("zero_grad", Control { zero_grad: true, ..plain }),
        ("clip_value", Control { clip_value: Some(1e-3), ..plain }),
        ("skip_nonfinite", Control { skip_nonfinite: true, ..plain }),
        ("clip_norm", Control { clip_norm, ..plain }),
        (
            "clip_norm, clip_value, dynamic loss scale",
            Control {
                clip_norm,
                clip_value: Some(1e-3),
                loss_scale: LossScale::dynamic(),
                ..plain
            },
        ),
    ];
    println!("one tensor of {LEN} elements");
    println!("| rule | control | step ms | ±% | times a step alone | traffic, times |");
    println!("|---|---|---:|---:|---:|---:|");
    for group in one_of_each() {
        let optimizer = |control: Control| {
            let filled = fill(Optimizer::new(&gpu.device), gpu, (Place::Own, 1, LEN), (&group, 1));
            let mut optimizer = ok(filled);
            ok(optimizer.set_control(control));
            optimizer
        };
        let mut all: Vec<Optimizer> =
            cases.iter().map(|(_, control)| optimizer(*control)).collect();
        let samples = in_turn(&clock, &mut all);
        let bytes = 4.0 * (3 + 2 * group.rule.slots().len()) as f64;
        for ((name, control), step) in cases.iter().zip(&samples) {
            let more = 4.0 * f64::from(control.looks_at_gradients() || control.zero_grad);
            println!(
                "| {} | {name} | {:.3} | {:.0} | {:.2} | {:.2} |",
                group.rule.name(),
                step.median(),
                100.0 * step.spread(),
                step.over(&samples[0]).median(),
                (bytes + more) / bytes,
            );
        }
    }
}
