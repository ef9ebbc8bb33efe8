// The gradient is the caller's.
fn load_gradient(i: u32, generation: u32) -> real {
    return load_grad(i);
}
