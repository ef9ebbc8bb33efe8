//! This module plans the passes over parameters: the step, and the sums of gradients.

use std::ops::Range;

use super::moving::owner;
use super::pass::{Pass, Planned, address};
use crate::buckets::Buckets;
use crate::kernel::{KernelSpec, Kernels, WINDOW};
use crate::model::{
    Body, Grads, Model, OPERANDS, Operand, Param, Spec, Variable, Weight, operand, variables,
};
use crate::num::Format;
use crate::num::blocks::LONGEST;
use crate::plan::{self, Bounds, GRAD, MOST, PARAM, Piece, STATE, Shape, can_be_apart};
use crate::view::View;

/// The key of parameters that can share a launch.
struct Together {
    spec: Spec,
    moves: bool,
    /// One of these parameters.
    any: usize,
    grad: Option<View>,
    further: u32,
    pieces: Vec<Piece>,
}

/// Classifies the place of a parameter's gradients against the buffers that a step writes.
pub(crate) fn grads_of(param: &View, copy: Option<&View>, grad: &View, bounds: Bounds) -> Grads {
    let copied = copy.filter(|copy| copy.buffer == grad.buffer);
    if grad.buffer == param.buffer && grad.format == param.format {
        let span = span(param, grad);
        let is_free =
            copied.is_none_or(|copy| can_be_apart(span.clone(), bytes(copy), bounds.alignment));
        if is_free && span.end - span.start + bounds.alignment <= bounds.binding {
            return Grads::Joined;
        }
    }
    let is_written = grad.buffer == param.buffer || copied.is_some();
    if is_written { Grads::Shared } else { Grads::Own }
}

fn bytes(view: &View) -> Range<u64> {
    view.bytes().0..view.bytes().1
}

fn span(one: &View, two: &View) -> Range<u64> {
    let (one, two) = (bytes(one), bytes(two));
    one.start.min(two.start)..one.end.max(two.end)
}

/// Finds two views of one parameter that no launch could bind without an overlap. Returns the rows of their operands.
pub(crate) fn too_near(
    param: &View,
    copy: Option<&View>,
    grad: Option<&View>,
    bounds: Bounds,
) -> Option<[usize; 2]> {
    let copy_row = operand("copy")?;
    let views = [(PARAM, Some(param)), (GRAD, grad), (copy_row, copy)];
    let joined = grad.is_some_and(|grad| grads_of(param, copy, grad, bounds) == Grads::Joined);
    let pairs = [(0, 1), (0, 2), (1, 2)];
    pairs.into_iter().find_map(|(i, j)| {
        let ((one, Some(a)), (two, Some(b))) = (views[i], views[j]) else { return None };
        let apart = a.buffer != b.buffer
            || (joined && [one, two] == [PARAM, GRAD])
            || can_be_apart(bytes(a), bytes(b), bounds.alignment);
        (!apart).then_some([one, two])
    })
}

