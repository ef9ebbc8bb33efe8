//! The kernels over a trace.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use wgpu_optim::checkpoint::LoadOptions;
use wgpu_optim::headless::Gpu;
use wgpu_optim::{Format, GroupId, Master, Optimizer, View, wgpu};

use super::arena::{IN_FLIGHT, allocate, upload};
use super::blocks::coded;
use super::out::Output;
use super::resumed::Resumed;
use super::start::slot;
use super::tensor::{Data, Part, Tensor};
use super::{Counts, Run};
use crate::trace::{Place, Trace};
use crate::{Failure, progress};

/// Runs it, and says where the result is.
pub(super) fn run(mut run: Run, output: Output, gpu: &Gpu) -> Result<(Counts, String), Failure> {
    let steps = run.steps();
    let control = run.config.control;
    let device_error = catch_errors(&gpu.device);
    let checked = || match device_error.lock() {
        Ok(mut error) => error.take().map_or(Ok(()), |error| Err(Failure::from(error))),
        Err(poisoned) => Err(poisoned.to_string().into()),
    };
    let views = allocate(gpu, &run.trace)?;
    let mut optimizer = Optimizer::new(&gpu.device);
    optimizer.set_control(control)?;
    let mut ids = Vec::new();
    for part in &run.config.groups {
        ids.push(optimizer.add_group(part.group.clone())?);
    }
    for (i, (param, grad)) in views.iter().enumerate() {
        let id = ids[run.groups[i]];
        optimizer.add_param(id, &run.trace.tensors[i].name, param.clone(), grad.clone())?;
        if run.resumed.is_none() {
            upload(gpu, param, |each| run.trace.read_param(i, each))?;
        }
        checked()?;
    }
    gpu.queue.submit([]);
    gpu.wait()?;
    optimizer.prepare()?;
    if let Some(resumed) = &run.resumed {
        let place = resumed.path.display().to_string();
        optimizer.load_reader(&gpu.queue, (&resumed.handle, &place), &LoadOptions::default())?;
        checked()?;
    } else if run.behind.taken > 0 {
        resume(gpu, &mut run, &mut optimizer, &ids, &views)?;
        checked()?;
    }
    let mut in_flight = 0;
    let bar = progress(run.gradients.end - run.gradients.start, "replay");
    for gradient in run.gradients.clone() {
        for (i, (_, grad)) in views.iter().enumerate() {
            upload(gpu, grad, |each| run.trace.read_grad(i, gradient, each))?;
            in_flight += grad.len * grad.format.bytes();
        }
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        if run.config.accumulate > 1 {
            optimizer.accumulate(&mut encoder)?;
        }
        if let Some(step) = run.step_after(gradient) {
            for (id, part) in ids.iter().zip(&run.config.groups) {
                if let Some(lr) = part.rate(step) {
                    let group = optimizer.group(*id)?.clone().lr(lr);
                    optimizer.set_group(*id, group)?;
                }
            }
            optimizer.step(&mut encoder);
        }
        gpu.queue.submit([encoder.finish()]);
        if in_flight > IN_FLIGHT {
            gpu.wait()?;
            in_flight = 0;
        }
        checked()?;
        save(gpu, &run, &mut optimizer, gradient + 1)?;
        bar.inc(1);
    }
    if run.gradients.is_empty() {
        save(gpu, &run, &mut optimizer, run.gradients.end)?;
    }
    gpu.wait()?;
    checked()?;
    bar.finish_and_clear();
    let looked = control.looks_at_gradients() && steps > 0;
    // The runs before have counted theirs.
    let counted = run.resumed.as_ref().map(Resumed::counted);
    let before = counted.map_or(0, |counted| counted.steps - counted.taken);
    let skipped = if looked { skipped(gpu, &optimizer)? - before } else { 0 };
    let trained = evaluate(gpu, &run, &mut optimizer, &views)?;
    checked()?;
    let failed = RefCell::new(None);
    let mut tensors = Vec::new();
    let all = run.trace.tensors.iter().zip(views).zip(trained);
    for (i, ((tensor, (param, _)), (trained, rest))) in all.enumerate() {
        let group = &run.part(i).group;
        let mut coded = Vec::new();
        let mut add = |name: String, view: View| {
            let data = Data::OnGpu { gpu, view, rest: None, failed: &failed };
            tensors.push((name, Tensor { shape: tensor.shape.clone(), len: tensor.len, data }));
        };
        add(format!("param.{}", tensor.name), param);
        if group.rule.average().is_some() {
            add(format!("train.{}", tensor.name), trained.clone());
        }
        if let Some(average) = optimizer.ema(optimizer.param(&tensor.name)?)? {
            add(format!("ema.{}", tensor.name), average);
        }
        for slot in group.rule.slots().iter().map(|slot| slot.name) {
            let (id, name) = (optimizer.param(&tensor.name)?, &tensor.name);
            let Some(code) = group.block_code(slot, tensor.len) else {
                add(format!("state.{name}.{slot}"), optimizer.state(id, slot)?);
                continue;
            };
            let (view, _) = optimizer.state_blocks(id, slot)?;
            coded.extend(Part::ALL.map(|(word, part)| {
                let data = Data::InBlocks { gpu, view: view.clone(), code, part, failed: &failed };
                let tensor = Tensor::of_part(&tensor.shape, code, part, data);
                (format!("{word}.{name}.{slot}"), tensor)
            }));
        }
        tensors.append(&mut coded);
        if let Some(rest) = rest {
            let rest = Some((group.master, rest));
            let data = Data::OnGpu { gpu, view: trained, rest, failed: &failed };
            let whole = Tensor { shape: tensor.shape.clone(), len: tensor.len, data };
            tensors.push((format!("master.{}", tensor.name), whole));
        }
    }
    let counts = Counts { steps, skipped };
    let memories = ids.iter().map(|id| optimizer.memory(*id)).collect::<Result<Vec<_>, _>>()?;
    let metadata = (run.totals(&counts), run.remembered(&memories));
    let place = output.write_checked(tensors, metadata, || match failed.take() {
        Some(error) => Err(error.into()),
        None => checked(),
    })?;
    Ok((counts, place))
}

