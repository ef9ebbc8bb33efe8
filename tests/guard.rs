//! No invocation touches what is not its launch's, even where the bindings would let it.
//!
//! The optimizer binds no more than a launch covers, and most drivers stop what goes beyond, so a
//! missing guard would not show there. Here kernels run alone, with room around.

mod common;

use common::{gpu, ok, pipeline, read};
use wgpu_optim::View;
use wgpu_optim::kernel::kernels;
use wgpu_optim::wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu_optim::wgpu::{BindGroupDescriptor, BindGroupEntry, Buffer, BufferUsages};

const LEN: usize = 4096;
const LR: f32 = 0.5;

/// Runs the kernel `name` of plain SGD over parameters of 0 and gradients of 1, bound whole.
/// Returns how often each element was stepped.
fn steps(name: &str, launch: [u32; 6], chunks: &[[u32; 4]], grid: [u32; 2]) -> Vec<f32> {
    let gpu = gpu();
    let device = &gpu.device;
    let Some(kernel) = kernels().into_iter().find(|kernel| kernel.name == name) else {
        panic!("no kernel `{name}`")
    };
    let label = Some("guard");
    let pipeline = pipeline(gpu, kernel.wgsl);
    let table = |bytes: &[u8]| {
        let usage = BufferUsages::UNIFORM | BufferUsages::STORAGE;
        device.create_buffer_init(&BufferInitDescriptor { label, contents: bytes, usage })
    };
    let (params, grads) = (ok(gpu.zeros("w", LEN as u64)), ok(gpu.upload("g", &[1.0; LEN])));
    // A window of groups' scalars.
    let mut scalars = [0.0_f32; 32 * 64];
    (scalars[0], scalars[3]) = (LR, 1.0); // lr and grad_scale
    let mut words = [0; 12]; // what is beside parameters and state is not looked at
    words[..6].copy_from_slice(&launch);
    let launch = table(bytemuck::cast_slice(&words));
    let scalars = table(bytemuck::cast_slice(&scalars));
    let chunks = (!chunks.is_empty()).then(|| table(bytemuck::cast_slice(chunks)));
    let entry = |binding, buffer: &'_ Buffer| (binding, buffer.clone());
    let mut buffers = vec![entry(0, &launch), entry(2, &params), entry(3, &grads)];
    buffers.extend(chunks.iter().map(|chunks| entry(1, chunks)));
    let bind = |group, buffers: &[(u32, Buffer)]| {
        let entries: Vec<_> = buffers
            .iter()
            .map(|(binding, buffer)| BindGroupEntry {
                binding: *binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let layout = &pipeline.get_bind_group_layout(group);
        device.create_bind_group(&BindGroupDescriptor { label, layout, entries: &entries })
    };
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    pass.set_pipeline(&pipeline);
    pass.set_bind_group(0, &bind(0, &buffers), &[]);
    pass.set_bind_group(1, &bind(1, &[entry(0, &scalars)]), &[]);
    pass.dispatch_workgroups(grid[0], grid[1], 1);
    drop(pass);
    gpu.queue.submit([encoder.finish()]);
    read(gpu, &View::f32(&params)).into_iter().map(|p| p / -LR).collect()
}

/// The elements of these ranges once, nothing else.
fn once(ranges: &[(usize, usize)]) -> Vec<f32> {
    let inside = |i| ranges.iter().any(|(from, to)| (*from..*to).contains(&i));
    (0..LEN).map(|i| f32::from(u8::from(inside(i)))).collect()
}

#[test]
fn a_direct_launch_ends_where_it_says() {
    // From the 16th element, 100 quadruples, by two rows of one workgroup: one would do.
    let counts = steps("sgd-vec4-direct-own-update", [4, 4, 0, 100, 1, 0], &[], [1, 2]);
    assert_eq!(counts, once(&[(16, 416)]));
    let counts = steps("sgd-scalar-direct-own-update", [7, 7, 0, 300, 2, 0], &[], [2, 2]);
    assert_eq!(counts, once(&[(7, 307)]));
}

#[test]
fn a_table_ends_with_its_last_chunk_and_a_chunk_with_its_last_element() {
    // Two chunks of the launch's, and one behind them that is not.
    let chunks = [[0, 0, 0, 10], [20, 20, 0, 256], [300, 300, 0, 256]];
    let counts = steps("sgd-vec4-table-own-update", [0, 0, 0, 2, 2, 0], &chunks, [2, 2]);
    assert_eq!(counts, once(&[(0, 40), (80, 1104)]));
    let counts = steps("sgd-scalar-table-own-update", [0, 0, 0, 2, 1, 0], &chunks, [1, 4]);
    assert_eq!(counts, once(&[(0, 10), (20, 276)]));
    // A chunk for four workgroups, of which it takes three; grid and table end together or do not.
    let chunks = [[0, 0, 0, 600], [620, 620, 0, 300], [1000, 1000, 0, 1024]];
    for grid in [[8, 1], [3, 3]] {
        let launch = [0, 0, 0, 2, grid[0], 2];
        let counts = steps("sgd-scalar-table-own-update", launch, &chunks, grid);
        assert_eq!(counts, once(&[(0, 600), (620, 920)]));
    }
}
