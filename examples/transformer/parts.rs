//! The parts of the network, each with its kernels forward and backward.

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu;

use super::Result;
use super::kernel::{Batches, Kernel, Source};
use super::shape::Shape;

/// Everything that the kernels of all parts share.
pub(crate) struct Workshop<'a> {
    pub(crate) gpu: &'a Gpu,
    pub(crate) batches: &'a Batches,
    pub(crate) shape: Shape,
    pub(crate) params: &'a wgpu::Buffer,
    pub(crate) grads: &'a wgpu::Buffer,
}

impl Workshop<'_> {
    /// A buffer with room for so many numbers for each token of a batch.
    pub(crate) fn room(&self, label: &str, per_token: usize) -> Result<wgpu::Buffer> {
        Ok(self.gpu.zeros(label, (self.shape.tokens() * per_token) as u64)?)
    }

    /// A kernel with the text of some files behind the sizes of the network and further constants.
    pub(crate) fn kernel(
        &self,
        label: &str,
        constants: &str,
        files: &[&str],
        [read, written]: [&[&wgpu::Buffer]; 2],
        invocations: usize,
    ) -> Kernel {
        let Shape { vocabulary, context, width, heads, .. } = self.shape;
        let tokens = self.shape.tokens();
        let sizes = [
            ("VOCABULARY", vocabulary),
            ("CONTEXT", context),
            ("WIDTH", width),
            ("HEADS", heads),
            ("TOKENS", tokens),
        ];
        let sizes = sizes.map(|(name, size)| format!("const {name} = {size}u;\n")).concat();
        let wgsl = [&sizes, constants, include_str!("shaders/network.wgsl"), &files.concat()];
        let source = Source { label, wgsl: wgsl.concat(), read, written, invocations };
        Kernel::new(self.gpu, self.batches, source)
    }
}

/// How the outputs of a matrix are stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Finish<'a> {
    Store,
    /// On top of what is there.
    Add,
    Relu,
    /// As the gradient of max(0, x)², given max(0, x).
    ThroughRelu(&'a wgpu::Buffer),
}

impl Finish<'_> {
    fn file(&self) -> &'static str {
        match self {
            Self::Store => include_str!("shaders/finish/store.wgsl"),
            Self::Add => include_str!("shaders/finish/add.wgsl"),
            Self::Relu => include_str!("shaders/finish/relu.wgsl"),
            Self::ThroughRelu(_) => include_str!("shaders/finish/through_relu.wgsl"),
        }
    }
}

/// A matrix of weights, of `inputs` rows and `outputs` columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    /// Its place in the arena.
    pub(crate) weights: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Whether its inputs are squared before they are multiplied.
    pub(crate) squared: bool,
}

impl Linear {
    pub(crate) fn new(weights: usize, inputs: usize, outputs: usize) -> Self {
        Self { weights, inputs, outputs, squared: false }
    }

    fn constants(&self) -> String {
        let Self { weights, inputs, outputs, squared } = self;
        let sizes = [("WEIGHTS", weights), ("INPUTS", inputs), ("OUTPUTS", outputs)];
        sizes.map(|(name, size)| format!("const {name} = {size}u;\n")).concat()
            + &format!("const SQUARED = {squared};\n")
    }

    pub(crate) fn forward(
        &self,
        shop: &Workshop<'_>,
        inputs: &wgpu::Buffer,
        outputs: &wgpu::Buffer,
        finish: Finish<'_>,
    ) -> Kernel {
        shop.kernel(
            "linear",
            &self.constants(),
            &[include_str!("shaders/linear.wgsl"), finish.file()],
            [&[inputs, shop.params], &[outputs]],
            shop.shape.tokens() * self.outputs / 16,
        )
    }

    /// The gradient of the weights, then that of the inputs, from that of the outputs.
    pub(crate) fn backward(
        &self,
        shop: &Workshop<'_>,
        inputs: &wgpu::Buffer,
        output_gradient: &wgpu::Buffer,
        input_gradient: &wgpu::Buffer,
        finish: Finish<'_>,
    ) -> [Kernel; 2] {
        let of_weights = shop.kernel(
            "weight gradient",
            &self.constants(),
            &[include_str!("shaders/weight_gradient.wgsl")],
            [&[inputs, output_gradient], &[shop.grads]],
            self.inputs * self.outputs / 16,
        );
        let forward = match finish {
            Finish::ThroughRelu(hidden) => hidden,
            // Bound, not read.
            _ => shop.params,
        };
        let of_inputs = shop.kernel(
            "input gradient",
            &self.constants(),
            &[include_str!("shaders/input_gradient.wgsl"), finish.file()],
            [&[output_gradient, shop.params, forward], &[input_gradient]],
            shop.shape.tokens() * self.inputs / 16,
        );
        [of_weights, of_inputs]
    }
}

