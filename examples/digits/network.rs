//! The network on the GPU: an arena of parameters, an arena of gradients, and the kernels that fill
//! the second from the first.

use std::ops::Range;

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::util::DeviceExt;
use wgpu_optim::{Format, View, wgpu};

use super::Result;
use super::data::{Digits, Schedule};
use super::kernel::{Batches, Kernel};
use super::random::Random;

/// Pixels of an image.
pub(crate) const INPUTS: usize = 64;
/// Units of the hidden layer.
pub(crate) const HIDDEN: usize = 128;
/// Digits.
pub(crate) const CLASSES: usize = 10;

/// Where each parameter lies in its arena, in elements; its gradient lies at the same place of the
/// other. As in `shaders/network.wgsl`.
pub(crate) const PARAMETERS: [(&str, Range<u64>); 4] =
    [("w1", 0..B1), ("b1", B1..W2), ("w2", W2..B2), ("b2", B2..END)];
const B1: u64 = (INPUTS * HIDDEN) as u64;
const W2: u64 = B1 + HIDDEN as u64;
const B2: u64 = W2 + (HIDDEN * CLASSES) as u64;
const END: u64 = B2 + CLASSES as u64;

/// The shader's files share one head; what follows it depends on the format.
macro_rules! shader {
    ($format:expr, $file:literal) => {
        [
            include_str!("shaders/network.wgsl"),
            &stored($format),
            include_str!(concat!("shaders/", $file)),
        ]
        .concat()
    };
}

/// The WGSL of how parameters and gradients are stored. The codecs are the optimizer's own.
fn stored(format: Format) -> String {
    let codec = match format {
        Format::F32 => return include_str!("shaders/stored/words.wgsl").to_owned(),
        Format::F16 => include_str!("../../shaders/format/f16.wgsl"),
        _ => include_str!("../../shaders/format/bf16.wgsl"),
    };
    codec.to_owned() + &include_str!("shaders/stored/halves.wgsl").replace("codec", format.name())
}

/// How the network did on one image. As `Score` in `shaders/softmax.wgsl`.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Score {
    /// Its cross-entropy: −log of the probability given to what the image shows.
    pub(crate) loss: f32,
    /// 1 if the network recognized it, otherwise 0.
    pub(crate) hit: f32,
}

/// The network, the images, and room for what happens on the way.
pub(crate) struct Network {
    format: Format,
    params: wgpu::Buffer,
    grads: wgpu::Buffer,
    scores: wgpu::Buffer,
    batches: Batches,
    hidden: Kernel,
    logits: Kernel,
    softmax: Kernel,
    output_gradient: Kernel,
    hidden_error: Kernel,
    hidden_gradient: Kernel,
}

