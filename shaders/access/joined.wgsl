// Gradients, in the parameters' binding: browsers refuse two that overlap.
fn load_grad(i: u32) -> real {
    return load_param(i);
}

fn store_grad(i: u32, x: real) {
    store_param(i, x);
}
