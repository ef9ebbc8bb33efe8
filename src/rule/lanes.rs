//! A formula in f32 over many elements: the loop of the CPU engine, which the compiler vectorizes.

use super::formula::{At, Formula};
use crate::num::MAX_SLOTS;

/// Bytes of a cache line.
const LINE: usize = 64;

/// The elements that one task of the CPU engine steps.
#[derive(Debug)]
pub struct Lanes<'a> {
    pub(crate) param: &'a mut [f32],
    pub(crate) grad: &'a [f32],
    /// Slot after slot, each as long as the parameter.
    pub(crate) state: &'a mut [f32],
    /// The driver's scalars, rounded: the factor of the direction, of the parameter, and of both in
    /// the gradient that the rule sees.
    pub(crate) lr: f32,
    pub(crate) decay: f32,
    pub(crate) l2: f32,
    pub(crate) grad_scale: f32,
    pub(crate) at: At,
}

/// Steps all elements by `formula`, with the widest vectors the processor has.
pub(super) fn step<F: Formula>(formula: &F, lanes: Lanes<'_>) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || match lanes.state.len() / lanes.param.len().max(1) {
            0 => each::<F, 0>(formula, lanes),
            1 => each::<F, 1>(formula, lanes),
            2 => each::<F, 2>(formula, lanes),
            3 => each::<F, 3>(formula, lanes),
            _ => each::<F, MAX_SLOTS>(formula, lanes),
        },
    );
}

/// A loop that the compiler vectorizes: all scalars are invariant, all slices as long as each other.
#[inline(always)]
fn each<F: Formula, const SLOTS: usize>(formula: &F, lanes: Lanes<'_>) {
    let Lanes { param, grad, state, lr, decay, l2, grad_scale, at } = lanes;
    // A copy of our own, which no store through a slice can change: what follows from it is invariant.
    let formula = formula.clone();
    let len = param.len();
    let grad = &grad[..len];
    let mut rest = state;
    let mut slots: [&mut [f32]; SLOTS] = std::array::from_fn(|_| {
        let (slot, after) = std::mem::take(&mut rest).split_at_mut(len);
        rest = after;
        slot
    });
    // Up to the first whole cache line, then by whole lines: a vector that lies across two lines is
    // two accesses. A large vector, as allocators return it, has one phase, 16 bytes past a line
    // with glibc, so that the line of the parameter is usually that of gradient and state too.
    let head = param.as_ptr().align_offset(LINE).min(len);
    for range in [0..head, head..len] {
        for i in range {
            let p = param[i];
            let mut registers: [f32; SLOTS] = std::array::from_fn(|slot| slots[slot][i]);
            let u = formula.direction(p, grad_scale * grad[i] + l2 * p, &mut registers, at);
            for (slot, register) in slots.iter_mut().zip(registers) {
                slot[i] = register;
            }
            param[i] = at.stepped(p, u, lr, decay);
        }
    }
}