/// The launches of a step over all parameters; or, if they blend, those that move all parameters whose rules keep an
/// average.
pub(super) fn plan(model: &Model, kernels: &mut Kernels, movable: u32, blends: bool) -> Pass {
    let bounds = kernels.bounds();
    let copy_row = operand("copy").unwrap_or(MOST - 1);
    let mut rigid = false;
    let mut together = Buckets::new();
    for (index, param) in model.params.iter().enumerate() {
        let Some(spot) = param.spot else { continue };
        let grad = model.gradient(index).filter(|_| !blends);
        let mut spec = model.spec(index);
        if blends {
            if spec.rule.as_ref().is_none_or(|rule| rule.averaged().is_none()) {
                continue;
            }
            spec = blended(spec);
        }
        let near = |grad: &View| grads_of(&param.view, param.copy.as_ref(), grad, bounds);
        spec.grads = grad.as_ref().map_or(Grads::Own, near);
        let moves = !blends && param.moves && can_move(&spec, grad.as_ref(), movable, bounds);
        rigid |= !blends && param.moves && !moves;
        if grad.is_none() && !moves && !blends {
            continue;
        }
        let view = &param.view;
        let cohort = model.grads[index].cohort as u32;
        let mut at = [spot.at; MOST];
        at[PARAM] = view.at();
        at[GRAD] = match &grad {
            Some(grad) if !moves => grad.at(),
            _ => view.at(),
        };
        at[copy_row] = param.copy.as_ref().map_or(view.at(), View::at);
        // Blocks belong to one parameter.
        let owner = owner(index, moves || spec.in_blocks());
        let piece = Piece { at, len: view.len, block: cohort, owner, from: 0 };
        // A launch over moving gradients sees the scalars of all cohorts; any other launch sees a window of them.
        let window = if moves { 0 } else { cohort / WINDOW };
        // In one launch, a copy and the noise each have one distance from the parameter.
        let copy = param
            .copy
            .as_ref()
            .map(|copy| (copy.buffer.clone(), at[copy_row].wrapping_sub(view.at())));
        let further = (param.origin as u32).wrapping_sub(view.at() as u32);
        let place = (view.buffer.clone(), copy, spot.slab, further);
        let of_grad = grad.as_ref().map(|grad| grad.buffer.clone());
        let key = (spec.clone(), moves, place, of_grad, window);
        let new = || Together { spec, moves, any: index, grad, further, pieces: Vec::new() };
        together.entry(key, new).pieces.push(piece);
    }
    let mut pass = bound(model, kernels, together.into_buckets());
    pass.is_rigid = rigid;
    pass
}

/// The kernel that moves a parameter whose steps have this kernel. The move rounds to nearest.
fn blended(step: Spec) -> Spec {
    let weight = match step.weight {
        Weight::Stochastic => Weight::Plain,
        weight => weight,
    };
    let Spec { rule, param, grad, state, copy, .. } = step;
    Spec { param, grad, state, copy, weight, ..Spec::new(Body::Blend, rule) }
}

/// The launches that add all gradients to their sums.
pub(super) fn plan_sums(model: &Model, kernels: &mut Kernels, movable: u32) -> Pass {
    let bounds = kernels.bounds();
    let mut rigid = false;
    let mut together = Buckets::new();
    for (index, param) in model.params.iter().enumerate() {
        let Some(spot) = param.spot else { continue };
        let grad = model.grads[index].view.clone();
        let spec = Spec {
            grad: model.grads[index].format,
            clear: model.control.zero_grad,
            ..Spec::new(Body::Accumulate, None)
        };
        let moves = param.moves && can_move(&spec, grad.as_ref(), movable, bounds);
        rigid |= param.moves && !moves;
        let at_grad = match &grad {
            Some(grad) if !moves => grad.at(),
            Some(_) => spot.at,
            None if moves => spot.at,
            None => continue,
        };
        let mut at = [spot.at; MOST];
        at[GRAD] = at_grad;
        let owner = owner(index, moves);
        let piece = Piece { at, len: param.view.len, block: 0, owner, from: 0 };
        let of_grad = grad.as_ref().map(|grad| grad.buffer.clone());
        let key = (spec.clone(), moves, spot.slab, of_grad);
        let new = || Together { spec, moves, any: index, grad, further: 0, pieces: Vec::new() };
        together.entry(key, new).pieces.push(piece);
    }
    let mut pass = bound(model, kernels, together.into_buckets());
    pass.is_rigid = rigid;
    pass
}

/// Whether gradients can have a bind group of their own. They cannot if they share a buffer with parameters, or fill
/// more than one binding, or if the device has too few bind groups; then every move takes another plan.
pub(super) fn can_move(spec: &Spec, grad: Option<&View>, movable: u32, bounds: Bounds) -> bool {
    let fits = grad.is_none_or(|grad| grad.buffer.size() <= bounds.binding);
    // Besides its operands, such a launch binds its chunks and the scalars of all cohorts.
    let buffers = variables(spec).len() as u32 + 2;
    buffers <= movable && spec.grads == Grads::Own && fits
}

