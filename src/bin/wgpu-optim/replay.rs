//! An optimizer run over recorded gradients, on a GPU or as the f64 reference.

mod out;

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use safetensors::Dtype;
use wgpu_optim::headless::Gpu;
use wgpu_optim::{Controller, Error, Format, Master, Optimizer, Reference, View, config, wgpu};

use wgpu_optim::config::Config;

use out::Output;

use crate::trace::Trace;
use crate::{Failure, gpu, progress};

/// Parameters are packed into buffers of up to this many bytes, so that small ones share dispatches.
const ARENA: u64 = 64 << 20;

/// Bytes that may be on their way to the device before the next wait.
const IN_FLIGHT: u64 = 256 << 20;

pub(crate) fn run(
    trace: &Path,
    optimizer: &Path,
    out: &Path,
    adapter: Option<&str>,
    cpu: bool,
) -> Result<ExitCode, Failure> {
    let json =
        std::fs::read_to_string(optimizer).map_err(|e| format!("{}: {e}", optimizer.display()))?;
    let config = config::config(&json).map_err(|e| format!("{}: {e}", optimizer.display()))?;
    let source = trace.canonicalize().map_err(|e| format!("{}: {e}", trace.display()))?;
    let trace = Trace::open(trace)?;
    if out.canonicalize().is_ok_and(|out| out == source) {
        return Err(format!("{}: that is the trace; write elsewhere", out.display()).into());
    }
    let output = Output::new(out)?;
    if cpu {
        on_cpu(trace, &config, output)
    } else {
        on_gpu(trace, &config, output, &gpu(adapter)?)
    }
}

