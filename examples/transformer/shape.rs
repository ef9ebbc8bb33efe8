//! The sizes of the network, and where each of its parameters lies in the arena.

use std::ops::Range;

use super::random::Random;

/// The sizes of the network and of a batch. Every one is a multiple of 4, except `layers`, `heads` and `batch`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Characters that there are.
    pub(crate) vocabulary: usize,
    /// Characters of a window, in each of which the network predicts the next one.
    pub(crate) context: usize,
    /// Numbers by which a character is represented between two layers.
    pub(crate) width: usize,
    /// Heads of attention, which share the width.
    pub(crate) heads: usize,
    pub(crate) layers: usize,
    /// Units of the hidden layer of each multilayer perceptron.
    pub(crate) hidden: usize,
    /// Windows of a batch.
    pub(crate) batch: usize,
}

/// How a parameter begins.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// Normally distributed numbers of this deviation.
    Normal(f64),
    Ones,
}

/// A parameter of the network.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// Its place in the arena, in elements; its gradient lies at the same place of the other arena.
    pub(crate) range: Range<usize>,
    start: Start,
}

impl Shape {
    /// The network that the example trains.
    pub(crate) const EXAMPLE: Self = Self {
        vocabulary: super::text::CHARACTERS,
        context: 32,
        width: 64,
        heads: 4,
        layers: 2,
        hidden: 256,
        batch: 8,
    };

    /// Characters of a batch.
    pub(crate) fn tokens(&self) -> usize {
        self.batch * self.context
    }

    /// All parameters, in the order in which they lie in the arena.
    pub(crate) fn parameters(&self) -> Vec<Parameter> {
        let Self { vocabulary, context, width, hidden, layers, .. } = *self;
        // A matrix keeps the strength of its input. The two that end a branch of a layer are weaker, so that the
        // sum over all branches is as strong as the embedding.
        let normal = |inputs: usize| Start::Normal(1.0 / (inputs as f64).sqrt());
        let ending = |inputs: usize| Start::Normal(1.0 / ((2 * layers * inputs) as f64).sqrt());
        let mut all = Vec::new();
        let mut at = 0;
        let mut push = |name: String, elements: usize, start| {
            all.push(Parameter { name, range: at..at + elements, start });
            at += elements;
        };
        push("token".into(), vocabulary * width, Start::Normal(0.5));
        push("position".into(), context * width, Start::Normal(0.2));
        for layer in 0..layers {
            push(format!("{layer}.norm1"), width, Start::Ones);
            push(format!("{layer}.qkv"), width * 3 * width, normal(width));
            push(format!("{layer}.project"), width * width, ending(width));
            push(format!("{layer}.norm2"), width, Start::Ones);
            push(format!("{layer}.up"), width * hidden, normal(width));
            push(format!("{layer}.down"), hidden * width, ending(hidden));
        }
        push("norm".into(), width, Start::Ones);
        // Weak, so that the first predictions are nearly uniform.
        push("output".into(), width * vocabulary, Start::Normal(0.02));
        all
    }

    /// Parameters to start from.
    pub(crate) fn initial(&self, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed);
        let parameters = self.parameters();
        let mut next = |start| match start {
            Start::Normal(deviation) => (deviation * random.normal()) as f32,
            Start::Ones => 1.0,
        };
        parameters
            .iter()
            .flat_map(|p| p.range.clone().map(move |_| p.start))
            .map(&mut next)
            .collect()
    }
}
