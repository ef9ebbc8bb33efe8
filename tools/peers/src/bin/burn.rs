//! Adam of Burn and of this crate on one adapter, in turn, by the clock on the wall: from the first
//! step recorded to the device having finished the last. Gradients exist before. Not a line of
//! the table is printed unless both come to the same parameters.
//!
//! ```sh
//! cargo run --release --manifest-path tools/peers/Cargo.toml --features burn --bin burn
//! ```
//!
//! `VK_ICD_FILENAMES` chooses among Vulkan drivers. Arguments: rounds, and milliseconds a sample.
//!
//! Each step is handed to the device before the next one begins, as between a backward pass and the
//! next forward. Left alone, Burn would fuse several steps into one kernel, which no training can
//! do: the next gradient depends on this step.

use std::time::Instant;

use burn::module::Param;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use wgpu_optim::headless::{Gpu, describe};
use wgpu_optim::timing::Samples;
use wgpu_optim::{Adam, Group, Optimizer, View};

type Failure = Box<dyn std::error::Error>;

const LR: f64 = 1e-3;

/// Steps before anything is timed: shaders are compiled, fusions found, memory pools filled.
const WARM_UP: usize = 20;

/// The tensors that both sides step.
#[derive(Clone, Copy)]
struct Shape {
    tensors: usize,
    len: usize,
}

impl Shape {
    fn all(self, number: impl Fn(usize) -> f32) -> Vec<Vec<f32>> {
        let tensor = |i| (i * self.len..(i + 1) * self.len).map(&number).collect();
        (0..self.tensors).map(tensor).collect()
    }

    /// Parameters from -1 to 1.
    fn params(self) -> Vec<Vec<f32>> {
        self.all(|i| (i % 2003) as f32 / 1001.0 - 1.0)
    }

    /// Gradients of both signs and several magnitudes.
    fn grads(self) -> Vec<Vec<f32>> {
        self.all(|i| (i as f32 * 0.37).sin() * 10f32.powi(-((i % 5) as i32)))
    }
}

/// Something that takes steps.
trait Side {
    /// Takes `steps` steps, hands each to the device, and waits after the last. Milliseconds of one.
    fn sample(&mut self, steps: usize) -> Result<f64, Failure>;

    /// The parameters, one after the other.
    fn params(&self) -> Result<Vec<f32>, Failure>;
}

struct Ours {
    gpu: Gpu,
    optimizer: Optimizer,
    params: Vec<View>,
}

impl Ours {
    /// In two buffers, or in two buffers a tensor.
    fn new(gpu: &Gpu, shape: Shape, arena: bool) -> Result<Self, Failure> {
        let mut optimizer = Optimizer::new(&gpu.device);
        let adam = Adam { eps: 1e-5, eps_root: 0.0, ..Adam::default() };
        let group = optimizer.add_group(Group::new(LR, adam))?;
        let views = |what: &str, tensors: Vec<Vec<f32>>| -> Result<Vec<View>, Failure> {
            if arena {
                let all = View::f32(&gpu.upload(what, &tensors.concat())?);
                let range = |i| (i * shape.len) as u64..((i + 1) * shape.len) as u64;
                return Ok((0..shape.tensors).map(|i| all.clone().range(range(i))).collect());
            }
            let view = |tensor: &Vec<f32>| Ok(View::f32(&gpu.upload(what, tensor)?));
            tensors.iter().map(view).collect()
        };
        let params = views("params", shape.params())?;
        let grads = views("grads", shape.grads())?;
        for (i, (param, grad)) in params.iter().zip(grads).enumerate() {
            optimizer.add_param(group, &format!("w{i}"), param.clone(), grad)?;
        }
        optimizer.prepare()?;
        gpu.wait()?;
        Ok(Self { gpu: gpu.clone(), optimizer, params })
    }
}

impl Side for Ours {
    fn sample(&mut self, steps: usize) -> Result<f64, Failure> {
        let start = Instant::now();
        for _ in 0..steps {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            self.optimizer.step(&mut encoder);
            self.gpu.queue.submit([encoder.finish()]);
        }
        self.gpu.wait()?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / steps as f64)
    }

    fn params(&self) -> Result<Vec<f32>, Failure> {
        Ok(self.gpu.download_all(&self.params)?.concat())
    }
}

type Module = Vec<Param<Tensor<1>>>;

struct Burn {
    device: Device,
    optimizer: ModuleOptimizer,
    /// `None` only while a step has it.
    module: Option<Module>,
    grads: Vec<Tensor<1>>,
}

impl Burn {
    fn new(device: &Device, shape: Shape) -> Result<Self, Failure> {
        let tensor = |numbers, device: &Device| {
            Tensor::<1>::from_data(TensorData::new(numbers, [shape.len]), device)
        };
        // The optimizer takes parameters that track gradients, and gradients that do not.
        let tracking = device.clone().autodiff();
        let param = |numbers| Param::from_tensor(tensor(numbers, &tracking));
        let module = shape.params().into_iter().map(param).collect();
        let grads = shape.grads().into_iter().map(|g| tensor(g, device)).collect();
        let burn = Self {
            device: device.clone(),
            // Its ε is 1e-5 by default.
            optimizer: AdamConfig::new().init(),
            module: Some(module),
            grads,
        };
        burn.sync()?;
        Ok(burn)
    }

