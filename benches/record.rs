//! What a step costs the host: recording it, and recording and submitting it.

mod common;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::CommandBuffer;
use wgpu_optim::{Group, Optimizer};

use common::{Place, clock, fill, ok};

/// Elements of a tensor: few, for the device's own work is not the matter here.
const LEN: u64 = 64;

fn encode(gpu: &Gpu, optimizer: &mut Optimizer) -> CommandBuffer {
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    optimizer.step(&mut encoder);
    encoder.finish()
}

/// The time of `steps` times `work`, with the device idle at the start of each.
fn time(gpu: &Gpu, steps: u64, mut work: impl FnMut() -> Option<CommandBuffer>) -> Duration {
    let mut all = Duration::ZERO;
    for _ in 0..steps {
        let start = Instant::now();
        let unused = work();
        all += start.elapsed();
        drop(unused);
        // What wgpu has queued to fill new buffers with would pile up if nothing were submitted.
        gpu.queue.submit([]);
        ok(gpu.wait());
    }
    all
}

fn record(criterion: &mut Criterion) {
    let clock = clock();
    let gpu = &clock.gpu;
    let group = Group::adam(1e-3);
    for (name, place, groups) in [("arena", Place::Arena, 10), ("own buffers", Place::Own, 1)] {
        let mut bench = criterion.benchmark_group(name);
        for params in [1, 10, 100, 1000, 10_000] {
            let what = (place, params, LEN);
            let mut optimizer = ok(fill(Optimizer::new(&gpu.device), gpu, what, (&group, groups)));
            bench.bench_function(BenchmarkId::new("encode", params), |bencher| {
                bencher.iter_custom(|steps| time(gpu, steps, || Some(encode(gpu, &mut optimizer))));
            });
            bench.bench_function(BenchmarkId::new("encode and submit", params), |bencher| {
                bencher.iter_custom(|steps| {
                    time(gpu, steps, || {
                        gpu.queue.submit([encode(gpu, &mut optimizer)]);
                        None
                    })
                });
            });
        }
        bench.finish();
    }
}

criterion_group! {
    name = benches;
    config = common::criterion();
    targets = record
}
criterion_main!(benches);
