//! A step of one tensor: against a kernel that only moves the same bytes, and against the CPU. The
//! tables in `docs/PERFORMANCE.md` are made by `wgpu-optim bench`, which measures in turn; this is for
//! watching one figure while changing something.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgpu_optim::timing::Clock;
use wgpu_optim::{Cpu, Optimizer};

use support::bench::{Place, clock, fill};
use support::{ok, one_of_each};

/// The most steps recorded at once.
const AT_ONCE: u64 = 1000;

/// The time of `steps` steps.
fn time(clock: &Clock, optimizer: &mut Optimizer, steps: u64) -> Duration {
    let mut ms = 0.0;
    let mut left = steps;
    while left > 0 {
        let now = left.min(AT_ONCE);
        ms += ok(clock.gpu_ms(optimizer, now as u32)) * now as f64;
        left -= now;
    }
    Duration::from_secs_f64(ms / 1e3)
}

fn step(criterion: &mut Criterion) {
    let clock = clock();
    let gpu = &clock.gpu;
    for group in one_of_each() {
        let mut bench = criterion.benchmark_group(group.rule.name());
        for elements in [1 << 16, 1 << 20, 1 << 24] {
            let slots = group.rule.slots().len() as u64;
            bench.throughput(Throughput::Bytes(elements * 4 * (3 + 2 * slots)));
            let device = &gpu.device;
            let optimizers =
                [("step", Optimizer::new(device)), ("stream", Optimizer::streaming(device))];
            for (name, optimizer) in optimizers {
                let filled = fill(optimizer, gpu, (Place::Own, 1, elements), (&group, 1));
                let mut optimizer = ok(filled);
                bench.bench_function(BenchmarkId::new(name, elements), |bencher| {
                    bencher.iter_custom(|steps| time(&clock, &mut optimizer, steps));
                });
            }
            let mut cpu = ok(Cpu::new(&group, elements as usize));
            let (mut param, grad) = (vec![0.0; elements as usize], vec![1e-3; elements as usize]);
            bench.bench_function(BenchmarkId::new("cpu", elements), |bencher| {
                bencher.iter(|| ok(cpu.step(black_box(&mut param), black_box(&grad))));
            });
        }
        bench.finish();
    }
}

criterion_group! {
    name = benches;
    config = support::bench::criterion();
    targets = step
}
criterion_main!(benches);
