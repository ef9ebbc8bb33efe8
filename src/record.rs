//! From planned launches to recorded ones: bind groups and the small tables they point at.

use wgpu::util::DeviceExt;

use crate::kernel::{Address, BLOCK, Binding, Kernels, LAUNCH, Pipeline, WINDOW};
use crate::plan::{Chunk, Launch, Role, Roles, Work};

/// A launch with everything bound but the step's scalars.
#[derive(Debug)]
pub(crate) struct Recordable {
    pipeline: wgpu::ComputePipeline,
    launch: wgpu::BindGroup,
    address: Address,
    /// Of the first block of scalars, in bytes.
    scalars: u32,
    grid: [u32; 2],
}

/// The launches of a step, and which ways of addressing there are among them.
#[derive(Debug)]
pub(crate) struct Launches {
    /// Those of one pipeline next to each other.
    list: Vec<Recordable>,
    direct: bool,
    pub(crate) table: bool,
}

impl Launches {
    fn new(list: Vec<Recordable>) -> Self {
        let any = |address| list.iter().any(|launch| launch.address == address);
        let (direct, table) = (any(Address::Direct), any(Address::Table));
        Self { list, direct, table }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}

/// A launch and the buffers it works on.
pub(crate) struct Bound<'a> {
    pub(crate) launch: &'a Launch,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) buffers: Buffers<'a>,
}

/// The buffer of each role, and of each slot, which together are one.
#[derive(Default)]
pub(crate) struct Buffers<'a> {
    pub(crate) roles: Roles<Option<&'a wgpu::Buffer>>,
    pub(crate) slots: &'a [wgpu::Buffer],
}

impl Bound<'_> {
    /// What is bound there.
    fn entry(&self, binding: &Binding) -> Option<wgpu::BindGroupEntry<'_>> {
        let buffer = match binding.role {
            Role::State => self.buffers.slots.get(binding.slot),
            role => self.buffers.roles[role],
        };
        let bytes = &self.launch.bindings[binding.role];
        Some(entry(binding.number, buffer?, bytes.start, bytes.end - bytes.start))
    }
}

impl Work {
    /// What it covers, in parts.
    pub(crate) fn chunks_mut(&mut self) -> &mut [Chunk] {
        match self {
            Self::Direct { chunk } => std::slice::from_mut(chunk),
            Self::Table { chunks, .. } => chunks,
        }
    }

    pub(crate) fn address(&self) -> Address {
        match self {
            Self::Direct { .. } => Address::Direct,
            Self::Table { .. } => Address::Table,
        }
    }
}

impl Chunk {
    /// As `shaders/address/table.wgsl` reads it.
    fn row(&self) -> [u32; 4] {
        let [param, grad, state, ..] = self.at.0;
        [param, grad, state, (self.block % WINDOW) << 16 | self.length]
    }
}

/// Makes launches recordable. All their tables go into one buffer.
pub(crate) fn recordables(device: &wgpu::Device, bound: &[Bound<'_>]) -> Launches {
    let (tables, places) = Tables::of(device, bound.iter().map(|bound| bound.launch));
    let Some(tables) = tables else { return Launches::new(Vec::new()) };
    let places = bound.iter().zip(places);
    Launches::new(places.map(|(bound, place)| recordable(device, bound, &tables, place)).collect())
}

/// What `Launch` and `chunks` of each launch are read from.
pub(crate) struct Tables {
    bytes: Vec<u8>,
    alignment: usize,
}

/// Where a launch's tables are, in bytes.
pub(crate) struct Place {
    launch: u64,
    chunks: Option<(u64, u64)>,
}

impl Place {
    /// Their bindings.
    pub(crate) fn entries<'a>(&self, tables: &'a wgpu::Buffer) -> Vec<wgpu::BindGroupEntry<'a>> {
        let mut entries = vec![entry(0, tables, self.launch, LAUNCH)];
        entries.extend(self.chunks.map(|(at, size)| entry(1, tables, at, size)));
        entries
    }
}