fn on_cpu(mut trace: Trace, config: &Config, output: Output) -> Result<ExitCode, Failure> {
    let Config { group, control, accumulate } = config;
    let mut controller = Controller::new(*control)?;
    let mut references = Vec::new();
    for i in 0..trace.tensors.len() {
        let mut values = Vec::with_capacity(trace.tensors[i].len as usize);
        let [format, _] = trace.tensors[i].formats;
        trace.read_param(i, |bytes| values.extend(numbers(format, bytes)))?;
        references.push(Reference::new(group, &values)?);
    }
    let mut grads = vec![Vec::new(); references.len()];
    let bar = progress(trace.steps, "replay");
    for step in 0..trace.steps {
        for (i, grad) in grads.iter_mut().enumerate() {
            grad.clear();
            let [_, format] = trace.tensors[i].formats;
            trace.read_grad(i, step, |bytes| grad.extend(numbers(format, bytes)))?;
        }
        if *accumulate > 1 {
            controller.accumulate(&grads);
        }
        let is_step = (step + 1).is_multiple_of(u64::from(*accumulate));
        if is_step && controller.apply(&mut grads) {
            for (reference, grad) in references.iter_mut().zip(&grads) {
                reference.step(grad)?;
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut tensors = Vec::new();
    for (tensor, reference) in trace.tensors.iter().zip(&references) {
        let mut add = |name: String, values: Cow<'_, [f64]>| {
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let data = Data::Ready(bytes);
            tensors.push((name, Tensor { shape: tensor.shape.clone(), len: tensor.len, data }));
        };
        add(format!("param.{}", tensor.name), reference.param().into());
        // Here nothing is rounded: the parameter is its own master.
        if group.master != Master::None && tensor.formats[0] != Format::F32 {
            add(format!("master.{}", tensor.name), reference.param().into());
        }
        if let Some(average) = reference.ema() {
            add(format!("ema.{}", tensor.name), average.into());
        }
        for slot in group.rule.slots().iter().map(|slot| slot.name) {
            if let Some(values) = reference.state(slot) {
                add(format!("state.{}.{slot}", tensor.name), values.into());
            }
        }
    }
    let stats = controller.stats(&[]);
    output.write(tensors, [trace.steps / u64::from(*accumulate), stats.taken, stats.skipped])
}

/// The numbers in little-endian bytes.
fn numbers(format: Format, bytes: &[u8]) -> impl Iterator<Item = f64> {
    format.decode_all(bytes).into_iter().map(f64::from)
}

fn on_gpu(
    mut trace: Trace,
    config: &Config,
    output: Output,
    gpu: &Gpu,
) -> Result<ExitCode, Failure> {
    let Config { group, control, accumulate } = config;
    let steps = trace.steps / u64::from(*accumulate);
    let device_error = catch_errors(&gpu.device);
    let checked = || match device_error.lock() {
        Ok(mut error) => error.take().map_or(Ok(()), |error| Err(Failure::from(error))),
        Err(poisoned) => Err(poisoned.to_string().into()),
    };
    let views = allocate(gpu, &trace)?;
    let mut optimizer = Optimizer::new(&gpu.device);
    optimizer.set_control(*control)?;
    let id = optimizer.add_group(group.clone())?;
    for (i, (param, grad)) in views.iter().enumerate() {
        optimizer.add_param(id, &trace.tensors[i].name, param.clone(), grad.clone())?;
        upload(gpu, param, |each| trace.read_param(i, each))?;
        checked()?;
    }
    gpu.queue.submit([]);
    gpu.wait()?;
    optimizer.prepare()?;
    let mut in_flight = 0;
    let bar = progress(trace.steps, "replay");
    for step in 0..trace.steps {
        for (i, (_, grad)) in views.iter().enumerate() {
            upload(gpu, grad, |each| trace.read_grad(i, step, each))?;
            in_flight += grad.len * grad.format.bytes();
        }
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        if *accumulate > 1 {
            optimizer.accumulate(&mut encoder)?;
        }
        if (step + 1).is_multiple_of(u64::from(*accumulate)) {
            optimizer.step(&mut encoder);
        }
        gpu.queue.submit([encoder.finish()]);
        if in_flight > IN_FLIGHT {
            gpu.wait()?;
            in_flight = 0;
        }
        checked()?;
        bar.inc(1);
    }
    let stats = control.looks_at_gradients().then(|| optimizer.stats(&gpu.device, &gpu.queue));
    gpu.wait()?;
    checked()?;
    bar.finish_and_clear();
    let (taken, skipped) = match stats.filter(|_| steps > 0) {
        Some(stats) => pollster::block_on(stats).map(|stats| (stats.taken, stats.skipped))?,
        None => (steps, 0),
    };
    let failed = RefCell::new(None);
    let mut tensors = Vec::new();
    for (tensor, (param, _)) in trace.tensors.iter().zip(views) {
        let mut add = |name: String, view: View| {
            let data = Data::OnGpu { gpu, view, rest: None, failed: &failed };
            tensors.push((name, Tensor { shape: tensor.shape.clone(), len: tensor.len, data }));
        };
        add(format!("param.{}", tensor.name), param.clone());
        if let Some(average) = optimizer.ema(&tensor.name)? {
            add(format!("ema.{}", tensor.name), average);
        }
        for slot in group.rule.slots().iter().map(|slot| slot.name) {
            add(format!("state.{}.{slot}", tensor.name), optimizer.state(&tensor.name, slot)?);
        }
        if let Some(rest) = optimizer.master(&tensor.name)? {
            let rest = Some((group.master, rest));
            let data = Data::OnGpu { gpu, view: param, rest, failed: &failed };
            let whole = Tensor { shape: tensor.shape.clone(), len: tensor.len, data };
            tensors.push((format!("master.{}", tensor.name), whole));
        }
    }
    output.write_checked(tensors, [steps, taken, skipped], || match failed.take() {
        Some(error) => Err(error.into()),
        None => checked(),
    })
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

/// A place for every parameter and for its gradient, each at a multiple of 16 bytes.
fn allocate(gpu: &Gpu, trace: &Trace) -> Result<Vec<(View, View)>, Error> {
    let most = gpu.device.limits().max_buffer_size;
    // Where each tensor goes: which arena, and at which byte of it.
    let (mut places, mut sizes) = (Vec::new(), Vec::new());
    for tensor in &trace.tensors {
        // In whole words, and of both arenas alike.
        let [param, grad] = tensor.formats.map(Format::bytes);
        let bytes = (tensor.len * param.max(grad)).next_multiple_of(4);
        if bytes > most {
            let what = format!("parameter `{}`", tensor.name);
            return Err(Error::Limit { limit: "max_buffer_size", has: most, what, needs: bytes });
        }
        let at = sizes.last().map_or(0, |size: &u64| size.next_multiple_of(16));
        match sizes.last_mut() {
            Some(size) if at + bytes <= ARENA.min(most) => {
                *size = at + bytes;
                places.push((sizes.len() - 1, at));
            }
            _ => {
                sizes.push(bytes);
                places.push((sizes.len() - 1, 0));
            }
        }
    }
    let buffers = |label: &str| -> Result<Vec<wgpu::Buffer>, Error> {
        sizes.iter().map(|size| gpu.zeros(label, size / 4)).collect()
    };
    let (params, grads) = (buffers("params")?, buffers("grads")?);
    let views = trace.tensors.iter().zip(places).map(|(tensor, (arena, at))| {
        let view = |buffers: &[wgpu::Buffer], format| View {
            offset: at,
            len: tensor.len,
            ..View::whole(&buffers[arena], format)
        };
        let [param, grad] = tensor.formats;
        (view(&params, param), view(&grads, grad))
    });
    Ok(views.collect())
}

/// Writes what `read` reads into a view.
fn upload(
    gpu: &Gpu,
    view: &View,
    read: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut at, mut in_flight) = (view.offset, 0);
    let mut waited = Ok(());
    read(&mut |bytes| {
        let (words, rest) = bytes.split_at(bytes.len() / 4 * 4);
        gpu.queue.write_buffer(&view.buffer, at, words);
        if let &[low, high] = rest {
            // An odd length of 16 bits ends the tensor; its word is its own.
            gpu.queue.write_buffer(&view.buffer, at + words.len() as u64, &[low, high, 0, 0]);
        }
        at += bytes.len() as u64;
        in_flight += bytes.len() as u64;
        if in_flight >= IN_FLIGHT && waited.is_ok() {
            // Written data waits in memory for the next submission.
            gpu.queue.submit([]);
            waited = gpu.wait();
            in_flight = 0;
        }
    })?;
    Ok(waited?)
}

/// A tensor of the result.
struct Tensor<'a> {
    shape: Vec<usize>,
    len: u64,
    data: Data<'a>,
}

enum Data<'a> {
    /// F64.
    Ready(Vec<u8>),
    /// As it is stored there, or as the F32 it makes with the rest of it; read back only when it is written
    /// out.
    OnGpu {
        gpu: &'a Gpu,
        view: View,
        rest: Option<(Master, View)>,
        failed: &'a RefCell<Option<Error>>,
    },
}

