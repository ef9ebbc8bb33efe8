//! All points of all functions under all rules, on the GPU from the first step to the last.

use wgpu_optim::headless::Gpu;
use wgpu_optim::{Group, Optimizer, View, wgpu};

use super::Result;
use super::functions::FUNCTIONS;

/// As the workgroup's size in `landscape.wgsl`.
const WORKGROUP_SIZE: u32 = 64;

/// The points of each function whose paths are kept.
const PATHS: u32 = 9;

/// One function under one rule.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Where each of the first points was at some steps.
    pub(crate) paths: Vec<Vec<[f32; 2]>>,
    /// Where every point is after the last step.
    pub(crate) ends: Vec<[f32; 2]>,
}

/// The points, gradients and kernel of the descent.
pub(crate) struct Field {
    count: u32,
    rules: u32,
    /// Pairs of x and y: one rule after the other, and in each one function after the other.
    pub(crate) points: wgpu::Buffer,
    pub(crate) gradients: wgpu::Buffer,
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
}

impl Field {
    /// `count` starting points of each function, for each of so many rules.
    pub(crate) fn new(gpu: &Gpu, rules: usize, count: u32) -> Result<Self> {
        let of_all = FUNCTIONS.iter().flat_map(|f| (0..count).flat_map(move |i| f.start(i)));
        let starts: Vec<f32> = of_all.collect();
        let points = gpu.upload("points", &starts.repeat(rules))?;
        let gradients = gpu.zeros("gradients", (starts.len() * rules) as u64)?;
        let device = &gpu.device;
        let module = device.create_shader_module(wgpu::include_wgsl!("landscape.wgsl"));
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("gradient"),
            layout: None,
            module: &module,
            entry_point: Some("gradient"),
            compilation_options: Default::default(),
            cache: None,
        });
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("gradient"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: points.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: gradients.as_entire_binding() },
            ],
        });
        Ok(Self { count, rules: rules as u32, points, gradients, pipeline, bindings })
    }

    /// Records the gradients of all functions at all points.
    pub(crate) fn record_gradients(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        let groups = self.count.div_ceil(WORKGROUP_SIZE);
        pass.dispatch_workgroups(groups, FUNCTIONS.len() as u32, self.rules);
    }

    /// One optimizer for all: a group for each rule, a parameter for each of its functions.
    fn optimizer(&self, gpu: &Gpu, groups: &[Group]) -> Result<Optimizer> {
        let mut optimizer = Optimizer::new(&gpu.device);
        let mut cells = self.cells();
        for (i, group) in groups.iter().enumerate() {
            let id = optimizer.add_group(group.clone())?;
            for (function, cell) in FUNCTIONS.iter().zip(&mut cells) {
                let [param, grad] = [&self.points, &self.gradients]
                    .map(|buffer| View::f32(buffer).range(cell.clone()));
                optimizer.add_param(id, &format!("{i} {}", function.name), param, grad)?;
            }
        }
        Ok(optimizer)
    }

    /// The elements of each function under each rule.
    fn cells(&self) -> impl Iterator<Item = std::ops::Range<u64>> {
        let numbers = u64::from(self.count) * 2;
        let cells = u64::from(self.rules) * FUNCTIONS.len() as u64;
        (0..cells).map(move |cell| cell * numbers..(cell + 1) * numbers)
    }
}

/// Lets all points descend, and returns a row of outcomes for each group.
pub(crate) fn descend(
    gpu: &Gpu,
    groups: &[Group],
    count: u32,
    steps: u64,
) -> Result<Vec<Vec<Outcome>>> {
    let field = Field::new(gpu, groups.len(), count)?;
    let mut optimizer = field.optimizer(gpu, groups)?;
    let samples = samples(steps);
    let kept = u64::from(PATHS.min(count)) * 2;
    let cells = field.cells().count() as u64;
    let paths = gpu.zeros("paths", samples.len() as u64 * cells * kept)?;

    let mut sample = 0;
    for step in 0..=steps {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        if step > 0 {
            field.record_gradients(&mut encoder);
            optimizer.step(&mut encoder);
        }
        if samples.binary_search(&step).is_ok() {
            // Rules that keep an average are shown there. The next step moves the points back.
            optimizer.eval(&mut encoder);
            for cell in field.cells() {
                let to = sample * kept * 4;
                encoder.copy_buffer_to_buffer(&field.points, cell.start * 4, &paths, to, kept * 4);
                sample += 1;
            }
        }
        gpu.queue.submit([encoder.finish()]);
        // Lets go of what finished steps used; nothing waits.
        gpu.device.poll(wgpu::PollType::Poll)?;
    }

    let read = gpu.download_all(&[View::f32(&paths), View::f32(&field.points)])?;
    let [paths, ends] = &read[..] else { return Err("two views are two lists".into()) };
    let pairs = |numbers: &[f32]| numbers.chunks_exact(2).map(|p| [p[0], p[1]]).collect::<Vec<_>>();
    let (paths, ends) = (pairs(paths), pairs(ends));
    let kept = PATHS.min(count) as usize;
    let outcome = |(cell, ends): (usize, &[[f32; 2]])| {
        let at = |sample: usize, i| paths[(sample * cells as usize + cell) * kept + i];
        let path = |i| (0..samples.len()).map(|sample| at(sample, i)).collect();
        Outcome { paths: (0..kept).map(path).collect(), ends: ends.to_vec() }
    };
    let all: Vec<Outcome> = ends.chunks(count as usize).enumerate().map(outcome).collect();
    Ok(all.chunks(FUNCTIONS.len()).map(<[Outcome]>::to_vec).collect())
}

/// The steps at which paths are kept: all at first, then ever fewer, and the last.
fn samples(steps: u64) -> Vec<u64> {
    let next = |step: &u64| Some(step + 1 + step / 50);
    let mut all: Vec<u64> =
        std::iter::successors(Some(0), next).take_while(|step| *step < steps).collect();
    all.push(steps);
    all
}
