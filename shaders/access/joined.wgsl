// This access finds gradients in the parameters' binding, because browsers refuse two bindings that overlap.
fn load_grad(i: u32) -> real {
    return load_param(i);
}

fn store_grad(i: u32, x: real) {
    store_param(i, x);
}
