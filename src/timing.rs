//! This module times recorded steps for benchmarks, on the GPU's own clock if it has one.

use std::time::Instant;

use crate::error::Error;
use crate::headless::Gpu;
use crate::optimizer::Optimizer;

/// The most steps of one sample.
const MOST: u32 = 2000;

/// A device with a clock for its work.
#[derive(Debug)]
pub struct Clock {
    /// The device, with the adapter's own limits, and with timestamps if the adapter has them.
    pub gpu: Gpu,
    timestamps: Option<Timestamps>,
}

#[derive(Debug)]
struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    readable: wgpu::Buffer,
    /// Nanoseconds a tick.
    period: f64,
}

impl Clock {
    /// Makes a clock of `adapter`, with timestamps if it has them.
    ///
    /// # Errors
    /// If the adapter refuses a device.
    pub fn of(adapter: wgpu::Adapter) -> Result<Self, Error> {
        let features = adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
        let limits = adapter.limits();
        let gpu = Gpu::with(adapter, limits, features)?;
        let timestamps = (!features.is_empty()).then(|| Timestamps::new(&gpu));
        Ok(Self { gpu, timestamps })
    }

    /// `timestamps`, or `wall clock`: from submitting to having waited.
    pub fn name(&self) -> &'static str {
        if self.timestamps.is_some() { "timestamps" } else { "wall clock" }
    }

    /// Milliseconds of one step, over `steps` of them in one pass. Submits, and waits.
    ///
    /// # Errors
    /// If the device fails.
    pub fn gpu_ms(&self, optimizer: &mut Optimizer, steps: u32) -> Result<f64, Error> {
        let Gpu { device, queue, .. } = &self.gpu;
        let mut encoder = device.create_command_encoder(&Default::default());
        let timestamp_writes =
            self.timestamps.as_ref().map(|timestamps| wgpu::ComputePassTimestampWrites {
                query_set: &timestamps.queries,
                beginning_of_pass_write_index: Some(0),
                end_of_pass_write_index: Some(1),
            });
        let label = Some("bench");
        let mut pass =
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes });
        (0..steps).for_each(|_| optimizer.step_in_pass(&mut pass));
        drop(pass);
        if let Some(timestamps) = &self.timestamps {
            timestamps.resolve(&mut encoder);
        }
        let commands = encoder.finish();
        let start = Instant::now();
        queue.submit([commands]);
        self.gpu.wait()?;
        let wall = start.elapsed().as_secs_f64() * 1e3;
        let all = match &self.timestamps {
            Some(timestamps) => timestamps.read_ms(&self.gpu)?,
            None => wall,
        };
        Ok(all / f64::from(steps))
    }

    /// Finds a number of steps that takes at least `ms` milliseconds, at most 2000 steps. Also warms up the device.
    ///
    /// # Errors
    /// If the device fails.
    pub fn enough(&self, optimizer: &mut Optimizer, ms: f64) -> Result<u32, Error> {
        let mut steps = 1;
        loop {
            let took = self.gpu_ms(optimizer, steps)? * f64::from(steps);
            if took >= ms || steps >= MOST {
                return Ok(steps);
            }
            let more = (f64::from(steps) * 1.3 * ms / took.max(ms / 50.0)).ceil();
            steps = (more as u32).clamp(steps + 1, MOST);
        }
    }
}

impl Timestamps {
    fn new(gpu: &Gpu) -> Self {
        let Gpu { device, queue, .. } = gpu;
        let buffer = |usage| {
            let (label, size) = (Some("timestamps"), 16);
            device.create_buffer(&wgpu::BufferDescriptor {
                label,
                size,
                usage,
                mapped_at_creation: false,
            })
        };
        Self {
            queries: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC),
            readable: buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST),
            period: f64::from(queue.get_timestamp_period()),
        }
    }

    fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.queries, 0..2, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.readable, 0, 16);
    }

    fn read_ms(&self, gpu: &Gpu) -> Result<f64, Error> {
        let failed = |e: &dyn std::fmt::Display| Error::Readback {
            what: "timestamps".to_owned(),
            message: e.to_string(),
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        self.readable.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            // The receiver outlives the wait below, unless that fails and reports.
            let _ = sender.send(result);
        });
        gpu.wait()?;
        receiver.recv().map_err(|e| failed(&e))?.map_err(|e| failed(&e))?;
        let ticks = {
            let bytes = self.readable.slice(..).get_mapped_range().map_err(|e| failed(&e))?;
            let ticks: Vec<u64> =
                bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
            ticks[1].saturating_sub(ticks[0])
        };
        self.readable.unmap();
        Ok(ticks as f64 * self.period / 1e6)
    }
}

/// Milliseconds of one call, over as many calls as take at least `enough` milliseconds.
///
/// # Errors
/// The call's first.
pub fn cpu_ms<E>(enough: f64, mut step: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let start = Instant::now();
    let mut steps = 0;
    loop {
        step()?;
        steps += 1;
        let took = start.elapsed().as_secs_f64() * 1e3;
        if took >= enough || steps >= MOST {
            return Ok(took / f64::from(steps));
        }
    }
}

/// Measurements of one thing.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a measurement.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The ratios of these measurements to others, sample by sample.
    #[must_use]
    pub fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    fn quantile(&self, at: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        sorted.get((at * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
    }

    /// The median; NaN without measurements.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Half the distance between the quartiles, relative to the median.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / 2.0 / self.median()
    }
}
