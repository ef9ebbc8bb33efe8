//! Parameters that belong to a framework: tensors are byte ranges of pages it allocates, and each
//! step's gradients are new tensors, in whatever page there was room.
//!
//! `cargo run --example framework_tensors`

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu;
use wgpu_optim::{Error, Group, Optimizer, ParamId, RmsProp, View};

/// A tensor as a framework hands it out: a buffer, and a place in it, in bytes.
struct Tensor<'a> {
    page: &'a wgpu::Buffer,
    offset: u64,
    size: u64,
}

impl Tensor<'_> {
    fn view(&self) -> View {
        View::f32_at(self.page, self.offset, self.size / 4)
    }
}

fn main() -> Result<(), Error> {
    let gpu = Gpu::headless()?;
    println!("{}", gpu.describe());
    // Weights and, at first, gradients share a page: that is allowed as long as they do not overlap.
    let pages = [gpu.zeros("page 0", 4096)?, gpu.zeros("page 1", 4096)?];
    let weight = Tensor { page: &pages[0], offset: 256, size: 4000 };
    let bias = Tensor { page: &pages[0], offset: 4352, size: 40 };

    let mut optimizer = Optimizer::new(&gpu.device);
    let group = optimizer.add_group(Group::new(1e-2, RmsProp::pytorch()))?;
    let first = [gradient(&gpu, &pages, &weight, 0), gradient(&gpu, &pages, &bias, 0)];
    let params: [ParamId; 2] = [
        optimizer.add_param(group, "weight", weight.view(), first[0].clone())?,
        optimizer.add_param(group, "bias", bias.view(), first[1].clone())?,
    ];
    for t in 1..=100 {
        gpu.step(&mut optimizer);
        for (id, tensor) in params.iter().zip([&weight, &bias]) {
            optimizer.set_grad(*id, gradient(&gpu, &pages, tensor, t))?;
        }
    }

    let square_avg = gpu.download(&optimizer.state(params[1], "square_avg")?)?;
    println!("bias: square_avg {:.4}", square_avg[0]);
    println!("weight: {:.4} after 100 steps", gpu.download(&weight.view())?[0]);
    Ok(())
}

/// A gradient of ones in another place each step: behind the tensors, in one page or the other.
fn gradient(gpu: &Gpu, pages: &[wgpu::Buffer; 2], of: &Tensor<'_>, t: u64) -> View {
    let page = &pages[t as usize % 2];
    let view = View::f32_at(page, 5000 + of.offset + 4 * (t % 8), of.size / 4);
    let ones = vec![1.0_f32; view.len as usize];
    gpu.queue.write_buffer(&view.buffer, view.offset, bytemuck::cast_slice(&ones));
    view
}
