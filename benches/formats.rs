//! A step of ADAM over 16-bit numbers, and one that writes more than parameters and state: how much less or
//! more it moves, and what comes of that. Measured in turn with the same in f32, each beside its own stream.

use wgpu_optim::headless::Gpu;
use wgpu_optim::{Error, Format, Group, Master, Optimizer, View};

use support::bench::{clock, in_turn};
use support::ok;

const LEN: u64 = 1 << 24;

/// The case that writes a copy.
const COPIED: &str = "f32 with a bf16 copy";

/// One tensor of `formats`, parameter and gradient, under `group`, and its copy.
fn one(
    mut optimizer: Optimizer,
    gpu: &Gpu,
    group: &Group,
    formats: [Format; 2],
    copy: Option<Format>,
) -> Result<Optimizer, Error> {
    let view = |format: Format| -> Result<View, Error> {
        Ok(View::whole(&gpu.zeros("numbers", LEN * format.bytes() / 4)?, format))
    };
    let id = optimizer.add_group(group.clone())?;
    let id = optimizer.add_param(id, "w", view(formats[0])?, view(formats[1])?)?;
    optimizer.set_copy(id, copy.map(view).transpose()?)?;
    optimizer.prepare()?;
    Ok(optimizer)
}

fn main() {
    let clock = clock();
    let gpu = &clock.gpu;
    let (f32, f16, bf16) = (Format::F32, Format::F16, Format::Bf16);
    let adam = Group::adam(1e-3);
    let with = |master| adam.clone().master(master);
    let cases = [
        ("f32", [f32, f32], adam.clone(), 28),
        ("bf16 state", [f32, f32], adam.clone().state_format(bf16), 20),
        ("bf16 gradients and state", [f32, bf16], adam.clone().state_format(bf16), 18),
        ("bf16 but for the state", [bf16, bf16], adam.clone(), 22),
        ("bf16", [bf16, bf16], adam.clone().state_format(bf16), 14),
        ("f16 but for the state", [f16, f16], adam.clone(), 22),
        ("bf16 at random", [bf16, bf16], adam.clone().stochastic_rounding(7), 22),
        ("bf16 with remainder", [bf16, bf16], with(Master::Remainder), 26),
        ("f16 with an f32 master", [f16, f16], with(Master::F32), 30),
        ("f32 with an average", [f32, f32], adam.clone().ema(0.999), 36),
        (COPIED, [f32, f32], adam.clone(), 30),
    ];
    println!("one tensor of {LEN} elements");
    println!(
        "| numbers | bytes/parameter | step ms | ±% | of stream | times f32's | bytes, times |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    let mut all = Vec::new();
    for (name, formats, group, _) in &cases {
        let copy = (*name == COPIED).then_some(bf16);
        for empty in [Optimizer::new(&gpu.device), Optimizer::streaming(&gpu.device)] {
            all.push(ok(one(empty, gpu, group, *formats, copy)));
        }
    }
    let samples = in_turn(&clock, &mut all);
    for (i, (name, _, _, bytes)) in cases.iter().enumerate() {
        let (step, stream) = (&samples[2 * i], &samples[2 * i + 1]);
        println!(
            "| {name} | {bytes} | {:.3} | {:.0} | {:.2} | {:.2} | {:.2} |",
            step.median(),
            100.0 * step.spread(),
            stream.over(step).median(),
            step.over(&samples[0]).median(),
            f64::from(*bytes) / 28.0,
        );
    }
}