/// A parameter where gradients are wanted, and the rest of its master.
type Trained = (View, Option<View>);

/// Moves parameters to the averages that their rules keep. Returns where they were: copies, if they have moved.
fn evaluate(
    gpu: &Gpu,
    run: &Run,
    optimizer: &mut Optimizer,
    views: &[(View, View)],
) -> Result<Vec<Trained>, Failure> {
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    let mut copies: Vec<(wgpu::Buffer, wgpu::Buffer)> = Vec::new();
    let mut copy = |view: View| -> Result<View, Failure> {
        let known = copies.iter().find(|(of, _)| *of == view.buffer).map(|(_, copy)| copy.clone());
        let buffer = match known {
            Some(buffer) => buffer,
            None => {
                let buffer = gpu.zeros("trained", view.buffer.size() / 4)?;
                let size = view.buffer.size();
                encoder.copy_buffer_to_buffer(&view.buffer, 0, &buffer, 0, size);
                copies.push((view.buffer.clone(), buffer.clone()));
                buffer
            }
        };
        Ok(View { buffer, ..view })
    };
    let mut all = Vec::new();
    for (i, (param, _)) in views.iter().enumerate() {
        let moves = run.part(i).group.rule.average().is_some();
        let rest = optimizer.master(optimizer.param(&run.trace.tensors[i].name)?)?;
        all.push(match moves {
            true => (copy(param.clone())?, rest.map(&mut copy).transpose()?),
            false => (param.clone(), rest),
        });
    }
    optimizer.eval(&mut encoder);
    gpu.queue.submit([encoder.finish()]);
    gpu.wait()?;
    Ok(all)
}

/// Writes a checkpoint after so many gradients, if one is due.
fn save(gpu: &Gpu, run: &Run, optimizer: &mut Optimizer, gradients: u64) -> Result<(), Failure> {
    if let Some(path) = run.save_after(gradients) {
        optimizer.save_with(&gpu.queue, path, &run.save_options(gradients)?)?;
    }
    Ok(())
}

/// The steps that were skipped so far.
fn skipped(gpu: &Gpu, optimizer: &Optimizer) -> Result<u64, Failure> {
    let stats = optimizer.stats(&gpu.queue);
    gpu.wait()?;
    Ok(pollster::block_on(stats)?.skipped)
}

