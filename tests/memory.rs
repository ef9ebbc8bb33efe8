//! What an optimizer takes besides parameters, gradients and state: on the device, and on the host's
//! heap for each step.

mod common;
mod noop;

use common::{gpu, ok};
use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu_optim::wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor,
    BindGroupLayoutEntry, BindingResource, BindingType, Buffer, BufferBinding, BufferBindingType,
    BufferDescriptor, BufferUsages, CommandEncoder, ComputePassDescriptor, ComputePipeline,
    ComputePipelineDescriptor, Device, Limits, PipelineLayoutDescriptor, Queue,
    ShaderModuleDescriptor, ShaderSource, ShaderStages,
};
use wgpu_optim::{Control, Group, Optimizer, View};

/// Bytes of one block of scalars, and of as many as a launch by table sees.
const BLOCK: u64 = 256;
const WINDOW: u64 = 32 * BLOCK;

/// Bytes that live on the device, as the driver's allocator counts them; `None` where it does not.
fn allocated(gpu: &Gpu) -> Option<u64> {
    // What is no longer used is freed by polling, some of it only by the second.
    ok(gpu.wait());
    gpu.queue.submit([]);
    ok(gpu.wait());
    Some(gpu.device.generate_allocator_report()?.total_allocated_bytes)
}

/// Views of these lengths side by side in one buffer of parameters and one of gradients.
fn arena(gpu: &Gpu, lengths: &[u64]) -> Vec<(View, View)> {
    let all = lengths.iter().sum();
    let (params, grads) = (ok(gpu.zeros("params", all)), ok(gpu.zeros("grads", all)));
    let mut end = 0;
    let view = |&len: &u64| {
        let range = end..end + len;
        end += len;
        (View::f32(&params).range(range.clone()), View::f32(&grads).range(range))
    };
    lengths.iter().map(view).collect()
}

/// A model's worth of tensors: large ones, and small ones of odd lengths between them, in two groups.
#[test]
fn little_beyond_parameters_gradients_and_state_and_no_growth_over_ten_thousand_steps() {
    // A device of its own: other tests' buffers do not count.
    let gpu = ok(Gpu::on(gpu().adapter.clone()));
    let lengths: Vec<u64> = (0..600).map(|i| if i % 3 == 0 { 40_000 } else { 700 + i }).collect();
    for group in [Group::sgd(1e-3), Group::rmsprop(1e-3), Group::adam(1e-3)] {
        let Some(before) = allocated(&gpu) else {
            println!("{} does not tell its memory: nothing was tested", gpu.describe());
            return;
        };
        let views = arena(&gpu, &lengths);
        let mut optimizer = Optimizer::new(&gpu.device);
        let groups = [0, 1].map(|_| ok(optimizer.add_group(group.clone())));
        for (i, (param, grad)) in views.iter().enumerate() {
            let group = groups[i % 2];
            ok(optimizer.add_param(group, &i.to_string(), param.clone(), grad.clone()));
        }
        ok(optimizer.prepare());
        gpu.step(&mut optimizer);
        let numbers = 2 + group.rule.slots().len() as u64;
        let needed = lengths.iter().sum::<u64>() * 4 * numbers;
        let beyond = |gpu: &Gpu| allocated(gpu).map_or(0, |all| all - before - needed);
        let first = beyond(&gpu);
        assert!(first <= needed / 1000 + (1 << 20), "{group:?}: {first} bytes over {needed}");
        println!("{}: {first} bytes beyond {needed}", group.rule.name());
    }

    // Growth shows with any size; few elements make ten thousand steps quick.
    let mut optimizer = Optimizer::new(&gpu.device);
    let id = ok(optimizer.add_group(Group::adam(1e-3)));
    for (i, (param, grad)) in arena(&gpu, &[100; 3]).into_iter().enumerate() {
        ok(optimizer.add_param(id, &i.to_string(), param, grad));
    }
    let mut at = Vec::new();
    for step in 0..=10_000 {
        gpu.step(&mut optimizer);
        if step % 100 == 0 {
            ok(gpu.wait());
        }
        if step % 5000 == 0 {
            at.push(allocated(&gpu));
        }
    }
    assert!(at.iter().all(|bytes| *bytes == at[0]), "bytes after 0, 5000, 10 000 steps: {at:?}");
}

