//! The network on the GPU: an arena of parameters, an arena of gradients, and the kernels that fill the second from the
//! first.
//!
//! ```text
//! stream  = token embedding + position embedding
//! stream += attention(norm(stream) W_qkv) W_project       in each layer
//! stream += max(0, norm(stream) W_up)² W_down             in each layer
//! logits  = norm(stream) W_output
//! ```

use wgpu_optim::headless::Gpu;
use wgpu_optim::{View, wgpu};

use super::Result;
use super::kernel::{Batches, Kernel};
use super::parts::{Attention, Finish, Linear, Norm, Workshop};
use super::shape::{Parameter, Shape};
use super::text::Schedule;

/// The network, the text, and room for what happens on the way.
pub(crate) struct Network {
    pub(crate) shape: Shape,
    pub(crate) batches: Batches,
    parameters: Vec<Parameter>,
    params: wgpu::Buffer,
    pub(crate) grads: wgpu::Buffer,
    logits: wgpu::Buffer,
    scores: wgpu::Buffer,
    forward: Vec<Kernel>,
    backward: Vec<Kernel>,
}

/// A layer: attention, then a perceptron, each behind a norm of its own.
struct Layer {
    norms: [Norm; 2],
    attention: Attention,
    hidden: wgpu::Buffer,
    to_qkv: Linear,
    project: Linear,
    up: Linear,
    down: Linear,
}

/// Gradients of what the way forward has made, each for a moment.
struct Gradients {
    stream: wgpu::Buffer,
    /// As wide as the stream: of a norm's outputs, or of attention's.
    branch: wgpu::Buffer,
    qkv: wgpu::Buffer,
    hidden: wgpu::Buffer,
    logits: wgpu::Buffer,
}

impl Network {
    /// Uploads a text and compiles the kernels. The parameters are [`Network::set`] afterwards.
    pub(crate) fn new(gpu: &Gpu, shape: Shape, text: &[u32], schedule: &Schedule) -> Result<Self> {
        let Shape { vocabulary, width, hidden, layers, .. } = shape;
        let parameters = shape.parameters();
        let elements = parameters.last().map_or(0, |last| last.range.end) as u64;
        let params = gpu.zeros("parameters", elements)?;
        let grads = gpu.zeros("gradients", elements)?;
        let scores = gpu.zeros("scores", schedule.batches.len() as u64)?;
        let batches = Batches::new(gpu, text, schedule);
        let shop = Workshop { gpu, batches: &batches, shape, params: &params, grads: &grads };

        let at = |name: &str| -> Result<usize> {
            let found = parameters.iter().find(|parameter| parameter.name == name);
            let start = found.map(|parameter| parameter.range.start);
            Ok(start.ok_or_else(|| format!("no parameter is called `{name}`"))?)
        };
        let layer = |layer: usize| -> Result<Layer> {
            let at = |name: &str| at(&format!("{layer}.{name}"));
            Ok(Layer {
                norms: [Norm::new(&shop, at("norm1")?)?, Norm::new(&shop, at("norm2")?)?],
                attention: Attention::new(&shop)?,
                hidden: shop.room("hidden", hidden)?,
                to_qkv: Linear::new(at("qkv")?, width, 3 * width),
                project: Linear::new(at("project")?, width, width),
                up: Linear::new(at("up")?, width, hidden),
                down: Linear { squared: true, ..Linear::new(at("down")?, hidden, width) },
            })
        };
        let layers = (0..layers).map(layer).collect::<Result<Vec<_>>>()?;
        let norm = Norm::new(&shop, at("norm")?)?;
        let output = Linear::new(at("output")?, width, vocabulary);
        let stream = shop.room("stream", width)?;
        let logits = shop.room("logits", vocabulary)?;
        let losses = shop.room("losses", 1)?;
        let gradients = Gradients {
            stream: shop.room("stream gradient", width)?,
            branch: shop.room("branch gradient", width)?,
            qkv: shop.room("gradient of queries, keys, values", 3 * width)?,
            hidden: shop.room("hidden gradient", hidden)?,
            logits: shop.room("errors", vocabulary)?,
        };

        let places =
            format!("const TOKEN = {}u;\nconst POSITION = {}u;\n", at("token")?, at("position")?);
        let mut forward = vec![shop.kernel(
            "embed",
            &places,
            &[include_str!("shaders/embed.wgsl")],
            [&[&params], &[&stream]],
            shape.tokens() * width / 4,
        )];
        for layer in &layers {
            forward.extend(layer.forward(&shop, &stream));
        }
        forward.push(norm.forward(&shop, &stream));
        forward.push(output.forward(&shop, &norm.scaled, &logits, Finish::Store));
        forward.push(shop.kernel(
            "softmax",
            "",
            &[include_str!("shaders/softmax.wgsl")],
            [&[&logits], &[&gradients.logits, &losses]],
            shape.tokens(),
        ));
        forward.push(shop.kernel(
            "score",
            "",
            &[include_str!("shaders/score.wgsl")],
            [&[&losses], &[&scores]],
            1,
        ));

        let Gradients { stream: stream_gradient, branch, logits: errors, .. } = &gradients;
        let mut backward = Vec::new();
        backward.extend(output.backward(&shop, &norm.scaled, errors, branch, Finish::Store));
        backward.extend(norm.backward(&shop, branch, stream_gradient, false));
        for layer in layers.iter().rev() {
            backward.extend(layer.backward(&shop, &gradients));
        }
        backward.push(shop.kernel(
            "embedding gradient",
            &places,
            &[include_str!("shaders/embed_gradient.wgsl")],
            [&[stream_gradient], &[&grads]],
            (vocabulary + shape.context) * width / 4,
        ));
        Ok(Self { shape, batches, parameters, params, grads, logits, scores, forward, backward })
    }