/// Plans launches and binds them.
fn bound(model: &Model, kernels: &mut Kernels, together: Vec<Together>) -> Pass {
    let bounds = kernels.bounds();
    // Launches of one pipeline become neighbours.
    let mut launches = Buckets::new();
    for Together { spec, moves, any, grad, further, pieces } in together {
        let param = &model.params[any];
        let shape = shape(&spec, param, grad.as_ref(), moves);
        let buffers: Vec<wgpu::Buffer> = variables(&spec)
            .iter()
            .filter_map(|variable| buffer(model, any, grad.as_ref(), variable))
            .collect();
        for launch in plan::launches(pieces, &shape, bounds) {
            let address = address(&launch, moves);
            let (spec, width) = (spec.clone(), launch.width);
            let kernel = KernelSpec { spec, width, address };
            let buffers = buffers.clone();
            let key = kernel.clone();
            launches.entry(key, Vec::new).push(Planned {
                kernel,
                launch,
                buffers,
                extra: Vec::new(),
                further,
            });
        }
    }
    let planned = launches.into_buckets().into_iter().flatten().collect();
    Pass::new(model, kernels, planned)
}

/// The shape of launches over parameters like this one.
fn shape(spec: &Spec, param: &Param, grad: Option<&View>, moves: bool) -> Shape {
    let mut sizes = [0_u64; MOST];
    let mut follows: [usize; MOST] =
        std::array::from_fn(|row| OPERANDS.get(row).and_then(Operand::follows).unwrap_or(row));
    for variable in variables(spec) {
        let size = variable.code.bytes(LONGEST).div_ceil(LONGEST);
        sizes[variable.operand] = sizes[variable.operand].max(size);
    }
    if sizes[PARAM] == 0 {
        // Sums stand at the place of the state.
        (follows[PARAM], sizes[PARAM]) = (STATE, Format::F32.bytes());
    }
    if spec.grads == Grads::Joined || moves || sizes[GRAD] == 0 {
        sizes[GRAD] = sizes[PARAM];
    }
    if sizes[STATE] == 0 {
        sizes[STATE] =
            sizes.into_iter().skip(STATE + 1).max().filter(|size| *size > 0).unwrap_or(4);
    }
    for row in STATE + 1..MOST {
        let column = if row < OPERANDS.len() { follows[row] } else { STATE };
        if sizes[row] == 0 {
            (follows[row], sizes[row]) = (column, sizes[column]);
        }
    }
    let caller = |row: usize| match OPERANDS.get(row) {
        Some(operand) if !operand.is_ours() => match row {
            PARAM => spec.is_step().then_some(&param.view.buffer),
            GRAD => grad.filter(|_| !moves).map(|grad| &grad.buffer),
            _ => param.copy.as_ref().filter(|_| spec.is_step()).map(|copy| &copy.buffer),
        },
        _ => None,
    };
    let joined = spec.grads == Grads::Joined;
    let mut apart = Vec::new();
    for one in 0..OPERANDS.len() {
        for two in one + 1..OPERANDS.len() {
            let pair = caller(one).zip(caller(two));
            if pair.is_some_and(|(one, two)| one == two) && !(joined && (one, two) == (PARAM, GRAD))
            {
                apart.push((one, two));
            }
        }
    }
    let in_blocks = spec.in_blocks();
    Shape { sizes, follows, joined, apart, unit: None, tables: moves, in_blocks }
}

/// The buffer of a variable of a parameter.
fn buffer(
    model: &Model,
    index: usize,
    grad: Option<&View>,
    variable: &Variable,
) -> Option<wgpu::Buffer> {
    let param = &model.params[index];
    match variable.operand {
        row if OPERANDS[row].is_ours() => {
            model.slabs.buffer(param.spot?, row, variable.index).cloned()
        }
        PARAM => Some(param.view.buffer.clone()),
        // A gradient that moves is bound elsewhere; the parameter's buffer stands for it in this list.
        GRAD => Some(grad.map_or_else(|| param.view.buffer.clone(), |grad| grad.buffer.clone())),
        _ => param.copy.as_ref().map(|copy| copy.buffer.clone()),
    }
}
