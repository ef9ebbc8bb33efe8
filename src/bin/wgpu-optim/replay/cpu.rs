//! The f64 reference over a trace.

use std::borrow::Cow;

use safetensors::Dtype;
use wgpu_optim::config::Part;
use wgpu_optim::{Controller, Format, Group, Master, Reference};

use super::blocks::coded;
use super::out::Output;
use super::resumed::Resumed;
use super::start::slot;
use super::tensor::{Data, Part as BlockPart, Tensor};
use super::{Counts, Run};
use crate::trace::{Behind, Trace};
use crate::{Failure, progress};

/// Runs it, and says where the result is.
pub(super) fn run(mut run: Run, output: Output) -> Result<(Counts, String), Failure> {
    let mut controller = Controller::new(run.config.control)?;
    let mut references = Vec::new();
    for i in 0..run.trace.tensors.len() {
        references.push(reference(&mut run, i)?);
    }
    match &mut run.resumed {
        Some(resumed) => resume_controller(resumed, &run.trace, &mut controller)?,
        None => controller.resume((controller.stats(&[]).loss_scale, 0), [run.behind.taken, 0]),
    }
    let skipped_before = controller.stats(&[]).skipped;
    let mut grads = vec![Vec::new(); references.len()];
    let bar = progress(run.gradients.end - run.gradients.start, "replay");
    for gradient in run.gradients.clone() {
        for (i, grad) in grads.iter_mut().enumerate() {
            grad.clear();
            let stored = run.trace.tensors[i].grad.stored;
            run.trace.read_grad(i, gradient, |bytes| grad.extend(stored.numbers(bytes)))?;
        }
        if run.config.accumulate > 1 {
            controller.accumulate(&grads);
        }
        if let Some(step) = run.step_after(gradient)
            && controller.apply(&mut grads)
        {
            for (i, (reference, grad)) in references.iter_mut().zip(&grads).enumerate() {
                if let Some(lr) = run.part(i).rate(step) {
                    reference.set_lr(lr)?;
                }
                reference.step(grad)?;
            }
        }
        run.save_reference(gradient + 1, &references, &controller)?;
        bar.inc(1);
    }
    if run.gradients.is_empty() {
        run.save_reference(run.gradients.end, &references, &controller)?;
    }
    bar.finish_and_clear();
    let skipped = controller.stats(&[]).skipped - skipped_before;
    let counts = Counts { steps: run.steps(), skipped };
    let mut tensors = Vec::new();
    let has_master: Vec<bool> = (0..references.len()).map(|i| run.has_master(i)).collect();
    for (i, (tensor, reference)) in run.trace.tensors.iter().zip(&mut references).enumerate() {
        let group = &run.part(i).group;
        let mut in_blocks = Vec::new();
        let mut add = |name: String, values: Cow<'_, [f64]>| {
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let data = Data::Ready(Dtype::F64, bytes);
            tensors.push((name, Tensor { shape: tensor.shape.clone(), len: tensor.len, data }));
        };
        let trained = reference.param().to_vec();
        if group.rule.average().is_some() {
            add(format!("train.{}", tensor.name), trained.clone().into());
        }
        // Here nothing is rounded: the parameter is its own master.
        if has_master[i] {
            add(format!("master.{}", tensor.name), trained.into());
        }
        reference.eval();
        add(format!("param.{}", tensor.name), reference.param().into());
        if let Some(average) = reference.ema() {
            add(format!("ema.{}", tensor.name), average.into());
        }
        for slot in group.rule.slots().iter().map(|slot| slot.name) {
            if let Some(values) = reference.state(slot) {
                add(format!("state.{}.{slot}", tensor.name), values.into());
            }
            let code = group.block_code(slot, tensor.len);
            let Some((code, (codes, scales))) = code.zip(reference.codes(slot)) else { continue };
            let scales = Format::F32.encode_all(&scales);
            for (word, part, dtype, bytes) in [
                ("code", BlockPart::Codes, Dtype::U8, codes),
                ("scale", BlockPart::Scales, Dtype::F32, scales),
            ] {
                let data = Data::Ready(dtype, bytes);
                let of = Tensor::of_part(&tensor.shape, code, part, data);
                in_blocks.push((format!("{word}.{}.{slot}", tensor.name), of));
            }
        }
        tensors.append(&mut in_blocks);
    }
    // Every parameter of a group has the same memory.
    let memory = |group: usize| {
        let first = run.groups.iter().position(|of| *of == group);
        first.map(|i| references[i].memory()).unwrap_or_default()
    };
    let memories: Vec<_> = (0..run.config.groups.len()).map(memory).collect();
    let metadata = (run.totals(&counts), run.remembered(&memories));
    let place = output.write_checked(tensors, metadata, || Ok(()))?;
    Ok((counts, place))
}

impl Run {
    /// Whether a result has a master of a parameter: if its group asks for one, and it began in 16 bits.
    pub(super) fn has_master(&self, tensor: usize) -> bool {
        let (group, of) = (&self.part(tensor).group, &self.trace.tensors[tensor]);
        let master = format!("master.{}", of.name);
        group.master != Master::None
            && match &self.resumed {
                Some(resumed) => resumed.file.entry(&master).is_some(),
                None => of.formats()[0] != Format::F32 || of.kept.contains_key(&master),
            }
    }

    /// The group of a tensor.
    pub(super) fn part(&self, tensor: usize) -> &Part {
        &self.config.groups[self.groups[tensor]]
    }
}