/// Goes on from the state and the steps that the trace has.
fn resume(
    gpu: &Gpu,
    run: &mut Run,
    optimizer: &mut Optimizer,
    ids: &[GroupId],
    views: &[(View, View)],
) -> Result<(), Failure> {
    for id in ids {
        optimizer.set_steps(*id, run.behind.taken)?;
    }
    for (id, memory) in ids.iter().zip(run.memories()) {
        optimizer.set_memory(*id, memory)?;
    }
    for (i, (param, _)) in views.iter().enumerate() {
        let name = run.trace.tensors[i].name.clone();
        let group = run.part(i).group.clone();
        let (master, len) = (group.master, run.trace.tensors[i].len);
        for (key, place) in run.trace.tensors[i].kept.clone() {
            if let Some(slot) = slot(&key, &name)
                && let Some(code) = group.block_code(slot, len)
            {
                let (view, _) = optimizer.state_blocks(optimizer.param(&name)?, slot)?;
                let (codes, scales) = coded(&mut run.trace, i, (slot, place), code)?;
                upload(gpu, &view, |each| {
                    each(&code.pack(&codes, &scales));
                    Ok(())
                })?;
            } else if let Some(slot) = slot(&key, &name) {
                let view = optimizer.state(optimizer.param(&name)?, slot)?;
                put(gpu, &mut run.trace, i, place, &view)?;
            } else if key.starts_with("ema.") {
                if let Some(view) = optimizer.ema(optimizer.param(&name)?)? {
                    put(gpu, &mut run.trace, i, place, &view)?;
                }
            } else if key.starts_with("master.")
                && let Some(view) = optimizer.master(optimizer.param(&name)?)?
            {
                let rest = rest(&mut run.trace, i, place, (param.format, master))?;
                upload(gpu, &view, |each| {
                    each(&rest);
                    Ok(())
                })?;
            }
        }
        gpu.queue.submit([]);
        gpu.wait()?;
    }
    Ok(())
}

/// Writes numbers of the trace into a view, in its format.
fn put(
    gpu: &Gpu,
    trace: &mut Trace,
    tensor: usize,
    place: Place,
    view: &View,
) -> Result<(), Failure> {
    let from = place.stored.format();
    upload(gpu, view, |each| {
        trace.read_kept(tensor, place, |bytes| {
            if from == view.format {
                each(bytes);
            } else {
                each(&view.format.encode_all(&from.decode_all(bytes)));
            }
        })
    })
}

/// The bytes that a parameter's own leave of its master.
fn rest(
    trace: &mut Trace,
    tensor: usize,
    place: Place,
    (format, master): (Format, Master),
) -> Result<Vec<u8>, Failure> {
    let (mut stored, mut whole) = (Vec::new(), Vec::new());
    trace.read_param(tensor, |bytes| stored.extend(format.decode_all(bytes)))?;
    let from = place.stored.format();
    trace.read_kept(tensor, place, |bytes| whole.extend(from.decode_all(bytes)))?;
    let mut rest = Vec::new();
    for (stored, whole) in stored.into_iter().zip(whole) {
        let left = match master {
            Master::Remainder => whole.to_bits() << 16,
            _ => whole.to_bits().wrapping_sub(stored.to_bits()),
        };
        if master.whole(stored, f32::from_bits(left)).to_bits() != whole.to_bits() {
            let name = &trace.tensors[tensor].name;
            return Err(format!(
                "`param.{name}` has {stored:e} where `master.{name}` has {whole:e}, which rounds to \
                another; leave `master.{name}` out to begin from the parameter"
            )
            .into());
        }
        match master {
            Master::Remainder => rest.extend((left >> 16).to_le_bytes().into_iter().take(2)),
            _ => rest.extend(left.to_le_bytes()),
        }
    }
    Ok(rest)
}

/// Keeps the device's first error, where wgpu would end the program.
fn catch_errors(device: &wgpu::Device) -> Arc<Mutex<Option<String>>> {
    let first = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&first);
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        if let Ok(mut first) = keep.lock() {
            first.get_or_insert_with(|| format!("the device reports: {error}"));
        }
    }));
    first
}