/// What an encoder's user allocates by `step`, in the middle of many times: now and then a table of wgpu's
/// grows.
fn allocations(
    (device, queue): &(Device, Queue),
    mut step: impl FnMut(&mut CommandEncoder),
) -> u64 {
    let mut counts: Vec<u64> = (0..60)
        .map(|_| {
            let mut encoder = device.create_command_encoder(&Default::default());
            let counted = allocation_counter::measure(|| step(&mut encoder));
            queue.submit([encoder.finish()]);
            counted.count_total
        })
        .collect();
    // Behind the warm-up.
    counts.drain(..20);
    counts.sort_unstable();
    counts[counts.len() / 2]
}

/// The wgpu calls of a step, made by hand: as many allocations as they need, a step may have.
struct ByHand {
    device: Device,
    scalars: Vec<u8>,
    /// By dynamic offset, of scalars; and whole, of the rest.
    layouts: [BindGroupLayout; 2],
    /// Scalars of an earlier step.
    kept: [BindGroup; 2],
    /// Each another, as wgpu leaves out what is bound already.
    launches: Vec<BindGroup>,
    /// Two over each of the layouts.
    pipelines: [[ComputePipeline; 2]; 2],
}

impl ByHand {
    fn new(device: &Device, blocks: u64, launches: usize) -> Self {
        let layout = |ty, has_dynamic_offset| {
            device.create_bind_group_layout(&BindGroupLayoutDescriptor {
                label: None,
                entries: &[BindGroupLayoutEntry {
                    binding: 0,
                    visibility: ShaderStages::COMPUTE,
                    ty: BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
                    count: None,
                }],
            })
        };
        let storage = BufferBindingType::Storage { read_only: true };
        let layouts = [layout(BufferBindingType::Uniform, true), layout(storage, false)];
        let buffer = device.create_buffer(&BufferDescriptor {
            label: None,
            size: BLOCK,
            usage: BufferUsages::STORAGE | BufferUsages::UNIFORM,
            mapped_at_creation: false,
        });
        let kept = [0, 1].map(|_| bind(device, &layouts[0], &buffer, BLOCK));
        let launches = (0..launches).map(|_| bind(device, &layouts[1], &buffer, 16)).collect();
        let module = device.create_shader_module(ShaderModuleDescriptor {
            label: None,
            source: ShaderSource::Wgsl("@compute @workgroup_size(1) fn main() {}".into()),
        });
        let pipeline = |layout| {
            let layout = device.create_pipeline_layout(&PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&layouts[1]), Some(layout)],
                immediate_size: 0,
            });
            device.create_compute_pipeline(&ComputePipelineDescriptor {
                label: None,
                layout: Some(&layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: Default::default(),
                cache: None,
            })
        };
        let pipelines = layouts.each_ref().map(|layout| [(); 2].map(|()| pipeline(layout)));
        // Whole windows only where there is a table: a size, which no allocation depends on.
        let scalars = vec![0; (blocks * BLOCK).next_multiple_of(WINDOW) as usize];
        Self { device: device.clone(), scalars, layouts, kept, launches, pipelines }
    }

    /// A step of this many direct launches under one group, then of as many as these by table.
    fn step(&self, encoder: &mut CommandEncoder, direct: usize, table: usize) {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor {
            label: Some("wgpu-optim step"),
            timestamp_writes: None,
        });
        let buffer = self.device.create_buffer_init(&BufferInitDescriptor {
            label: Some("wgpu-optim scalars"),
            contents: &self.scalars,
            usage: BufferUsages::UNIFORM | BufferUsages::STORAGE,
        });
        let counts = [direct, table];
        let sizes = [BLOCK, WINDOW];
        let groups = [0, 1].map(|of| {
            (counts[of] > 0).then(|| bind(&self.device, &self.layouts[0], &buffer, sizes[of]))
        });
        let mut launches = self.launches.iter();
        for of in [0, 1] {
            for launch in 0..counts[of] {
                // Launches by table differ in their width, and so in their pipeline.
                if launch == 0 || of == 1 {
                    pass.set_pipeline(&self.pipelines[0][of]);
                }
                if launch == 0 {
                    pass.set_bind_group(1, groups[of].as_ref(), &[0]);
                }
                pass.set_bind_group(0, launches.next(), &[]);
                pass.dispatch_workgroups(1, 1, 1);
            }
        }
    }
}

