// The network, and which images a dispatch works on. Stands in front of every kernel, together with
// a file of `stored`, which declares how parameters and gradients are.
//
//     hidden = max(0, x W1 + b1)
//     logits = hidden W2 + b2
//     loss   = −log softmax(logits)[label], averaged over the batch

// As in network.rs.
const INPUTS = 64u;
const HIDDEN = 128u;
const CLASSES = 10u;
// Hidden units go four at a time where they lie next to each other: one load in place of four.
const QUADS = HIDDEN / 4u;
// Digits go two at a time: in 16 bits, two weights are a word, which has one writer only.
const PAIRS = CLASSES / 2u;

// Where each parameter starts in the arena of parameters, and its gradient in that of gradients.
// A bias follows its matrix as one more row of it: the weights of an input that is always 1.
const W1 = 0u;
const B1 = W1 + INPUTS * HIDDEN;
const W2 = B1 + HIDDEN;
const B2 = W2 + HIDDEN * CLASSES;

// Row `r` of the batch is image `order[first + r]`.
struct Batch {
    first: u32,
    count: u32,
}
@group(0) @binding(0) var<uniform> batch: Batch;

// The factor of the loss on the way back, and with it of every gradient.
@group(0) @binding(1) var<storage, read> loss_scale: f32;

const WORKGROUP_SIZE = 64u;