/// A normalization with its gains, and what the way forward leaves for the way back.
pub(crate) struct Norm {
    /// The place of the gains in the arena.
    gains: usize,
    normed: wgpu::Buffer,
    factors: wgpu::Buffer,
    /// Its outputs.
    pub(crate) scaled: wgpu::Buffer,
}

impl Norm {
    pub(crate) fn new(shop: &Workshop<'_>, gains: usize) -> Result<Self> {
        let width = shop.shape.width;
        Ok(Self {
            gains,
            normed: shop.room("normed", width)?,
            factors: shop.room("factors", 1)?,
            scaled: shop.room("scaled", width)?,
        })
    }

    pub(crate) fn forward(&self, shop: &Workshop<'_>, stream: &wgpu::Buffer) -> Kernel {
        shop.kernel(
            "norm",
            &format!("const GAIN = {}u;\n", self.gains),
            &[include_str!("shaders/norm.wgsl")],
            [&[stream, shop.params], &[&self.normed, &self.scaled, &self.factors]],
            shop.shape.tokens(),
        )
    }

    /// The gradient of the gains, then that of the stream, on top of what is there if `adds`.
    pub(crate) fn backward(
        &self,
        shop: &Workshop<'_>,
        scaled_gradient: &wgpu::Buffer,
        stream_gradient: &wgpu::Buffer,
        adds: bool,
    ) -> [Kernel; 2] {
        let constants = format!("const GAIN = {}u;\nconst ADDS = {adds};\n", self.gains);
        let of_gains = shop.kernel(
            "gain gradient",
            &constants,
            &[include_str!("shaders/gain_gradient.wgsl")],
            [&[scaled_gradient, &self.normed], &[shop.grads]],
            // A workgroup for each quad.
            shop.shape.width / 4 * super::kernel::WORKGROUP_SIZE,
        );
        let of_stream = shop.kernel(
            "norm gradient",
            &constants,
            &[include_str!("shaders/norm_gradient.wgsl")],
            [&[scaled_gradient, &self.normed, &self.factors, shop.params], &[stream_gradient]],
            shop.shape.tokens(),
        );
        [of_gains, of_stream]
    }
}

/// Causal attention between its matrices, and what the way forward leaves for the way back.
pub(crate) struct Attention {
    pub(crate) qkv: wgpu::Buffer,
    pub(crate) attended: wgpu::Buffer,
    log_sums: wgpu::Buffer,
    inners: wgpu::Buffer,
}

impl Attention {
    pub(crate) fn new(shop: &Workshop<'_>) -> Result<Self> {
        let Shape { width, heads, .. } = shop.shape;
        Ok(Self {
            qkv: shop.room("queries, keys, values", 3 * width)?,
            attended: shop.room("attended", width)?,
            log_sums: shop.room("log sums", heads)?,
            inners: shop.room("inner products", heads)?,
        })
    }

    pub(crate) fn forward(&self, shop: &Workshop<'_>) -> Kernel {
        shop.kernel(
            "attention",
            "",
            &[include_str!("shaders/qkv.wgsl"), include_str!("shaders/attention.wgsl")],
            [&[&self.qkv], &[&self.attended, &self.log_sums]],
            shop.shape.tokens() * shop.shape.heads,
        )
    }

    pub(crate) fn backward(
        &self,
        shop: &Workshop<'_>,
        attended_gradient: &wgpu::Buffer,
        qkv_gradient: &wgpu::Buffer,
    ) -> [Kernel; 2] {
        let invocations = shop.shape.tokens() * shop.shape.heads;
        let Self { qkv, attended, log_sums, inners } = self;
        let of_queries = shop.kernel(
            "query gradient",
            "",
            &[include_str!("shaders/qkv.wgsl"), include_str!("shaders/query_gradient.wgsl")],
            [&[qkv, attended, log_sums, attended_gradient], &[qkv_gradient, inners]],
            invocations,
        );
        let of_keys = shop.kernel(
            "key gradient",
            "",
            &[include_str!("shaders/qkv.wgsl"), include_str!("shaders/key_gradient.wgsl")],
            [&[qkv, log_sums, inners, attended_gradient], &[qkv_gradient]],
            invocations,
        );
        [of_queries, of_keys]
    }
}