impl Network {
    /// Uploads the images and compiles the kernels for parameters and gradients of this format. The
    /// parameters are [`Network::set`] afterwards.
    pub(crate) fn new(
        gpu: &Gpu,
        digits: &Digits,
        schedule: &Schedule,
        format: Format,
    ) -> Result<Self> {
        let indices = |label, indices: &[u32]| {
            gpu.device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some(label),
                contents: bytemuck::cast_slice(indices),
                usage: wgpu::BufferUsages::STORAGE,
            })
        };
        let rows = schedule.batches.iter().map(|batch| batch.count as usize).max().unwrap_or(0);
        let room = |label, per_row: usize| gpu.zeros(label, (rows * per_row) as u64);

        let images = gpu.upload("images", &digits.images)?;
        let labels = indices("labels", &digits.labels);
        let order = indices("order", &schedule.order);
        let words = END * format.bytes() / Format::F32.bytes();
        let params = gpu.zeros("parameters", words)?;
        let grads = gpu.zeros("gradients", words)?;
        let hidden = room("hidden", HIDDEN)?;
        let logits = room("logits", CLASSES)?;
        let hidden_errors = room("hidden errors", HIDDEN)?;
        let output_errors = room("output errors", CLASSES)?;
        let floats = size_of::<Score>() / size_of::<f32>();
        let scores = gpu.zeros("scores", (schedule.order.len() * floats) as u64)?;

        let unscaled = View::f32(&gpu.upload("loss scale", &[1.0])?);
        let batches = Batches::new(gpu, &schedule.batches, &unscaled);
        let kernel = |label, wgsl: String, read: &[_], written: &[_]| {
            Kernel::new(gpu, label, &wgsl, &batches, read, written)
        };
        Ok(Self {
            hidden: kernel(
                "hidden",
                shader!(format, "hidden.wgsl"),
                &[&images, &order, &params],
                &[&hidden],
            ),
            logits: kernel(
                "logits",
                shader!(format, "logits.wgsl"),
                &[&hidden, &params],
                &[&logits],
            ),
            softmax: kernel(
                "softmax",
                shader!(format, "softmax.wgsl"),
                &[&logits, &order, &labels],
                &[&output_errors, &scores],
            ),
            output_gradient: kernel(
                "output gradient",
                shader!(format, "output_gradient.wgsl"),
                &[&hidden, &output_errors],
                &[&grads],
            ),
            hidden_error: kernel(
                "hidden error",
                shader!(format, "hidden_error.wgsl"),
                &[&hidden, &output_errors, &params],
                &[&hidden_errors],
            ),
            hidden_gradient: kernel(
                "hidden gradient",
                shader!(format, "hidden_gradient.wgsl"),
                &[&images, &order, &hidden_errors],
                &[&grads],
            ),
            format,
            params,
            grads,
            scores,
            batches,
        })
    }

    /// Each parameter by name, with its gradient: what an optimizer is given. As all of them lie in
    /// one buffer and their gradients in another, its step takes two dispatches at most.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&'static str, View, View)> {
        PARAMETERS.into_iter().map(|(name, range)| {
            let param = View::whole(&self.params, self.format).range(range.clone());
            let grad = View::whole(&self.grads, self.format).range(range);
            (name, param, grad)
        })
    }

    /// How parameters and gradients are stored.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Sets all parameters, rounded to the format.
    pub(crate) fn set(&self, gpu: &Gpu, params: &[f32]) {
        gpu.queue.write_buffer(&self.params, 0, &self.format.encode_all(params));
    }

    /// Multiplies all gradients by the one number in `loss_scale` from the next recorded batch on, but
    /// no score.
    pub(crate) fn scale_loss(&mut self, gpu: &Gpu, loss_scale: &View) {
        self.batches.scale_loss(gpu, loss_scale);
    }

    /// Records what fills the arena of gradients from a batch. It scores the batch on the way.
    pub(crate) fn record_gradients(&self, pass: &mut wgpu::ComputePass<'_>, batch: usize) {
        self.record_scores(pass, batch);
        let rows = self.batches.count(batch);
        let mut record = |kernel: &Kernel, invocations| {
            kernel.record(pass, &self.batches, batch, invocations);
        };
        record(&self.output_gradient, (HIDDEN + 1) * CLASSES / 2);
        record(&self.hidden_error, rows * HIDDEN);
        record(&self.hidden_gradient, (INPUTS + 1) * HIDDEN / 4);
    }

    /// Records the way forward, as far as the scores.
    pub(crate) fn record_scores(&self, pass: &mut wgpu::ComputePass<'_>, batch: usize) {
        let rows = self.batches.count(batch);
        self.hidden.record(pass, &self.batches, batch, rows * HIDDEN / 4);
        self.logits.record(pass, &self.batches, batch, rows * CLASSES / 2);
        self.softmax.record(pass, &self.batches, batch, rows);
    }

    /// The scores of everything in the schedule's order. Waits for all that is submitted.
    pub(crate) fn scores(&self, gpu: &Gpu) -> Result<Vec<Score>> {
        Ok(bytemuck::cast_slice(&gpu.download(&View::f32(&self.scores))?).to_vec())
    }
}

