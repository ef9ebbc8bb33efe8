//! Programs that must give the same bits.

use wgpu_optim::{Control, LossScale};

use super::calls::BITS_WITHOUT_ADDRESSES;
use super::program::{Call, Program, programs};
use super::runner::{How, Pack, Runner};
use super::{for_all, gpu};

fn bits(program: &Program, how: How) -> Result<Vec<Vec<u32>>, String> {
    Ok(Runner::run(gpu(), program, how)?.bits)
}

fn same(what: &str, one: &[Vec<u32>], other: &[Vec<u32>]) -> Result<(), String> {
    if one.len() != other.len() {
        return Err(format!("{what}: {} views, {}", one.len(), other.len()));
    }
    let mut pairs = one.iter().zip(other).enumerate();
    match pairs.find(|(_, (one, other))| one != other) {
        Some((i, (one, other))) => {
            let at = one.iter().zip(other).position(|(x, y)| x != y).unwrap_or(0);
            let [x, y] = [one, other].map(|all| all.get(at).copied().map(f32::from_bits));
            Err(format!("{what}: view {i}, element {at}: {x:?} and {y:?}"))
        }
        None => Ok(()),
    }
}

/// How calls are spread over encoders does not matter.
#[test]
fn one_encoder_or_many() {
    for_all(4, programs(4..40), |program| {
        let [each, once] =
            [Pack::Each, Pack::Once].map(|pack| bits(program, How { pack, ..How::default() }));
        same("each alone, or together", &each?, &once?)
    });
}

/// A program without what needs the GPU to decide, but for what every step has of `with`.
fn deciding(program: &Program, with: Control) -> Program {
    let change = |control: Control| {
        let loss_scale = match control.loss_scale {
            LossScale::Fixed(scale) if scale.log2().fract() == 0.0 => LossScale::Fixed(scale),
            _ => LossScale::Fixed(2.0),
        };
        let Control { clip_norm, skip_nonfinite, .. } = with;
        Control { clip_norm, skip_nonfinite, loss_scale, ..control }
    };
    let calls = program.0.iter().map(|call| match call.clone() {
        Call::SetControl(control) => Call::SetControl(change(control)),
        Call::Step(Some(fill)) => Call::Step(Some(super::program::Fill { bad: None, ..fill })),
        Call::Accumulate(Some(fill)) => {
            Call::Accumulate(Some(super::program::Fill { bad: None, ..fill }))
        }
        call => call,
    });
    let first = Call::SetControl(change(Control::default()));
    Program(std::iter::once(first).chain(calls).collect())
}

/// Whether the host counts or the GPU does not matter, as long as no step is skipped.
#[test]
fn host_or_gpu_counting() {
    for_all(4, programs(4..40), |program| {
        let how = || How { pack: Pack::Once, ..How::default() };
        let host = bits(&deciding(program, Control::default()), how())?;
        let skipping = Control { skip_nonfinite: true, ..Control::default() };
        same("host or skipping", &host, &bits(&deciding(program, skipping), how())?)?;
        let clipping = Control { clip_norm: Some(1e30), ..Control::default() };
        same("host or clipping", &host, &bits(&deciding(program, clipping), how())?)
    });
}

/// Gradients that move give the bits of the same numbers that stay.
#[test]
fn moving_or_fixed_gradients() {
    for_all(4, programs(4..40), |program| {
        let mut program = program.clone();
        if !BITS_WITHOUT_ADDRESSES {
            for call in &mut program.0 {
                if let Call::SetControl(control) = call {
                    control.clip_norm = None;
                }
            }
        }
        let how = |moves| How { pack: Pack::Once, moves, refills: true, ..How::default() };
        same("moving or fixed", &bits(&program, how(true))?, &bits(&program, how(false))?)
    });
}
