// Gradients are zero once they are used.
fn clear_gradient(i: u32) {
    store_grad(i, real());
}
