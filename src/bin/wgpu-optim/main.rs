//! The command `wgpu-optim`.

fn main() {}
