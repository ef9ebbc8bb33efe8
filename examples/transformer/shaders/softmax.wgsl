// The end of the way forward and the start of the way back, one invocation for each token:
//
//     probability = softmax(logits)
//     loss        = −log probability[next character]
//     errors      = ∂ mean(loss) / ∂logits = (probability − 1[character = next]) / tokens

@group(1) @binding(0) var<storage, read> logits: array<f32>;
@group(1) @binding(1) var<storage, read_write> errors: array<f32>;
@group(1) @binding(2) var<storage, read_write> losses: array<f32>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    if token >= TOKENS {
        return;
    }
    let row = token * VOCABULARY;
    let next = text[place(token) + 1u];
    // With the largest logit taken off, no exponential overflows and their sum is at least 1.
    var top = logits[row];
    for (var character = 1u; character < VOCABULARY; character++) {
        top = max(top, logits[row + character]);
    }
    var total = 0.0;
    for (var character = 0u; character < VOCABULARY; character++) {
        total += exp(logits[row + character] - top);
    }
    for (var character = 0u; character < VOCABULARY; character++) {
        let probability = exp(logits[row + character] - top) / total;
        let wanted = select(0.0, 1.0, character == next);
        errors[row + character] = (probability - wanted) / f32(TOKENS);
    }
    losses[token] = log(total) - (logits[row + next] - top);
}
