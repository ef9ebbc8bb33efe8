//! This module lists the effects of a program: the elements that each pass reads and writes, however launches are cut.
//! A program that was refreshed must have the effects of a program that is made from nothing.

use super::moving::ABSENT;
use super::pass::{Pass, Recordable};
use crate::kernel::Address;
use crate::model::{OPERANDS, Spec};
use crate::plan::{GRAD, QUAD, Width};

/// Neighbouring elements that one kernel works on.
#[derive(Clone, Debug, PartialEq)]
struct Effect {
    spec: Spec,
    block: u32,
    /// For each variable, the buffer and the first element.
    places: Vec<(wgpu::Buffer, u64)>,
    elements: u64,
}

impl Effect {
    /// Whether `next` begins where these elements end.
    fn adjoins(&self, next: &Self) -> bool {
        let mut places = self.places.iter().zip(&next.places);
        (&self.spec, self.block) == (&next.spec, next.block)
            && places.all(|(one, two)| one.0 == two.0 && one.1 + self.elements == two.1)
    }
}

/// The effects of a pass.
fn of(pass: &Pass) -> Vec<Effect> {
    let launches = pass.launches.iter().filter(|launch| launch.is_ready());
    let mut all: Vec<Effect> = launches.flat_map(chunks).collect();
    all.sort_by_key(|effect| effect.places.first().map(|(_, at)| *at));
    let mut merged: Vec<Effect> = Vec::new();
    for effect in all {
        match merged.iter_mut().rev().find(|one| one.adjoins(&effect)) {
            Some(one) => one.elements += effect.elements,
            None => merged.push(effect),
        }
    }
    merged
}

/// Whether two passes have the same effects, in any order.
pub(super) fn are_same(one: Option<&Pass>, two: Option<&Pass>) -> bool {
    let [one, mut two] = [one, two].map(|pass| pass.map(of).unwrap_or_default());
    let found = one.iter().all(|effect| {
        let at = two.iter().position(|other| other == effect);
        at.map(|at| two.swap_remove(at)).is_some()
    });
    found && two.is_empty()
}

/// The effects of a launch, chunk by chunk.
fn chunks(launch: &Recordable) -> Vec<Effect> {
    let kernel = &launch.kernel;
    let words = launch.moving.as_ref().map_or(&launch.words, |moving| moving.words());
    let width = launch.moving.as_ref().map_or(kernel.width, |moving| moving.width());
    let [param, grad, state, length, ..] = words.launch;
    let rows = match kernel.address {
        Address::Direct => vec![[param, grad, state, length]],
        Address::Table | Address::Moving => words.chunks.clone(),
    };
    let direct = kernel.address == Address::Direct;
    let mut all = Vec::new();
    for [param, grad, state, word] in rows {
        let length = if direct { word } else { word & 0xffff };
        let block = if direct { launch.block } else { launch.block + (word >> 16) };
        // An absent gradient counts as zeros, which is no effect.
        let absent = !kernel.spec.is_step() && !direct && word >> 16 == ABSENT;
        if length == 0 || absent {
            continue;
        }
        let mut bound = launch.bound.iter();
        let places = kernel.variables().into_iter().filter_map(|variable| {
            let row = variable.operand;
            let column = [param, grad, state];
            let index = match OPERANDS[row].follows() {
                None => column[OPERANDS[row].column()?],
                Some(of) => column[of]
                    .wrapping_add(words.launch[words.launch.len() - crate::plan::MOST + row]),
            };
            let loose = row == GRAD && width == Width::Loose;
            let each = if width == Width::Scalar || loose { 1 } else { QUAD };
            let elements = u64::from(index) * each;
            let moving = launch.moving.as_ref().filter(|_| row == GRAD);
            Some(match moving {
                Some(moving) => (moving.buffer()?.clone(), elements),
                None => {
                    let (_, buffer, range) = bound.next()?;
                    (buffer.clone(), variable.code.element_at(range.start) + elements)
                }
            })
        });
        let places = places.collect();
        let elements = u64::from(length) * width.elements();
        all.push(Effect { spec: kernel.spec.clone(), block, places, elements });
    }
    all
}