/// Parameters to start from ([He et al. 2015](https://arxiv.org/abs/1502.01852)): normal weights of
/// deviation √(2 / inputs), which keep the signal's strength through ReLU layers, and biases of 0.
pub(crate) fn initial(seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut params = vec![0.0; END as usize];
    for (range, inputs) in [(0..B1, INPUTS), (W2..B2, HIDDEN)] {
        let deviation = (2.0 / inputs as f64).sqrt();
        for weight in &mut params[range.start as usize..range.end as usize] {
            *weight = (deviation * random.normal()) as f32;
        }
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cross-entropy of one image and whether it is recognized, in f64 and by the book.
    fn score(params: &[f64], pixels: &[f32], label: usize) -> (f64, bool) {
        let [b1, w2, b2] = [B1, W2, B2].map(|at| at as usize);
        let mut hidden = params[b1..w2].to_vec();
        for (weights, &pixel) in params[..b1].chunks_exact(HIDDEN).zip(pixels) {
            hidden.iter_mut().zip(weights).for_each(|(h, w)| *h += f64::from(pixel) * w);
        }
        let mut logits = params[b2..].to_vec();
        for (weights, h) in params[w2..b2].chunks_exact(CLASSES).zip(hidden) {
            logits.iter_mut().zip(weights).for_each(|(logit, w)| *logit += h.max(0.0) * w);
        }
        let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
        (total.ln() - logits[label], logits.iter().all(|&logit| logit <= logits[label]))
    }

    /// A batch of seven images, what they show, and parameters without zeros.
    struct Setting {
        digits: Digits,
        schedule: Schedule,
        batch: usize,
        params: Vec<f32>,
    }

    impl Setting {
        fn new() -> Result<Self> {
            let digits = Digits::load(1)?;
            // The last batch of the epoch is smaller than the others: 1437 = 110 · 13 + 7.
            let schedule = Schedule::new(&digits, 1, 13, 2);
            let batch = schedule.epoch(0).end - 1;

            let mut params = initial(3);
            let mut random = Random::new(4);
            for range in [B1..W2, B2..END] {
                for bias in &mut params[range.start as usize..range.end as usize] {
                    *bias = 0.1 * random.normal() as f32;
                }
            }
            Ok(Self { digits, schedule, batch, params })
        }

        /// The scores of the batch and its gradients, made of parameters in this format.
        fn backward(
            &self,
            gpu: &Gpu,
            format: Format,
            loss_scale: f32,
        ) -> Result<(Vec<Score>, Vec<f32>)> {
            let mut network = Network::new(gpu, &self.digits, &self.schedule, format)?;
            network.set(gpu, &self.params);
            network.scale_loss(gpu, &View::f32(&gpu.upload("loss scale", &[loss_scale])?));
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            network.record_gradients(&mut pass, self.batch);
            drop(pass);
            gpu.queue.submit([encoder.finish()]);
            let places = self.schedule.places(self.batch..self.batch + 1);
            let scores = network.scores(gpu)?[places].to_vec();
            Ok((scores, gpu.download(&View::whole(&network.grads, format))?))
        }
    }

    /// Every derivative by central differences, so that no formula of the backward pass is trusted.
    #[test]
    fn gradients_are_those_of_the_loss() -> Result<()> {
        let setting = Setting::new()?;
        let Setting { digits, schedule, batch, params } = &setting;
        let places = schedule.places(*batch..batch + 1);
        assert_eq!(places.len(), 7);
        let images: Vec<(&[f32], usize)> = schedule.order[places]
            .iter()
            .map(|&i| i as usize)
            .map(|i| (&digits.images[i * INPUTS..][..INPUTS], digits.labels[i] as usize))
            .collect();

        let (scores, grads) = setting.backward(&Gpu::headless()?, Format::F32, 1.0)?;
        let mut params: Vec<f64> = params.iter().map(|&p| f64::from(p)).collect();
        for (score_gpu, (pixels, label)) in scores.iter().zip(&images) {
            let (loss, hit) = score(&params, pixels, *label);
            assert!((f64::from(score_gpu.loss) - loss).abs() < 1e-5, "{} {loss}", score_gpu.loss);
            assert_eq!(score_gpu.hit, f32::from(u8::from(hit)));
        }

        let loss = |params: &[f64]| {
            let sum: f64 =
                images.iter().map(|(pixels, label)| score(params, pixels, *label).0).sum();
            sum / images.len() as f64
        };
        const STEP: f64 = 1e-6;
        let mut largest = 0.0_f64;
        for (name, range) in PARAMETERS {
            for i in range.start as usize..range.end as usize {
                let at = params[i];
                let [above, below] = [at + STEP, at - STEP].map(|p| {
                    params[i] = p;
                    loss(&params)
                });
                params[i] = at;
                let wanted = (above - below) / (2.0 * STEP);
                let got = f64::from(grads[i]);
                let bound = 1e-7 + 1e-5 * wanted.abs();
                assert!((got - wanted).abs() < bound, "{name}, element {i}: {got}, not {wanted}");
                largest = largest.max(wanted.abs());
            }
        }
        assert!(largest > 0.01, "a gradient of nothing proves nothing: {largest}");
        Ok(())
    }

    /// f32's gradients are known to be right; those of 16 bits are these, scaled and rounded.
    #[test]
    fn gradients_in_16_bits_are_those_of_f32_rounded() -> Result<()> {
        let gpu = Gpu::headless()?;
        let mut setting = Setting::new()?;
        // Half a step relative to the number, and half the least number above 0.
        let formats = [
            (Format::F16, 2.0_f64.powi(-11), 2.0_f64.powi(-25)),
            (Format::Bf16, 2.0_f64.powi(-8), 0.0),
        ];
        for (format, relative, least) in formats {
            for p in &mut setting.params {
                *p = format.decode(format.encode(*p));
            }
            let (scores, exact) = setting.backward(&gpu, Format::F32, 1.0)?;
            assert!(exact.iter().any(|g| g.abs() > 0.01));
            for loss_scale in [1.0, 512.0] {
                let (scores_16, grads) = setting.backward(&gpu, format, loss_scale)?;
                for (score, wanted) in scores_16.iter().zip(&scores) {
                    // Unscaled; a driver may add up in another order.
                    assert!((score.loss - wanted.loss).abs() < 1e-5);
                    assert_eq!(score.hit.to_bits(), wanted.hit.to_bits());
                }
                let name = format.name();
                for (i, (got, exact)) in grads.iter().zip(&exact).enumerate() {
                    let wanted = f64::from(loss_scale) * f64::from(*exact);
                    let sums = f64::from(loss_scale) * 1e-7 + 1e-5 * wanted.abs();
                    let off = (f64::from(*got) - wanted).abs();
                    let bound = relative * wanted.abs() + least + sums;
                    assert!(off <= bound, "{name}, element {i}: {got}, not {wanted}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn parameters_start_as_strong_as_intended() {
        let params = initial(1);
        assert_eq!(params, initial(1));
        for (range, deviation) in [(0..B1, 0.177), (B1..W2, 0.0), (W2..B2, 0.125), (B2..END, 0.0)] {
            let part = &params[range.start as usize..range.end as usize];
            let square: f32 = part.iter().map(|p| p * p).sum::<f32>() / part.len() as f32;
            assert!((square.sqrt() - deviation).abs() < 0.01, "{} {deviation}", square.sqrt());
        }
    }
}
