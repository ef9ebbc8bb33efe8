//! This module makes the pass that sums up the squares of gradients. The order of the sums depends on no address.

use super::moving::owner;
use super::pass::{Pass, Planned, address};
use super::update::can_move;
use crate::buckets::Buckets;
use crate::kernel::{EACH, KernelSpec, Kernels};
use crate::model::{Body, Model, Spec};
use crate::plan::{self, Bounds, MOST, PARAM, Piece, QUAD, Shape, Width};

/// The partial sums of a norm.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Partials {
    /// By the rank of each parameter, its first partial sum.
    pub(super) firsts: Vec<u32>,
    pub(super) count: u32,
}

/// The number of elements in a partial sum over whole quads.
fn span(bounds: Bounds) -> u64 {
    QUAD * bounds.invocations * EACH
}

/// Counts the partial sums of a parameter: one for each span of elements, and one for the elements after its last
/// whole quad.
pub(crate) fn partials_of(len: u64, bounds: Bounds) -> u64 {
    (len / QUAD * QUAD).div_ceil(span(bounds)) + u64::from(!len.is_multiple_of(QUAD))
}

/// The partial sums of all parameters, in the order of their ranks.
pub(super) fn partials(model: &Model, bounds: Bounds) -> Partials {
    let mut all = Partials::default();
    // A parameter that is removed keeps its rank, so that older statistics name the right one.
    for number in &model.order {
        all.firsts.push(all.count);
        let len = model.places[*number].map_or(0, |index| model.params[index].view.len);
        all.count += partials_of(len, bounds) as u32;
    }
    all
}

/// Plans the launches over all gradients. Each gradient is summed as if its view began a quad, wherever the view lies.
pub(super) fn plan(
    model: &Model,
    kernels: &mut Kernels,
    movable: u32,
    partials: &Partials,
    [sums, controller]: [&wgpu::Buffer; 2],
) -> Pass {
    let bounds = Bounds { each: EACH, ..kernels.bounds() };
    let summed = *model.sums.taken;
    let mut rigid = false;
    let mut together = Buckets::new();
    for (index, param) in model.params.iter().enumerate() {
        let grad = model.gradient(index);
        let spec = Spec {
            grad: model.grad_format(index),
            clip_value: model.control.clip_value.is_some(),
            clear: model.control.zero_grad && !summed && param.moves,
            summed,
            ..Spec::new(Body::Norm, None)
        };
        let moves = param.moves && can_move(&spec, grad.as_ref(), movable, bounds);
        rigid |= param.moves && !moves;
        let at = match &grad {
            _ if moves => 0,
            Some(grad) => grad.at(),
            None => continue,
        };
        // Each parameter owns its pieces, so that no partial sum spans two gradients.
        let owner = owner(index, true);
        let piece = Piece { at: [at; MOST], len: param.view.len, block: 0, owner, from: 0 };
        let buffer = grad.map(|grad| grad.buffer);
        let key = (spec.clone(), moves, buffer.clone());
        together.entry(key, || (spec, moves, buffer, Vec::new())).3.push(piece);
    }
    let mut planned = Vec::new();
    for (spec, moves, buffer, pieces) in together.into_buckets() {
        let shape = Shape {
            sizes: [spec.grad.bytes(); MOST],
            follows: std::array::from_fn(|row| row),
            joined: false,
            apart: Vec::new(),
            unit: Some(span(bounds)),
            tables: moves,
            in_blocks: false,
        };
        for mut launch in plan::launches(pieces, &shape, bounds) {
            number(&mut launch, model, partials, bounds);
            let address = address(&launch, moves);
            let (spec, width) = (spec.clone(), launch.width);
            let kernel = KernelSpec { spec, width, address };
            let extra =
                vec![(kernel.extra(0), sums.clone()), (kernel.extra(1), controller.clone())];
            let buffers = vec![buffer.clone().unwrap_or_else(|| sums.clone())];
            planned.push(Planned { kernel, launch, buffers, extra, further: 0 });
        }
    }
    let mut pass = Pass::new(model, kernels, planned);
    pass.is_rigid = rigid;
    pass
}

/// Gives each chunk the number of its first partial sum in place of the parameter's index.
fn number(launch: &mut plan::Launch, model: &Model, partials: &Partials, bounds: Bounds) {
    let scalar = launch.width == Width::Scalar;
    for chunk in &mut launch.chunks {
        let owner = chunk.owner as usize;
        let whole = model.params[owner].view.len / QUAD * QUAD;
        let from = if scalar { whole.div_ceil(span(bounds)) } else { chunk.from / span(bounds) };
        chunk.at[PARAM] = partials.firsts[model.params[owner].rank] + from as u32;
    }
}
