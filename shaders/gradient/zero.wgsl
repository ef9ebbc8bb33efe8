// Zeros overwrite used gradients.
fn clear_gradient(i: u32) {
    store_grad(i, real());
}
