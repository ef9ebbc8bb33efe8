// The gradient is a sum of several gradients. If the commands that make this step's sum were never executed, the
// buffer holds the sum of an older step, and the gradient is zero.
@group(0) @binding(sums_binding) var<uniform> sums: Sums;

fn load_gradient(i: u32, generation: u32) -> real {
    return select(real(), load_grad(i), sums.generation == generation);
}
