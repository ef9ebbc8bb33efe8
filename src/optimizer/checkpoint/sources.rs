//! The list of everything that a checkpoint holds.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use safetensors::Dtype;

use super::super::Optimizer;
use crate::checkpoint::{
    Entry, Error, Form, SaveOptions, Saved, SavedGroup, SavedParam, Source, StateDict, VERSION,
    dtype,
};
use crate::config;
use crate::model::{Body, GroupState, Model, OPERANDS, Spec, at_home};
use crate::num::Code;
use crate::num::{BlockCode, WORD};
use crate::plan::STATE;
use crate::rule;
use crate::view::View;

/// An operand that the library keeps for a parameter: its row in `OPERANDS`, its number, and its name in a file.
pub(super) struct Kept {
    pub(super) operand: usize,
    pub(super) number: usize,
    /// The name of the tensor; of the codes, if the operand is in blocks.
    pub(super) name: String,
    /// The name of the scales, and the code, if the operand is in blocks.
    pub(super) blocks: Option<(String, BlockCode)>,
}

impl Kept {
    /// A slot of the parameter of this name.
    pub(super) fn slot(number: usize, (param, slot): (&str, &str), code: Code) -> Self {
        let named = |kind: &str| format!("{kind}.{param}.{slot}");
        let (name, blocks) = match code {
            Code::Blocks(code) => (named("code"), Some((named("scale"), code))),
            _ => (named("state"), None),
        };
        Self { operand: STATE, number, name, blocks }
    }

    /// The names of all tensors.
    pub(super) fn names(self) -> impl Iterator<Item = String> {
        std::iter::once(self.name).chain(self.blocks.map(|(scales, _)| scales))
    }
}

/// The name in a file of what the library keeps for a parameter besides slots.
pub(super) fn tensor_name(operand: &str, param: &str) -> String {
    match operand {
        // A file has the whole number, not its low bits alone.
        "low_bits" => format!("master.{param}"),
        operand => format!("{operand}.{param}"),
    }
}

/// Everything that the library keeps for a parameter, which a file knows as `name`; the sums only if a step will take
/// them.
pub(super) fn kept(model: &Model, index: usize, name: &str, with_sums: bool) -> Vec<Kept> {
    let slots = model.kinds[model.params[index].group].rule.slot_names();
    let sums = with_sums.then(|| Spec::new(Body::Accumulate, None));
    let specs = [model.spec(index)].into_iter().chain(sums);
    let variables = specs.flat_map(|spec| at_home(&spec).collect::<Vec<_>>());
    let named = variables.map(|variable| {
        let (operand, number) = (variable.operand, variable.index);
        match slots.get(number).filter(|_| operand == STATE) {
            Some(slot) => Kept::slot(number, (name, slot), variable.code),
            None => {
                let name = tensor_name(OPERANDS[operand].name, name);
                Kept { operand, number, name, blocks: None }
            }
        }
    });
    named.collect()
}

impl Optimizer {
    /// The tensors of a file, with the places of their numbers now.
    pub(super) fn sources(&self, options: &SaveOptions) -> Result<Vec<Source>, Error> {
        let model = &self.model;
        let mut all = Vec::new();
        for (index, param) in model.params.iter().enumerate() {
            let shape = match options.shapes.get(&param.name) {
                Some(shape) => shape.clone(),
                None => vec![param.view.len as usize],
            };
            let elements = shape.iter().try_fold(1_u64, |all, &n| all.checked_mul(n as u64));
            if elements != Some(param.view.len) {
                let (name, len) = (param.name.clone(), param.view.len);
                return Err(Error::Shape { name, shape, len });
            }
            let what = || format!("parameter `{}`", param.name);
            let with_sums = model.sums.added > 0;
            let kept = kept(model, index, &param.name, with_sums);
            let whole = |kept: &Kept| OPERANDS[kept.operand].name == "low_bits";
            if options.params || kept.iter().any(whole) {
                param.view.check(what, wgpu::BufferUsages::COPY_SRC)?;
            }
            let mut add = |name: String, dtype: Dtype, shape: &[usize], view: View, form: Form| {
                let entry = Entry { name, dtype, shape: shape.to_vec() };
                all.push(Source { entry, view, form });
            };
            if options.params {
                let view = param.view.clone();
                let name = format!("param.{}", param.name);
                add(name, dtype(view.format), &shape, view, Form::Same);
            }
            for one in kept {
                let Some(view) = model.operand_view(index, one.operand, one.number) else {
                    continue;
                };
                let is_whole = whole(&one);
                if let Some((scales, code)) = one.blocks {
                    let blocks = param.view.len.div_ceil(code.block()) as usize;
                    add(one.name, Dtype::U8, &shape, view.clone(), Form::Codes(code));
                    add(scales, Dtype::F32, &[blocks], view, Form::Scales(code));
                } else if is_whole {
                    let form = Form::Whole(param.master, view);
                    add(one.name, Dtype::F32, &shape, param.view.clone(), form);
                } else {
                    add(one.name, dtype(view.format), &shape, view, Form::Same);
                }
            }
        }
        Ok(all)
    }

