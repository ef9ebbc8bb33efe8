// The end of the way forward and the start of the way back, one invocation for each image:
//
//     probability   = softmax(logits)
//     loss          = −log probability[label]
//     output_errors = ∂loss/∂logits · loss_scale
//                   = (probability − 1[digit = label]) / count · loss_scale

struct Score {
    loss: f32,
    hit: f32, // 1 if the largest logit is the label's, otherwise 0
}

@group(1) @binding(0) var<storage, read> logits: array<f32>;
@group(1) @binding(1) var<storage, read> order: array<u32>;
@group(1) @binding(2) var<storage, read> labels: array<u32>;
@group(1) @binding(3) var<storage, read_write> output_errors: array<f32>;
// One for each place in `order`: an image scored again in a later epoch keeps its earlier scores.
@group(1) @binding(4) var<storage, read_write> scores: array<Score>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= batch.count {
        return;
    }
    let start = row * CLASSES;
    let label = labels[order[batch.first + row]];

    var largest = 0u;
    for (var digit = 1u; digit < CLASSES; digit++) {
        if logits[start + digit] > logits[start + largest] {
            largest = digit;
        }
    }
    // With the largest logit taken off, no exponential overflows and their sum is at least 1.
    let top = logits[start + largest];
    var total = 0.0;
    for (var digit = 0u; digit < CLASSES; digit++) {
        total += exp(logits[start + digit] - top);
    }

    for (var digit = 0u; digit < CLASSES; digit++) {
        let probability = exp(logits[start + digit] - top) / total;
        let wanted = select(0.0, 1.0, digit == label);
        output_errors[start + digit] = loss_scale * ((probability - wanted) / f32(batch.count));
    }
    let loss = log(total) - (logits[start + label] - top);
    scores[batch.first + row] = Score(loss, select(0.0, 1.0, largest == label));
}
