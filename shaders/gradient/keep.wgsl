// Gradients stay as they are.
fn clear_gradient(i: u32) {}
