//! No invocation touches what is not its launch's, even where the bindings would let it.
//!
//! The optimizer binds no more than a launch covers, and most drivers stop what goes beyond, so a
//! missing guard would not show there. Here kernels run alone, with room around.

use support::{gpu, ok, pipeline, read};
use wgpu_optim::View;
use wgpu_optim::kernel::{Address, Body, Facts, Kernel, Width, kernels};
use wgpu_optim::wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu_optim::wgpu::{BindGroupDescriptor, BindGroupEntry, Buffer, BufferUsages};

const LEN: usize = 4096;
const LR: f32 = 0.5;

/// Words of `Launch`; nothing here stands beside parameters, so that its distances are not looked at.
const LAUNCH: usize = 16;

/// Whether a kernel takes a step of plain SGD over f32 and does nothing else.
fn is_plain(kernel: &Kernel, facts: &Facts) -> bool {
    facts.body == Body::Update
        && facts.rule == Some("sgd")
        && !kernel.switches.iter().any(|(_, on)| *on)
        && !(facts.clear || facts.summed || facts.joined)
        && facts.operands.len() == 2
        && facts.operands.iter().all(|one| one.bits == 32 && one.written == one.stores)
}

/// Runs the kernel of plain SGD over parameters of 0 and gradients of 1, bound whole.
/// Returns how often each element was stepped.
fn steps(
    (width, address): (Width, Address),
    launch: [u32; 6],
    chunks: &[[u32; 4]],
    grid: [u32; 2],
) -> Vec<f32> {
    let gpu = gpu();
    let device = &gpu.device;
    let found = kernels().into_iter().find_map(|kernel| {
        let facts = kernel.facts.clone()?;
        let is = (facts.width, facts.address) == (width, address) && is_plain(&kernel, &facts);
        is.then_some((kernel, facts))
    });
    let Some((kernel, facts)) = found else { panic!("no kernel {width:?} {address:?}") };
    let label = Some("guard");
    let pipeline = pipeline(gpu, kernel.wgsl);
    let table = |bytes: &[u8]| {
        let usage = BufferUsages::UNIFORM | BufferUsages::STORAGE;
        device.create_buffer_init(&BufferInitDescriptor { label, contents: bytes, usage })
    };
    let (params, grads) = (ok(gpu.zeros("w", LEN as u64)), ok(gpu.upload("g", &[1.0; LEN])));
    // A window of groups' scalars.
    let mut scalars = vec![0.0_f32; facts.window as usize * 64];
    (scalars[0], scalars[3]) = (LR, 1.0); // lr and grad_scale
    let mut words = [0; LAUNCH];
    words[..6].copy_from_slice(&launch);
    let launch = table(bytemuck::cast_slice(&words));
    let scalars = table(bytemuck::cast_slice(&scalars));
    let chunks = (!chunks.is_empty()).then(|| table(bytemuck::cast_slice(chunks)));
    let moving = address == Address::Moving;
    let mut all = vec![(0, 0, launch), (1, 0, scalars)];
    all.extend(chunks.map(|chunks| (0, 1, chunks)));
    for operand in &facts.operands {
        let buffer = if operand.name == "grad" { &grads } else { &params };
        all.push((operand.group, operand.binding, buffer.clone()));
    }
    let bind = |group| {
        let entries: Vec<_> = all
            .iter()
            .filter(|(of, ..)| *of == group)
            .map(|(_, binding, buffer): &(u32, u32, Buffer)| BindGroupEntry {
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
    for group in 0..if moving { 3 } else { 2 } {
        pass.set_bind_group(group, &bind(group), &[]);
    }
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
    // From the 16th element, 100 quads, by two rows of one workgroup: one would do.
    let counts = steps((Width::Vec4, Address::Direct), [4, 4, 0, 100, 1, 0], &[], [1, 2]);
    assert_eq!(counts, once(&[(16, 416)]));
    // A gradient anywhere.
    let counts = steps((Width::Loose, Address::Direct), [4, 7, 0, 100, 1, 0], &[], [1, 2]);
    assert_eq!(counts, once(&[(16, 416)]));
    let counts = steps((Width::Scalar, Address::Direct), [7, 7, 0, 300, 2, 0], &[], [2, 2]);
    assert_eq!(counts, once(&[(7, 307)]));
}

#[test]
fn a_table_ends_with_its_last_chunk_and_a_chunk_with_its_last_element() {
    for address in [Address::Table, Address::Moving] {
        // Two chunks of the launch's, and one behind them that is not.
        let chunks = [[0, 0, 0, 10], [20, 20, 0, 256], [300, 300, 0, 256]];
        for width in [Width::Vec4, Width::Loose] {
            let counts = steps((width, address), [0, 0, 0, 2, 2, 0], &chunks, [2, 2]);
            assert_eq!(counts, once(&[(0, 40), (80, 1104)]), "{width:?} {address:?}");
        }
        let scalar = (Width::Scalar, address);
        let counts = steps(scalar, [0, 0, 0, 2, 1, 0], &chunks, [1, 4]);
        assert_eq!(counts, once(&[(0, 10), (20, 276)]), "{address:?}");
        // A chunk for four workgroups, of which it takes three; grid and table end together or do not.
        let chunks = [[0, 0, 0, 600], [620, 620, 0, 300], [1000, 1000, 0, 1024]];
        for grid in [[8, 1], [3, 3]] {
            let launch = [0, 0, 0, 2, grid[0], 2];
            let counts = steps(scalar, launch, &chunks, grid);
            assert_eq!(counts, once(&[(0, 600), (620, 920)]), "{address:?}");
        }
        // A chunk of no length, as a parameter without a gradient has it.
        let chunks = [[0, 0, 0, 0], [20, 20, 0, 256]];
        let counts = steps(scalar, [0, 0, 0, 2, 2, 0], &chunks, [2, 1]);
        assert_eq!(counts, once(&[(20, 276)]), "{address:?}");
    }
}
