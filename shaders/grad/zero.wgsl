// Gradients are zero once they are used.
fn clear_grad(i: u32) {
    store_grad(i, real());
}
