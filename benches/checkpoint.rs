//! This bench saves a checkpoint of 1 GiB beside `cp` and `fsync` of the same file, and records steps while one is
//! written. With the argument `memory N`, it measures the memory that saving and loading N GiB take.
//!
//! `cargo bench --features cli --bench checkpoint` takes minutes, and writes below `WGPU_OPTIM_BENCH_DIR`, or where
//! temporary files are. Without the argument `--bench`, as under `cargo test`, the checkpoint is small.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::ok;
use wgpu_optim::checkpoint::SaveOptions;
use wgpu_optim::headless::Gpu;
use wgpu_optim::{Group, Optimizer, View};

/// Bytes that a checkpoint of Adam has for an element: the parameter and two slots.
const BYTES: u64 = 12;

/// Steps that are recorded with, and without, a checkpoint being written.
const STEPS: usize = 40;

/// An optimizer of Adam with parameters in 3 tensors.
struct Run {
    gpu: Gpu,
    optimizer: Optimizer,
}

impl Run {
    /// One whose checkpoint has about so many bytes, after a step that touches all memory.
    fn new(bytes: u64) -> Self {
        let gpu = ok(Gpu::headless());
        let mut optimizer = Optimizer::new(&gpu.device);
        let group = ok(optimizer.add_group(Group::adam(1e-3)));
        for name in ["one", "two", "three"] {
            let len = bytes / BYTES / 3;
            let [param, grad] = [0.37, 0.11].map(|factor| {
                let buffer = ok(gpu.zeros(name, len));
                fill(&gpu, &buffer, factor);
                buffer
            });
            ok(optimizer.add_param(group, name, View::f32(&param), View::f32(&grad)));
        }
        let mut run = Self { gpu, optimizer };
        run.step();
        ok(run.gpu.wait());
        run
    }

    /// Records and submits a step, and returns the times that each takes.
    fn step(&mut self) -> [Duration; 2] {
        let begun = Clock::now();
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        self.optimizer.step(&mut encoder);
        let commands = encoder.finish();
        let recorded = begun.elapsed();
        let begun = Clock::now();
        self.gpu.queue.submit([commands]);
        [recorded, begun.elapsed()]
    }

    fn save(&mut self, path: &Path) {
        ok(self.optimizer.save(&self.gpu.queue, path));
    }

    fn snapshot(&mut self) -> wgpu_optim::checkpoint::Snapshot {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let snapshot = ok(self.optimizer.snapshot(&mut encoder, &SaveOptions::default()));
        self.gpu.queue.submit([encoder.finish()]);
        snapshot
    }
}

/// A clock that stands while this thread is ready, but others have all cores: a device that is the CPU takes them
/// while it copies. It runs while the thread waits for a lock.
struct Clock {
    begun: Instant,
    waited: Duration,
}

impl Clock {
    fn now() -> Self {
        Self { begun: Instant::now(), waited: Self::waited() }
    }

    /// The time for which this thread had no core, where the system tells.
    fn waited() -> Duration {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let nanoseconds = text.split(' ').nth(1).and_then(|number| number.parse().ok());
        Duration::from_nanos(nanoseconds.unwrap_or_default())
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Self::waited() - self.waited)
    }
}