    /// The host's part of a file.
    pub(super) fn saved(&self, options: &SaveOptions) -> Result<Saved, Error> {
        let model = &self.model;
        let groups = model.groups.iter().map(group).collect::<Result<Vec<_>, _>>();
        let groups = groups.map_err(Error::Options)?;
        let mut order: Vec<usize> = (0..model.params.len()).collect();
        order.sort_by_key(|index| model.params[*index].rank);
        let params = order.into_iter().map(|index| {
            let (param, grad) = (&model.params[index], &model.grads[index]);
            let cohort = &model.cohorts.all()[grad.cohort];
            SavedParam {
                name: param.name.clone(),
                group: param.group,
                elements: param.view.len,
                origin: param.origin,
                steps: model.steps_of(cohort),
                skipped: 0, // the GPU's number comes later
                frozen: grad.frozen,
            }
        });
        Ok(Saved {
            version: VERSION,
            recorded: model.recorded,
            groups,
            params: params.collect(),
            control: *model.control,
            controller: None,
            added: model.sums.added,
            notes: options.notes.clone(),
        })
    }

    pub(super) fn dict(&self) -> StateDict {
        let model = &self.model;
        let mut views = BTreeMap::new();
        let mut scalars: BTreeMap<String, f64> = BTreeMap::new();
        for (index, param) in model.params.iter().enumerate() {
            views.insert(format!("param.{}", param.name), param.view.clone());
            for one in kept(model, index, &param.name, model.sums.added > 0) {
                let name = match (OPERANDS[one.operand].name, one.name.strip_prefix("code.")) {
                    ("low_bits", _) => format!("low_bits.{}", param.name),
                    // The words have codes and scales.
                    (_, Some(of)) if one.blocks.is_some() => format!("blocks.{of}"),
                    _ => one.name,
                };
                views.extend(model.operand_view(index, one.operand, one.number).map(|v| (name, v)));
            }
            let steps = model.steps_of(&model.cohorts.all()[model.grads[index].cohort]);
            scalars.insert(format!("steps.{}", param.name), steps as f64);
        }
        for (i, of) in model.groups.iter().enumerate() {
            scalars.insert(format!("groups.{i}.recorded"), of.recorded as f64);
            scalars.insert(format!("groups.{i}.lr"), of.group.now(of.recorded).lr);
        }
        scalars.insert("recorded".to_owned(), model.recorded as f64);
        scalars.insert("added".to_owned(), model.sums.added.into());
        StateDict { views, scalars }
    }
}

fn group(of: &GroupState) -> Result<SavedGroup, String> {
    let rule = &*of.group.rule;
    Ok(SavedGroup {
        options: config::options(&of.group)?,
        foreign: (!rule::is_of_this_crate(rule)).then(|| format!("{rule:?}")),
        recorded: of.recorded,
        rate: of.memory.rate,
        past: of.memory.past,
    })
}

/// A range of bytes of a buffer, and the place that its first byte has in the buffer's copy.
type Copied = (u64, u64, u64);

/// Records copies of all tensors, which then are where the tensors' numbers are: a buffer for each that holds some,
/// with the words that are needed of it and no others.
pub(super) fn copy(
    device: &wgpu::Device,
    encoder: &mut wgpu::CommandEncoder,
    sources: &mut [Source],
) -> Result<(), Error> {
    let mut ranges: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
    let mut buffers: Vec<wgpu::Buffer> = Vec::new();
    let mut known: std::collections::HashMap<wgpu::Buffer, usize> = Default::default();
    let mut of = |view: &View| {
        *known.entry(view.buffer.clone()).or_insert_with(|| {
            buffers.push(view.buffer.clone());
            buffers.len() - 1
        })
    };
    for view in sources.iter().flat_map(Source::views) {
        let (begin, end) = view.bytes();
        let range = (begin / WORD * WORD, end.next_multiple_of(WORD));
        ranges.entry(of(view)).or_default().push(range);
    }
    let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let mut copies: Vec<(wgpu::Buffer, Vec<Copied>)> = Vec::new();
    for (number, mut all) in ranges {
        all.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (begin, end) in all {
            match merged.last_mut().filter(|last| begin <= last.1) {
                Some(last) => last.1 = last.1.max(end),
                None => merged.push((begin, end)),
            }
        }
        let size = merged.iter().map(|(begin, end)| end - begin).sum();
        let copy = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu-optim snapshot"),
            size,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut at = 0;
        let mut places = Vec::with_capacity(merged.len());
        for (begin, end) in merged {
            places.push((begin, end, at));
            at += end - begin;
        }
        copies.push((copy, places));
        debug_assert_eq!(copies.len(), number + 1, "buffers are numbered in order");
    }
    if let Some(Some(error)) = scope.pop().now_or_never() {
        let what = "a snapshot; `save` writes without one".to_owned();
        return Err(crate::Error::OutOfMemory { what, message: error.to_string() }.into());
    }
    for (buffer, (copy, places)) in buffers.iter().zip(&copies) {
        for (begin, end, at) in places {
            encoder.copy_buffer_to_buffer(buffer, *begin, copy, *at, end - begin);
        }
    }
    let moved = |view: &mut View| {
        let Some((copy, places)) = known.get(&view.buffer).and_then(|number| copies.get(*number))
        else {
            return;
        };
        let place = places.partition_point(|(begin, ..)| *begin <= view.offset).saturating_sub(1);
        let (begin, _, at) = places[place];
        (view.offset, view.buffer) = (at + view.offset - begin, copy.clone());
    };
    sources.iter_mut().flat_map(Source::views_mut).for_each(moved);
    Ok(())
}