impl safetensors::View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match &self.data {
            Data::Ready(_) => Dtype::F64,
            Data::OnGpu { rest: Some(_), .. } => Dtype::F32,
            Data::OnGpu { view, .. } => match view.format {
                Format::F32 => Dtype::F32,
                Format::F16 => Dtype::F16,
                Format::Bf16 => Dtype::BF16,
            },
        }
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match &self.data {
            Data::Ready(bytes) => bytes.into(),
            Data::OnGpu { gpu, view, rest, failed } => match download(gpu, view, rest.as_ref()) {
                Ok(bytes) => bytes.into(),
                Err(error) => {
                    // The file is thrown away for it.
                    failed.borrow_mut().get_or_insert(error);
                    Cow::default()
                }
            },
        }
    }

    fn data_len(&self) -> usize {
        let element = match &self.data {
            Data::Ready(_) => 8,
            Data::OnGpu { rest: Some(_), .. } => 4,
            Data::OnGpu { view, .. } => view.format.bytes() as usize,
        };
        self.len as usize * element
    }
}

/// A view's bytes, or those of the f32 numbers that it makes with their rest.
fn download(gpu: &Gpu, view: &View, rest: Option<&(Master, View)>) -> Result<Vec<u8>, Error> {
    let numbers = gpu.download(view)?;
    let Some((master, rest)) = rest else { return Ok(view.format.encode_all(&numbers)) };
    let pairs = numbers.into_iter().zip(gpu.download(rest)?);
    Ok(pairs.flat_map(|(stored, left)| master.whole(stored, left).to_le_bytes()).collect())
}
