// The gradient is a sum of several. If none of the commands that were to make it was ever executed, what
// stands there is the sum of an older step, and this step's is zero.
@group(0) @binding(sums_binding) var<uniform> sums: Sums;

fn load_gradient(i: u32, generation: u32) -> real {
    return select(real(), load_grad(i), sums.generation == generation);
}