/// A parameter with its state at the start.
fn reference(run: &mut Run, tensor: usize) -> Result<Reference, Failure> {
    let group = run.part(tensor).group.clone();
    if run.resumed.is_some() {
        return resumed_reference(run, tensor, &group);
    }
    let (taken, trace) = (run.behind.taken, &mut run.trace);
    let name = trace.tensors[tensor].name.clone();
    let master = trace.tensors[tensor].kept.get(&format!("master.{name}")).copied();
    let first = master.unwrap_or(trace.tensors[tensor].param);
    let mut reference = Reference::new(&group, &numbers(trace, tensor, first)?)?;
    if taken == 0 {
        return Ok(reference);
    }
    let mut kept: Vec<(Option<String>, Vec<f64>)> = Vec::new();
    let len = trace.tensors[tensor].len;
    for (key, place) in trace.tensors[tensor].kept.clone() {
        let slot = slot(&key, &name).map(str::to_owned);
        let in_blocks = slot.as_deref().and_then(|slot| Some((slot, group.block_code(slot, len)?)));
        if let Some((slot, code)) = in_blocks {
            let (codes, scales) = coded(trace, tensor, (slot, place), code)?;
            reference.resume_codes(slot, &codes, &scales);
        } else if slot.is_some() || key.starts_with("ema.") {
            kept.push((slot, numbers(trace, tensor, place)?));
        }
    }
    reference.set_steps(taken);
    if let Some(memory) = run.memories().get(run.groups[tensor]) {
        reference.set_memory(*memory);
    }
    for (slot, numbers) in kept {
        if !reference.resume(slot.as_deref(), &numbers) {
            let what = slot.unwrap_or_else(|| "ema".to_owned());
            return Err(format!("`{name}` keeps no `{what}` of {} numbers", numbers.len()).into());
        }
    }
    Ok(reference)
}

/// A parameter with its state as the checkpoint has it.
fn resumed_reference(run: &mut Run, tensor: usize, group: &Group) -> Result<Reference, Failure> {
    let index = run.groups[tensor];
    let name = run.trace.tensors[tensor].name.clone();
    let Some(resumed) = &mut run.resumed else { return Err("there is no checkpoint".into()) };
    let path = resumed.path.display().to_string();
    let missing = |what: &str| Failure::from(format!("{path}: it has no `{what}`"));
    let whole = resumed.numbers(&format!("master.{name}"))?;
    let stored = format!("param.{name}");
    let param = match whole {
        Some(whole) => whole,
        None => resumed.numbers(&stored)?.ok_or_else(|| missing(&stored))?,
    };
    let mut reference = Reference::new(group, &param)?;
    // Fewer than the file's where the parameter had no gradient, or joined late.
    let [steps, skipped] = resumed.steps_of(&name);
    reference.set_steps(steps - skipped);
    let of_file = resumed.saved.params.iter().find(|param| param.name == name);
    let of_file = of_file.map_or(index, |param| param.group);
    if let Some(saved) = resumed.saved.groups.get(of_file) {
        reference.set_memory((saved.rate, saved.past));
    }
    let slots = group.rule.slots().into_iter().map(|slot| Some(slot.name));
    for slot in slots.chain(group.ema.map(|_| None)) {
        if let Some(slot) = slot
            && let Some((codes, scales)) = resumed.codes(&name, slot)?
        {
            if !reference.resume_codes(slot, &codes, &scales) {
                let len = param.len();
                return Err(format!(
                    "{path}: `code.{name}.{slot}` and `scale.{name}.{slot}` are not those of {len} elements"
                )
                .into());
            }
            continue;
        }
        let key = match slot {
            Some(slot) => format!("state.{name}.{slot}"),
            None => format!("ema.{name}"),
        };
        let numbers = resumed.numbers(&key)?.ok_or_else(|| missing(&key))?;
        if !reference.resume(slot, &numbers) {
            return Err(format!("{path}: `{key}` has {} numbers", numbers.len()).into());
        }
    }
    Ok(reference)
}

/// Goes on from the loss scale, the counts and the sums of a checkpoint.
fn resume_controller(
    resumed: &mut Resumed,
    trace: &Trace,
    controller: &mut Controller,
) -> Result<(), Failure> {
    let Behind { steps, taken } = resumed.counted();
    let scale = match &resumed.saved.controller {
        Some(saved) => (saved.scale, saved.growth_tracker),
        None => (controller.stats(&[]).loss_scale, 0),
    };
    controller.resume(scale, [taken, steps - taken]);
    if let Some(saved) = &resumed.saved.controller {
        let number = |text: &str| text.parse().unwrap_or(f64::NAN);
        controller.set_last(number(&saved.norm), number(&saved.coefficient));
    }
    if resumed.saved.added > 0 {
        let mut sums = Vec::new();
        for tensor in &trace.tensors {
            let sum = resumed.numbers(&format!("sum.{}", tensor.name))?;
            // Sums that were never made count as zeros.
            sums.push(sum.unwrap_or_else(|| vec![0.0; tensor.len as usize]));
        }
        controller.set_sums(sums, resumed.saved.added);
    }
    Ok(())
}

fn numbers(
    trace: &mut Trace,
    tensor: usize,
    place: crate::trace::Place,
) -> Result<Vec<f64>, Failure> {
    let mut numbers = Vec::with_capacity(trace.tensors[tensor].len as usize);
    trace.read_kept(tensor, place, |bytes| numbers.extend(place.stored.numbers(bytes)))?;
    Ok(numbers)
}