    /// Each parameter by name, with its gradient, as an optimizer is given them. All of them lie in one buffer and
    /// their gradients in another, so a step takes two dispatches at most.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, View, View)> {
        self.parameters.iter().map(|Parameter { name, range, .. }| {
            let part = |buffer| View::f32(buffer).range(range.start as u64..range.end as u64);
            (name.as_str(), part(&self.params), part(&self.grads))
        })
    }

    /// Sets all parameters.
    pub(crate) fn set(&self, gpu: &Gpu, params: &[f32]) {
        gpu.queue.write_buffer(&self.params, 0, bytemuck::cast_slice(params));
    }

    /// Records the way forward, as far as the score of a batch.
    pub(crate) fn record_score(&self, pass: &mut wgpu::ComputePass<'_>, batch: usize) {
        self.batches.bind(pass, batch);
        self.forward.iter().for_each(|kernel| kernel.record(pass));
    }

    /// Records what fills the arena of gradients from a batch. It scores the batch on the way.
    pub(crate) fn record_gradients(&self, pass: &mut wgpu::ComputePass<'_>, batch: usize) {
        self.record_score(pass, batch);
        self.backward.iter().for_each(|kernel| kernel.record(pass));
    }

    /// The mean loss of each batch, of those scored so far. Waits for all that is submitted.
    pub(crate) fn scores(&self, gpu: &Gpu) -> Result<Vec<f32>> {
        Ok(gpu.download(&View::f32(&self.scores))?)
    }

    /// The logits of what follows a token of the batch last scored. Waits for all that is submitted.
    pub(crate) fn logits(&self, gpu: &Gpu, token: usize) -> Result<Vec<f32>> {
        let (row, vocabulary) = (token as u64, self.shape.vocabulary as u64);
        let row = View::f32(&self.logits).range(row * vocabulary..(row + 1) * vocabulary);
        Ok(gpu.download(&row)?)
    }
}

impl Layer {
    fn forward(&self, shop: &Workshop<'_>, stream: &wgpu::Buffer) -> [Kernel; 7] {
        let Self { norms: [first, second], attention, hidden, .. } = self;
        [
            first.forward(shop, stream),
            self.to_qkv.forward(shop, &first.scaled, &attention.qkv, Finish::Store),
            attention.forward(shop),
            self.project.forward(shop, &attention.attended, stream, Finish::Add),
            second.forward(shop, stream),
            self.up.forward(shop, &second.scaled, hidden, Finish::Relu),
            self.down.forward(shop, hidden, stream, Finish::Add),
        ]
    }

    fn backward(&self, shop: &Workshop<'_>, gradients: &Gradients) -> Vec<Kernel> {
        let Self { norms: [first, second], attention, hidden, .. } = self;
        let Gradients { stream, branch, qkv, hidden: of_hidden, .. } = gradients;
        let through = Finish::ThroughRelu(hidden);
        let mut all = Vec::new();
        all.extend(self.down.backward(shop, hidden, stream, of_hidden, through));
        all.extend(self.up.backward(shop, &second.scaled, of_hidden, branch, Finish::Store));
        all.extend(second.backward(shop, branch, stream, true));
        let attended = &attention.attended;
        all.extend(self.project.backward(shop, attended, stream, branch, Finish::Store));
        all.extend(attention.backward(shop, branch, qkv));
        all.extend(self.to_qkv.backward(shop, &first.scaled, qkv, branch, Finish::Store));
        all.extend(first.backward(shop, branch, stream, true));
        all
    }
}

#[cfg(test)]
mod tests;
