//! A training loop that owns its device, buffers and encoder: gradients are written by its own
//! kernel, and the optimizer's step is recorded right behind it.
//!
//! Fits y = 3x − 2 by least squares. `cargo run --example own_loop`

use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu;
use wgpu_optim::{Error, Group, Optimizer, View};

const STEPS: u32 = 300;

fn main() -> Result<(), Error> {
    let gpu = Gpu::headless()?;
    println!("{}", gpu.describe());
    let device = &gpu.device;

    // Slope and offset in one arena; their gradients in another.
    let params = gpu.upload("params", &[0.0, 0.0])?;
    let grads = gpu.zeros("grads", 2)?;
    let module = device.create_shader_module(wgpu::include_wgsl!("own_loop.wgsl"));
    let gradient = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("gradient"),
        layout: None,
        module: &module,
        entry_point: Some("gradient"),
        compilation_options: Default::default(),
        cache: None,
    });
    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("gradient"),
        layout: &gradient.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry { binding: 0, resource: params.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: grads.as_entire_binding() },
        ],
    });

    let mut optimizer = Optimizer::new(device);
    let slopes = optimizer.add_group(Group::adam(0.1))?;
    let offsets = optimizer.add_group(Group::adam(0.2))?;
    let part = |buffer: &wgpu::Buffer, i| View::f32(buffer).range(i..i + 1);
    optimizer.add_param(slopes, "slope", part(&params, 0), part(&grads, 0))?;
    optimizer.add_param(offsets, "offset", part(&params, 1), part(&grads, 1))?;

    for t in 0..STEPS {
        // A learning rate that falls to zero; each recorded step keeps the one it was recorded with.
        optimizer.set_lr(0.1 * f64::from(STEPS - t) / f64::from(STEPS))?;
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&gradient);
        pass.set_bind_group(0, &bindings, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        optimizer.step_in_pass(&mut pass);
        drop(pass);
        gpu.queue.submit([encoder.finish()]);
    }

    let [slope, offset] = gpu.download(&View::f32(&params))?[..] else { return Ok(()) };
    println!("y = {slope:.4} x + {offset:.4}");
    assert!((slope - 3.0).abs() < 1e-3 && (offset + 2.0).abs() < 1e-3);
    Ok(())
}