/// Fills a buffer with numbers, some megabytes at a time.
fn fill(gpu: &Gpu, buffer: &wgpu_optim::wgpu::Buffer, factor: f32) {
    let numbers: Vec<f32> = (0..4 << 20).map(|i| (i as f32 * factor).sin()).collect();
    let bytes: &[u8] = bytemuck::cast_slice(&numbers);
    for at in (0..buffer.size()).step_by(bytes.len()) {
        let end = (bytes.len() as u64).min(buffer.size() - at) as usize;
        gpu.queue.write_buffer(buffer, at, &bytes[..end]);
        gpu.queue.submit([]);
        ok(gpu.wait());
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let in_earnest = arguments.iter().any(|argument| argument == "--bench");
    let base = std::env::var_os("WGPU_OPTIM_BENCH_DIR");
    let base = base.map_or_else(std::env::temp_dir, Into::into);
    let directory = ok(tempfile::tempdir_in(base));
    let numbers: Option<u64> = arguments.iter().find_map(|argument| argument.parse().ok());
    if arguments.iter().any(|argument| argument == "memory") {
        return memory(numbers.unwrap_or(4) << 30, directory.path());
    }
    let bytes = if in_earnest { 1 << 30 } else { 3 << 20 };
    let mut run = Run::new(bytes);
    println!("{}: {} MiB in {}", run.gpu.describe(), bytes >> 20, directory.path().display());
    speed(&mut run, directory.path(), if in_earnest { 7 } else { 1 });
    beside(&mut run, directory.path(), if in_earnest { 3 } else { 1 });
}

fn median(all: &mut [Duration]) -> f64 {
    all.sort_unstable();
    all[all.len() / 2].as_secs_f64()
}

/// Copies a file as a save writes one: to a name beside the place, kept by the disk, and moved there.
fn copy(from: &Path, to: &Path) {
    let whole = to.with_extension("copying");
    assert!(ok(Command::new("cp").arg(from).arg(&whole).status()).success());
    ok(ok(File::open(&whole)).sync_all());
    ok(fs::rename(&whole, to));
    ok(ok(File::open(to.parent().unwrap_or(to))).sync_all());
}

/// Compares saving with copying, in turn.
fn speed(run: &mut Run, directory: &Path, rounds: usize) {
    let [path, to] = ["run.safetensors", "copy.safetensors"].map(|name| directory.join(name));
    run.save(&path);
    copy(&path, &to);
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..rounds {
        for (i, times) in times.iter_mut().enumerate() {
            ok(run.gpu.wait());
            let mut begun = Instant::now();
            match i {
                0 => run.save(&path),
                1 => ok(run.snapshot().save(&run.gpu.queue, &path)),
                2 => {
                    let snapshot = run.snapshot();
                    ok(run.gpu.wait());
                    begun = Instant::now();
                    ok(snapshot.save(&run.gpu.queue, &path));
                }
                _ => copy(&path, &to),
            }
            times.push(begun.elapsed());
        }
    }
    let gib = ok(fs::metadata(&path)).len() as f64 / f64::from(1 << 30);
    let shown: Vec<String> = times
        .iter()
        .map(|times| {
            let all = times.iter().map(|time| format!("{:.2}", time.as_secs_f64()));
            all.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let [save, snapshot, write, cp] = times.each_mut().map(|times| median(times));
    for (what, seconds, all) in [
        ("save", save, &shown[0]),
        ("snapshot and write", snapshot, &shown[1]),
        ("its writing alone", write, &shown[2]),
        ("cp and fsync", cp, &shown[3]),
    ] {
        println!(
            "{what:>20}: {:>6.3} GiB/s, {:>5.2} of cp's speed; seconds: {all}",
            gib / seconds,
            cp / seconds
        );
    }
}

/// Compares the times to record and submit a step while a checkpoint is written with those while nothing is, and those
/// while a thread copies the file: that alone slows a thread on a core beside it.
fn beside(run: &mut Run, directory: &Path, rounds: usize) {
    let [path, to] = ["run.safetensors", "copy.safetensors"].map(|name| directory.join(name));
    // Another optimizer on the device, so that a step is short and most of its time is the host's.
    let mut small = Run { gpu: run.gpu.clone(), optimizer: Optimizer::new(&run.gpu.device) };
    let group = ok(small.optimizer.add_group(Group::adam(1e-3)));
    for i in 0..100 {
        let [param, grad] = [0, 1].map(|_| ok(small.gpu.zeros("small", 1000)));
        let views = (View::f32(&param), View::f32(&grad));
        ok(small.optimizer.add_param(group, &i.to_string(), views.0, views.1));
    }
    small.step();
    let mut times: [[Vec<Duration>; 2]; 3] = Default::default();
    for _ in 0..rounds {
        for (kind, times) in times.iter_mut().enumerate() {
            let snapshot = (kind == 1).then(|| run.snapshot());
            // The device's own copies are made before, because they take all cores of a device that is the CPU.
            ok(run.gpu.wait());
            let (queue, path, to) = (run.gpu.queue.clone(), path.clone(), to.clone());
            let busy = std::thread::spawn(move || match (kind, snapshot) {
                (0, _) => std::thread::sleep(Duration::from_millis(300)),
                (_, Some(snapshot)) => ok(snapshot.save(&queue, &path)),
                _ => copy(&path, &to),
            });
            for _ in 0..STEPS {
                let [recorded, submitted] = small.step();
                if busy.is_finished() {
                    break;
                }
                times[0].push(recorded);
                times[1].push(submitted);
                std::thread::sleep(Duration::from_millis(5));
            }
            busy.join().unwrap_or_else(|_| panic!("the thread panicked"));
        }
    }
    let all = times.each_mut().map(|both| {
        both.each_mut().map(|times| if times.is_empty() { f64::NAN } else { median(times) })
    });
    for (i, what) in ["record", "submit"].into_iter().enumerate() {
        let [alone, saving, copying] = [0, 1, 2].map(|kind: usize| all[kind][i]);
        println!(
            "{what} a step: {:.1} µs; while a checkpoint is written, {:.2} times, while it is copied, {:.2} times",
            alone * 1e6,
            saving / alone,
            copying / alone
        );
    }
}

/// A figure of the process's memory, in MiB.
fn mib(key: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_else(|| panic!("/proc/self/status has no {key}")) >> 10
}

/// Tells how much memory of the process saving and loading take at their peak, over what it has before. Where the
/// device is the CPU, that is the host's memory and all buffers on the way together.
fn memory(bytes: u64, directory: &Path) {
    let path = directory.join("run.safetensors");
    let mut run = Run::new(bytes);
    // The parameters, their gradients and two slots.
    let buffers = (bytes / BYTES * 16) >> 20;
    println!("{}: {} MiB, buffers of {buffers} MiB", run.gpu.describe(), bytes >> 20);
    for what in ["save", "load"] {
        let before = mib("VmRSS");
        // The peak begins anew.
        ok(fs::write("/proc/self/clear_refs", "5"));
        let begun = Instant::now();
        match what {
            "save" => run.save(&path),
            _ => ok(run.optimizer.load(&run.gpu.queue, &path)),
        }
        ok(run.gpu.wait());
        let more = mib("VmHWM").saturating_sub(before);
        let seconds = begun.elapsed().as_secs_f64();
        println!("{what}: {before} MiB before, at most {more} MiB more, {seconds:.1} s");
        assert!(more < 256, "{what} takes {more} MiB");
    }
}
