// The gradients live in the parameters' buffer: one buffer may not be bound `read` and
// `read_write` in one dispatch.
@group(0) @binding(3) var<storage, read_write> grads: array<grad_word>;

fn load_grad(i: u32) -> real {
    return decode_grad(grads[i]);
}
