@group(0) @binding(3) var<storage, read> grads: array<grad_word>;

fn load_grad(i: u32) -> real {
    return decode_grad(grads[i]);
}