impl ByHand {
    /// A step of so many norms, a decision, and then of as many updates as `step` has: what the host says
    /// is bound for the first two, and the updates' scalars stay where they are.
    fn decided(&self, encoder: &mut CommandEncoder, norms: usize, (direct, table): (usize, usize)) {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor {
            label: Some("wgpu-optim step"),
            timestamp_writes: None,
        });
        let buffer = self.device.create_buffer_init(&BufferInitDescriptor {
            label: Some("wgpu-optim step"),
            contents: &self.scalars,
            usage: BufferUsages::UNIFORM | BufferUsages::STORAGE,
        });
        let said = [0, 1].map(|_| bind(&self.device, &self.layouts[1], &buffer, BLOCK));
        let mut launches = self.launches.iter();
        for launch in 0..=norms {
            // Norms differ in their width, and so in their pipeline.
            pass.set_pipeline(&self.pipelines[1][launch % 2]);
            if launch == 0 || launch == norms {
                pass.set_bind_group(1, &said[launch / norms], &[]);
            }
            pass.set_bind_group(0, launches.next(), &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
        for launch in 0..direct + table {
            if launch == 0 || launch >= direct {
                pass.set_pipeline(&self.pipelines[0][launch % 2]);
            }
            if launch == 0 || launch == direct {
                pass.set_bind_group(1, &self.kept[usize::from(launch > 0)], &[0]);
            }
            pass.set_bind_group(0, launches.next(), &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
    }
}

fn bind(device: &Device, layout: &BindGroupLayout, buffer: &Buffer, size: u64) -> BindGroup {
    let size = std::num::NonZero::new(size);
    let resource = BindingResource::Buffer(BufferBinding { buffer, offset: 0, size });
    let entries = &[BindGroupEntry { binding: 0, resource }];
    device.create_bind_group(&BindGroupDescriptor {
        label: Some("wgpu-optim step"),
        layout,
        entries,
    })
}

#[test]
fn a_step_allocates_nothing_on_the_heap_but_what_wgpu_does() {
    let noop = noop::device(Limits::default());
    let (device, _) = &noop;
    let group = Group::adam(1e-3);
    for (own, arena, groups) in [(1, 0, 1), (20, 0, 1), (0, 1000, 10), (20, 1000, 1)] {
        let mut optimizer = Optimizer::new(device);
        let ids: Vec<_> = (0..groups).map(|_| ok(optimizer.add_group(group.clone()))).collect();
        let buffer = |size| {
            let usage = BufferUsages::STORAGE;
            let label = None;
            device.create_buffer(&BufferDescriptor {
                label,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        for i in 0..own {
            let [param, grad] = [0, 1].map(|_| View::f32(&buffer(4096)));
            ok(optimizer.add_param(ids[0], &format!("own {i}"), param, grad));
        }
        if arena > 0 {
            let [params, grads] = [0, 1].map(|_| buffer(arena * 1024));
            for i in 0..arena {
                // Neither neighbours nor whole quadruples: a table of vec4s and one of scalars.
                let [param, grad] = [&params, &grads].map(|b| View::f32_at(b, i * 1024, 101));
                let id = ids[i as usize % groups];
                ok(optimizer.add_param(id, &format!("arena {i}"), param, grad));
            }
        }
        let table = if arena > 0 { 2 } else { 0 };
        assert_eq!(optimizer.dispatches(), own + table);

        let by_hand = ByHand::new(device, groups as u64, own + table);
        let least = allocations(&noop, |encoder| by_hand.step(encoder, own, table));
        let ours = allocations(&noop, |encoder| optimizer.step(encoder));
        println!("{own} own, {arena} in an arena, {groups} groups: {ours} of {least} allocations");
        assert!(least > 0 && ours <= least, "{ours} allocations, by hand {least}");

        ok(optimizer.set_control(Control { clip_norm: Some(1.0), ..Control::default() }));
        let norms = optimizer.dispatches() - own - table - 1;
        let by_hand = ByHand::new(device, groups as u64, own + table + norms + 1);
        let least = allocations(&noop, |encoder| by_hand.decided(encoder, norms, (own, table)));
        let ours = allocations(&noop, |encoder| optimizer.step(encoder));
        println!("  with a norm: {ours} of {least} allocations");
        assert!(least > 0 && ours <= least, "{ours} allocations, by hand {least}");
    }
}