impl Tables {
    /// All launches' tables in one buffer, if there are any, and where in it.
    pub(crate) fn of<'a>(
        device: &wgpu::Device,
        launches: impl Iterator<Item = &'a Launch>,
    ) -> (Option<wgpu::Buffer>, Vec<Place>) {
        let limits = device.limits();
        let alignment = limits
            .min_uniform_buffer_offset_alignment
            .max(limits.min_storage_buffer_offset_alignment);
        let mut tables = Self { bytes: Vec::new(), alignment: alignment as usize };
        let places: Vec<_> = launches.map(|launch| tables.add(launch)).collect();
        let buffer = (!places.is_empty()).then(|| {
            device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label: Some("wgpu-optim launches"),
                contents: &tables.bytes,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::STORAGE,
            })
        });
        (buffer, places)
    }

    fn add(&mut self, launch: &Launch) -> Place {
        let [row, _] = launch.grid;
        let (at, length, shift) = match &launch.work {
            Work::Direct { chunk } => (chunk.at, chunk.length, 0),
            Work::Table { chunks, shift } => (Roles::default(), chunks.len() as u32, *shift),
        };
        let [param, grad, state, ..] = at.0;
        let [lower, average, copy] = launch.beside;
        let first = launch.first;
        let words = [param, grad, state, length, row, shift, first, lower, average, copy, 0, 0_u32];
        let place = self.push(bytemuck::cast_slice(&words));
        let chunks = match &launch.work {
            Work::Direct { .. } => None,
            Work::Table { chunks, .. } => {
                let rows: Vec<[u32; 4]> = chunks.iter().map(Chunk::row).collect();
                let bytes: &[u8] = bytemuck::cast_slice(&rows);
                Some((self.push(bytes), bytes.len() as u64))
            }
        };
        Place { launch: place, chunks }
    }

    fn push(&mut self, bytes: &[u8]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(self.alignment), 0);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        at as u64
    }
}

fn recordable(
    device: &wgpu::Device,
    bound: &Bound<'_>,
    tables: &wgpu::Buffer,
    place: Place,
) -> Recordable {
    let mut entries = place.entries(tables);
    entries.extend(bound.pipeline.bindings.iter().filter_map(|binding| bound.entry(binding)));
    let launch = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("wgpu-optim launch"),
        layout: &bound.pipeline.layout,
        entries: &entries,
    });
    let first = match &bound.launch.work {
        Work::Direct { chunk } => chunk.block,
        // All of them are of one window.
        Work::Table { chunks, .. } => {
            chunks.first().map_or(0, |chunk| chunk.block / WINDOW * WINDOW)
        }
    };
    let scalars = first * BLOCK as u32;
    Recordable {
        pipeline: bound.pipeline.pipeline.clone(),
        launch,
        address: bound.launch.work.address(),
        scalars,
        grid: bound.launch.grid,
    }
}

pub(crate) fn entry(
    binding: u32,
    buffer: &wgpu::Buffer,
    offset: u64,
    size: u64,
) -> wgpu::BindGroupEntry<'_> {
    let size = wgpu::BufferSize::new(size);
    let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size });
    wgpu::BindGroupEntry { binding, resource }
}

/// One step's scalars, bound for either way of addressing; `None` if no launch needs it.
#[derive(Debug)]
pub(crate) struct StepScalars {
    pub(crate) direct: Option<wgpu::BindGroup>,
    pub(crate) table: Option<wgpu::BindGroup>,
}

impl StepScalars {
    /// Binds `scalars` in the ways that `launches` need.
    pub(crate) fn new(
        device: &wgpu::Device,
        scalars: &wgpu::Buffer,
        launches: &Launches,
        kernels: &Kernels,
    ) -> Self {
        let bind = |needed: bool, size| {
            needed.then(|| {
                device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some("wgpu-optim step"),
                    layout: kernels.step_layout(),
                    entries: &[entry(0, scalars, 0, size)],
                })
            })
        };
        let window = u64::from(WINDOW) * BLOCK;
        Self { direct: bind(launches.direct, BLOCK), table: bind(launches.table, window) }
    }
}

/// Records launches. What is bound already is not bound again, which with many launches is much of what
/// recording costs. Some need no scalars.
pub(crate) fn record(
    pass: &mut wgpu::ComputePass<'_>,
    launches: &Launches,
    scalars: Option<&StepScalars>,
) {
    let (mut pipeline, mut block) = (None, None);
    for launch in &launches.list {
        if pipeline != Some(&launch.pipeline) {
            pass.set_pipeline(&launch.pipeline);
            pipeline = Some(&launch.pipeline);
        }
        if let Some(scalars) = scalars
            && block != Some((launch.address, launch.scalars))
        {
            let group = match launch.address {
                Address::Direct => &scalars.direct,
                Address::Table => &scalars.table,
            };
            pass.set_bind_group(1, group.as_ref(), &[launch.scalars]);
            block = Some((launch.address, launch.scalars));
        }
        pass.set_bind_group(0, &launch.launch, &[]);
        pass.dispatch_workgroups(launch.grid[0], launch.grid[1], 1);
    }
}
