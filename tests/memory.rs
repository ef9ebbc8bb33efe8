//! An optimizer takes little memory besides parameters, gradients and state: on the device, and on the host's
//! heap for each step.

use support::{Case, cases, gpu, noop, ok, one_of_each, record, slots};
use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu_optim::wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindGroupLayout, BindGroupLayoutDescriptor,
    BindGroupLayoutEntry, BindingResource, BindingType, Buffer, BufferBinding, BufferBindingType,
    BufferDescriptor, BufferUsages, CommandEncoder, ComputePassDescriptor, ComputePipeline,
    ComputePipelineDescriptor, Device, Limits, PipelineLayoutDescriptor, Queue,
    ShaderModuleDescriptor, ShaderSource, ShaderStages,
};
use wgpu_optim::{Control, Format, Group, Master, Optimizer, View};

/// Bytes of one block of scalars, and of as many as a launch by table sees.
const BLOCK: u64 = 256;
const WINDOW: u64 = 32 * BLOCK;

/// Bytes that live on the device, as the driver's allocator counts them; `None` where it does not.
fn allocated(gpu: &Gpu) -> Option<u64> {
    // Polling frees unused memory, some of it only by the second call.
    ok(gpu.wait());
    gpu.queue.submit([]);
    ok(gpu.wait());
    Some(gpu.device.generate_allocator_report()?.total_allocated_bytes)
}

/// Views of these lengths side by side in one buffer.
fn arena(gpu: &Gpu, format: Format, lengths: &[u64]) -> Vec<View> {
    let bytes = lengths.iter().sum::<u64>() * format.bytes();
    let whole = View::whole(&ok(gpu.zeros("arena", bytes.div_ceil(4))), format);
    let mut end = 0;
    let view = |&len: &u64| {
        let range = end..end + len;
        end += len;
        whole.clone().range(range)
    };
    lengths.iter().map(view).collect()
}

/// Bytes of an element of a slot.
fn slot_bytes(group: &Group, slot: &str) -> u64 {
    let format = group.state_format.of(slot).plain();
    format.map_or_else(|| panic!("`{slot}` is in blocks, which have other bytes"), Format::bytes)
}

/// Bytes of an element: of its parameter, its gradient, its copy, and all that is kept of it.
fn bytes(case: &Case) -> u64 {
    let Group { master, ema, .. } = case.group;
    let master = match master {
        Master::None => 0,
        Master::Remainder => 2,
        Master::F32 => 4,
        other => panic!("the bytes of {other:?} are not known"),
    };
    let state = slots(&case.group).iter().map(|slot| slot_bytes(&case.group, slot)).sum::<u64>();
    let copy = case.copy.map_or(0, Format::bytes);
    let [ema, sum] = [ema.is_some(), case.accumulate > 0].map(|is| if is { 4 } else { 0 });
    case.param.bytes() + case.grad.bytes() + state + master + copy + ema + sum
}

/// The bytes that a case takes beyond those, after a step in two groups; and the bytes of `lengths`.
fn beyond(gpu: &Gpu, case: &Case, lengths: &[u64]) -> Option<[u64; 2]> {
    let before = allocated(gpu)?;
    let [params, grads] = [case.param, case.grad].map(|format| arena(gpu, format, lengths));
    let copies = case.copy.map(|format| arena(gpu, format, lengths));
    let mut optimizer = Optimizer::new(&gpu.device);
    ok(optimizer.set_control(case.control));
    let groups = [0, 1].map(|_| ok(optimizer.add_group(case.group.clone())));
    for (i, (param, grad)) in params.into_iter().zip(grads).enumerate() {
        let id = ok(optimizer.add_param(groups[i % 2], &i.to_string(), param, grad));
        ok(optimizer.set_copy(id, copies.as_ref().map(|copies| copies[i].clone())));
    }
    ok(optimizer.prepare());
    if case.accumulate > 0 {
        record(gpu, |encoder| ok(optimizer.accumulate(encoder)));
    }
    gpu.step(&mut optimizer);
    let needed = lengths.iter().sum::<u64>() * bytes(case);
    Some([(allocated(gpu)? - before).saturating_sub(needed), needed])
}

/// A model's worth of tensors: large ones, and small ones of odd lengths between them.
fn lengths(count: u64) -> Vec<u64> {
    (0..count).map(|i| if i % 3 == 0 { 40_000 } else { 700 + i }).collect()
}

#[test]
fn little_beyond_parameters_gradients_and_state_and_no_growth_over_ten_thousand_steps() {
    // A device of its own: other tests' buffers do not count.
    let gpu = ok(Gpu::on(gpu().adapter.clone()));
    let large = one_of_each().into_iter().map(|group| (Case::new(group), lengths(600)));
    // Looking at gradients takes room that does not depend on how many there are.
    let small = cases().into_iter().filter(|case| !case.control.looks_at_gradients());
    let small = small.map(|case| (case, lengths(60)));
    for (case, lengths) in large.chain(small) {
        let Some([beyond, needed]) = beyond(&gpu, &case, &lengths) else {
            println!("{} does not tell its memory: nothing was tested", gpu.describe());
            return;
        };
        assert!(beyond <= needed / 1000 + (1 << 20), "{beyond} over {needed} bytes: {case:?}");
        println!("{}: {beyond} bytes beyond {needed}", case.group.rule.name());
    }

    // Growth shows with any size; few elements make ten thousand steps quick.
    let mut optimizer = Optimizer::new(&gpu.device);
    let id = ok(optimizer.add_group(Group::adam(1e-3)));
    let [params, grads] = [0, 1].map(|_| arena(&gpu, Format::F32, &[100; 3]));
    for (i, (param, grad)) in params.into_iter().zip(grads).enumerate() {
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

/// The median of the allocations that `step` makes, over many calls: now and then a table of wgpu's grows.
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
