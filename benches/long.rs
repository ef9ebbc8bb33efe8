//! This bench takes a million steps with everything that changes from step to step: schedules, clipping, a loss scale,
//! and gradients with an Inf now and then, whose steps are skipped. The time to record a step and the memory must not
//! grow with the number of steps.
//!
//! `cargo bench --bench long` takes minutes. Without the argument `--bench`, as under `cargo test`, the bench takes
//! few steps and asserts no times.

use std::time::{Duration, Instant};

use support::ok;
use wgpu_optim::headless::Gpu;
use wgpu_optim::{Control, Group, LossScale, Optimizer, Schedule, Target, View};

/// Elements of each parameter.
const LEN: usize = 67;

/// Steps in one submission.
const TOGETHER: u64 = 20;

/// One submission in so many has an Inf in its gradients.
const BAD: u64 = 37;

/// One submission in so many is followed by a read-back of the statistics.
const ASK: u64 = 100;

/// The parts of the run whose figures are compared.
const PARTS: u64 = 10;

/// The figures of one part of the run.
struct Part {
    /// The median time to record a step.
    median: Duration,
    /// Memory of the process, in KiB, where the system tells.
    resident: Option<u64>,
    /// Bytes that live on the device, where the driver tells.
    on_device: Option<u64>,
}

fn main() {
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let steps = if in_earnest { 1_000_000 } else { 4_000 };
    let gpu = ok(Gpu::headless());
    println!("{}: {steps} steps", gpu.describe());
    let group = Group::adamw(1e-3)
        .schedule(Target::Lr, Schedule::warmup(1000, 0.0, Schedule::cosine(1e-3, 1e-6, steps)))
        .schedule(Target::WeightDecay, Schedule::linear(0.1, 0.01, steps))
        .schedule(Target::Beta(0), Schedule::cyclic(0.85, 0.95, 500, 500));
    let other = Group::rmsprop(1e-3)
        .schedule(Target::Lr, Schedule::cosine_restarts(1e-3, 1e-5, 100, 2))
        .ema(0.999);
    let mut optimizer = Optimizer::new(&gpu.device);
    ok(optimizer.set_control(Control {
        clip_norm: Some(1.0),
        loss_scale: LossScale::Dynamic { init: 1024.0, growth: 2.0, backoff: 0.5, interval: 200 },
        skip_nonfinite: true,
        ..Control::default()
    }));
    let numbers: Vec<f32> = (0..LEN).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut grads = Vec::new();
    for (i, group) in [group, other].into_iter().enumerate() {
        let id = ok(optimizer.add_group(group));
        let (param, grad) = (ok(gpu.upload("param", &numbers)), ok(gpu.upload("grad", &numbers)));
        ok(optimizer.add_param(id, &i.to_string(), View::f32(&param), View::f32(&grad)));
        grads.push(grad);
    }
    let mut parts: Vec<Part> = Vec::new();
    let mut times = Vec::new();
    let mut skipped = 0;
    for submission in 0..steps / TOGETHER {
        let mut values = numbers.clone();
        if submission % BAD == 1 {
            values[11] = f32::INFINITY;
            skipped += TOGETHER;
        }
        gpu.queue.write_buffer(&grads[0], 0, bytemuck::cast_slice(&values));
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        for _ in 0..TOGETHER {
            let begun = Instant::now();
            optimizer.step(&mut encoder);
            times.push(begun.elapsed());
        }
        gpu.queue.submit([encoder.finish()]);
        let asked = (submission % ASK == 0).then(|| optimizer.stats(&gpu.queue));
        ok(gpu.wait());
        if let Some(stats) = asked {
            assert!(!ok(pollster::block_on(stats)).overrun);
        }
        if times.len() as u64 >= steps / PARTS {
            times.sort_unstable();
            let report = gpu.device.generate_allocator_report();
            let on_device = report.map(|report| report.total_allocated_bytes);
            let part = Part { median: times[times.len() / 2], resident: resident(), on_device };
            println!(
                "{:>9} steps: {:>7.2} µs to record one, {} KiB resident, {} bytes on the device",
                (submission + 1) * TOGETHER,
                part.median.as_secs_f64() * 1e6,
                part.resident.map_or("?".to_owned(), |kib| kib.to_string()),
                part.on_device.map_or("?".to_owned(), |bytes| bytes.to_string()),
            );
            parts.push(part);
            times.clear();
        }
    }
    let stats = optimizer.stats(&gpu.queue);
    ok(gpu.wait());
    let stats = ok(pollster::block_on(stats));
    assert_eq!((stats.taken, stats.skipped), (steps - skipped, skipped));
    println!("{} steps were taken, {} skipped", stats.taken, stats.skipped);
    if in_earnest {
        compare(&parts);
    }
}

/// Compares the last part with an early one, after which nothing new should be made.
fn compare(parts: &[Part]) {
    let (Some(early), Some(last)) = (parts.get(1), parts.last()) else { return };
    let slower = last.median.as_secs_f64() / early.median.as_secs_f64();
    println!("the last steps take {slower:.2} times as long to record as early ones");
    assert!(slower < 1.5, "recording slows down");
    if let (Some(early), Some(last)) = (early.resident, last.resident) {
        println!("memory of the process grew by {} KiB", last.saturating_sub(early));
        assert!(last < early + 8 * 1024, "memory grows from {early} KiB to {last} KiB");
    }
    if let (Some(early), Some(last)) = (early.on_device, last.on_device) {
        assert!(
            last <= early + (1 << 20),
            "the device's memory grows from {early} to {last} bytes"
        );
    }
}

/// Memory of the process, in KiB.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