    fn sync(&self) -> Result<(), Failure> {
        self.device.sync().map_err(|e| format!("Burn: {e:?}").into())
    }
}

impl Side for Burn {
    fn sample(&mut self, steps: usize) -> Result<f64, Failure> {
        let mut module = self.module.take().ok_or("no module")?;
        let gradients = || {
            let mut gradients = GradientsParams::new();
            for (param, grad) in module.iter().zip(&self.grads) {
                gradients.register(param.id, grad.clone());
            }
            gradients
        };
        let gradients: Vec<GradientsParams> = (0..steps).map(|_| gradients()).collect();
        let start = Instant::now();
        for gradients in gradients {
            module = self.optimizer.step(LR, module, gradients);
            self.device.flush().map_err(|e| format!("Burn: {e:?}"))?;
        }
        self.sync()?;
        let ms = start.elapsed().as_secs_f64() * 1e3 / steps as f64;
        self.module = Some(module);
        Ok(ms)
    }

    fn params(&self) -> Result<Vec<f32>, Failure> {
        let mut all = Vec::new();
        for param in self.module.as_ref().ok_or("no module")? {
            let numbers = param.val().into_data().try_to_vec::<f32>();
            all.extend(numbers.map_err(|e| format!("Burn: {e:?}"))?);
        }
        Ok(all)
    }
}

/// The sides of one shape, Burn's last, and their rows of the table.
fn compare(
    (shape, waits): (Shape, &[bool]),
    names: &[&str],
    sides: &mut [Box<dyn Side>],
    (rounds, enough): (usize, f64),
) -> Result<(), Failure> {
    for side in &mut *sides {
        side.sample(WARM_UP)?;
    }
    let all = sides.iter().map(|side| side.params()).collect::<Result<Vec<_>, _>>()?;
    let [ours @ .., burn] = &all[..] else { return Ok(()) };
    let apart = |a: &Vec<f32>| a.iter().zip(burn).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let apart = ours.iter().map(apart).fold(0.0, f32::max);
    let moved = shape.params().concat();
    let moved = moved.iter().zip(burn).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    if !(apart < 1e-4 && moved > 1e-2) {
        return Err(format!("{WARM_UP} steps differ by {apart:e} and move by {moved:e}").into());
    }
    for &wait in waits {
        let mut samples = vec![Samples::default(); sides.len()];
        // As many steps for all, and enough for the fastest.
        let mut fastest = f64::INFINITY;
        for side in &mut *sides {
            fastest = fastest.min(side.sample(5)?);
        }
        let steps = (enough / fastest).ceil().max(1.0) as usize;
        for _ in 0..rounds {
            for (side, samples) in sides.iter_mut().zip(&mut samples) {
                samples.push(match wait {
                    false => side.sample(steps)?,
                    true => {
                        let singly = (0..steps).map(|_| side.sample(1));
                        singly.sum::<Result<f64, Failure>>()? / steps as f64
                    }
                });
            }
        }
        let [ours @ .., burn] = &samples[..] else { return Ok(()) };
        for (name, ours) in names.iter().zip(ours) {
            let Shape { tensors, len } = shape;
            let wait = if wait { "every step".to_owned() } else { format!("after {steps}") };
            println!(
                "| {tensors} × {len}, {name} | {wait} | {:.3} | {:.0} | {:.3} | {:.0} | {:.2} | {apart:.0e} |",
                ours.median(),
                100.0 * ours.spread(),
                burn.median(),
                100.0 * burn.spread(),
                burn.over(ours).median(),
            );
        }
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().map_or(Ok(11), |rounds| rounds.parse())?;
    let enough = arguments.next().map_or(Ok(200.0), |ms| ms.parse())?;
    let (device, setup) =
        Device::wgpu_options().init_with_setup().map_err(|e| format!("Burn: {e}"))?;
    // A device of our own on Burn's adapter: each side has the limits and features it asks for.
    let gpu = Gpu::on(setup.adapter.clone())?;
    println!("ours: {}", gpu.describe());
    println!("Burn: {}", describe(&setup.adapter.get_info()));
    if let Some(identity) = device.identity() {
        println!("      compiles for {}", identity.fingerprint);
    }
    println!("median of {rounds} samples of at least {enough} ms; ± half the quartile range");
    println!("| tensors | waits | ours ms | ±% | Burn ms | ±% | Burn / ours | apart |");
    println!("|---|---|---|---|---|---|---|---|");
    let sizes = (rounds, enough);

    let shape = Shape { tensors: 1, len: 16 << 20 };
    let mut sides: Vec<Box<dyn Side>> =
        vec![Box::new(Ours::new(&gpu, shape, true)?), Box::new(Burn::new(&device, shape)?)];
    compare((shape, &[false, true]), &["one buffer"], &mut sides, sizes)?;
    drop(sides);

    let shape = Shape { tensors: 128, len: 8192 };
    let mut sides: Vec<Box<dyn Side>> = vec![
        Box::new(Ours::new(&gpu, shape, true)?),
        Box::new(Ours::new(&gpu, shape, false)?),
        Box::new(Burn::new(&device, shape)?),
    ];
    compare((shape, &[false, true]), &["arena", "own buffers"], &mut sides, sizes)
}
