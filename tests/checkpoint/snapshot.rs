//! This module writes checkpoints while training goes on, in little memory, and beside foreign data.

use std::sync::{Arc, Mutex};

use support::{Case, bits, encoded, gpu, numbers, ok};
use wgpu_optim::checkpoint::{Container, Error, LoadOptions, SaveOptions};
use wgpu_optim::headless::Gpu;
use wgpu_optim::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use wgpu_optim::{Format, Group, Optimizer, ScheduleFreeSgd, View};

use crate::scene::{LAYOUTS, Scene, finished};

/// An optimizer of Adam over parameters of some megabytes.
struct Large {
    gpu: Gpu,
    optimizer: Optimizer,
}

impl Large {
    fn new() -> Self {
        let gpu = gpu().clone();
        let mut optimizer = Optimizer::new(&gpu.device);
        let group = ok(optimizer.add_group(Group::adam(1e-3)));
        for (name, len) in [("one", 700_001), ("two", 300_002), ("three", 3)] {
            let [param, grad] = [1, 2].map(|seed| encoded(&gpu, Format::F32, &numbers(len, seed)));
            ok(optimizer.add_param(group, name, param, grad));
        }
        let mut large = Self { gpu, optimizer };
        large.step();
        large
    }

    fn step(&mut self) {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        self.optimizer.step(&mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
    }

    fn snapshot(&mut self, options: &SaveOptions) -> wgpu_optim::checkpoint::Snapshot {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let snapshot = ok(self.optimizer.snapshot(&mut encoder, options));
        self.gpu.queue.submit([encoder.finish()]);
        snapshot
    }

    fn bytes(&mut self, options: &SaveOptions) -> Vec<u8> {
        let snapshot = self.snapshot(options);
        ok(finished(&self.gpu, std::pin::pin!(snapshot.to_bytes(&self.gpu.queue))))
    }
}

/// The file is that of the moment of the snapshot, whatever is recorded and submitted while it is written.
#[test]
fn training_goes_on() {
    let directory = ok(tempfile::tempdir());
    let path = directory.path().join("run.safetensors");
    let mut large = Large::new();
    for round in 0..3 {
        let expected = large.bytes(&SaveOptions::default());
        let snapshot = large.snapshot(&SaveOptions::default().memory(1 << 18));
        let (queue, path_there) = (large.gpu.queue.clone(), path.clone());
        let writing = std::thread::spawn(move || snapshot.save(&queue, &path_there));
        let mut steps = 0;
        while !writing.is_finished() || steps < 3 {
            large.step();
            steps += 1;
            if steps % 8 == 0 {
                ok(large.gpu.wait());
            }
        }
        ok(writing.join().unwrap_or_else(|_| panic!("the thread panicked")));
        assert!(ok(std::fs::read(&path)) == expected, "round {round}: {steps} steps meanwhile");
        assert!(large.bytes(&SaveOptions::default()) != expected);
    }
    // The run from the file is the one that was saved, not the one that went on.
    ok(large.optimizer.load(&large.gpu.queue, &path));
    assert!(large.bytes(&SaveOptions::default()) == ok(std::fs::read(&path)));
}

/// However little memory there is, the file is the same; progress only grows, up to all bytes.
#[test]
fn little_memory_is_enough() {
    let directory = ok(tempfile::tempdir());
    let path = directory.path().join("run.safetensors");
    let mut large = Large::new();
    let expected = large.bytes(&SaveOptions::default());
    // Some are no multiple of what a mapping has to be.
    for memory in [0, 1 << 18, (1 << 18) + 5, 1_000_003, 2_000_007, u64::MAX] {
        let options = SaveOptions::default().memory(memory);
        ok(large.optimizer.save_with(&large.gpu.queue, &path, &options));
        assert!(ok(std::fs::read(&path)) == expected, "{memory} bytes");
        let told = Arc::new(Mutex::new(Vec::new()));
        let snapshot = large.snapshot(&options);
        let total = snapshot.bytes();
        let tell = Arc::clone(&told);
        let snapshot = snapshot.on_progress(move |done, all| {
            tell.lock().unwrap_or_else(|e| e.into_inner()).push((done, all));
        });
        ok(snapshot.save(&large.gpu.queue, &path));
        assert!(ok(std::fs::read(&path)) == expected, "{memory} bytes");
        let told = told.lock().unwrap_or_else(|e| e.into_inner()).clone();
        assert!(told.iter().all(|(_, all)| *all == total), "{told:?}");
        assert!(told.windows(2).all(|pair| pair[0].0 < pair[1].0), "{told:?}");
        assert_eq!(told.last(), Some(&(total, total)));
        assert!(told.len() > 100 || memory > 1 << 19, "{} chunks of {memory}", told.len());
    }
    assert_eq!(12 * (700_001 + 300_002 + 3), large.snapshot(&SaveOptions::default()).bytes());
}

#[test]
fn wrong_shapes_are_told() {
    let mut large = Large::new();
    let mut encoder = large.gpu.device.create_command_encoder(&Default::default());
    for shape in [&[2, 2][..], &[], &[4, 0], &[usize::MAX, usize::MAX, 3]] {
        let options = SaveOptions::default().shape("three", shape);
        let refused = large.optimizer.snapshot(&mut encoder, &options).err();
        let expected = format!(
            "the shape {shape:?} of `three` is not one of 3 elements; give the parameter's own"
        );
        assert_eq!(refused.map(|e| e.to_string()), Some(expected));
    }
    let options = SaveOptions::default().shape("three", &[1, 3, 1]).note("a", "b");
    let bytes = large.bytes(&options);
    let mut file = ok(Container::open(std::io::Cursor::new(&bytes)));
    ok(file.verify());
    let entry = file.entry("state.three.exp_avg");
    assert_eq!(entry.map(|entry| entry.shape), Some(vec![1, 3, 1]));
}

/// A buffer of zeros with these usages besides `STORAGE`.
fn storage(gpu: &Gpu, len: u64, usage: BufferUsages) -> Buffer {
    gpu.device.create_buffer(&BufferDescriptor {
        label: None,
        size: 4 * len,
        usage: BufferUsages::STORAGE | usage,
        mapped_at_creation: false,
    })
}

/// A parameter that cannot be copied is told before anything is done.
#[test]
fn usages_are_told() {
    let gpu = gpu();
    let both = BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
    let make = |usage| {
        let mut optimizer = Optimizer::new(&gpu.device);
        let group = ok(optimizer.add_group(Group::new(1e-2, ScheduleFreeSgd::default())));
        let [param, grad] = [usage, both].map(|usage| storage(gpu, 9, usage));
        ok(optimizer.add_param(group, "w", View::f32(&param), View::f32(&grad)));
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        optimizer.step(&mut encoder);
        optimizer.eval(&mut encoder);
        gpu.queue.submit([encoder.finish()]);
        optimizer
    };
    let directory = ok(tempfile::tempdir());
    let path = directory.path().join("run.safetensors");
    ok(make(both).save(&gpu.queue, &path));
    let before = ok(std::fs::read(&path));
    let mut unreadable = make(BufferUsages::COPY_DST);
    let refused = unreadable.save(&gpu.queue, &path).err().map(|e| e.to_string());
    let refused = refused.unwrap_or_default();
    assert!(refused.starts_with("parameter `w`: ") && refused.contains("COPY_SRC"), "{refused}");
    assert!(unreadable.is_eval(), "the optimizer has changed");
    assert!(ok(std::fs::read(&path)) == before);
    // Without the parameters themselves, none is copied.
    ok(unreadable.save_with(&gpu.queue, &path, &SaveOptions::default().params(false)));
    std::fs::write(&path, before).unwrap_or_else(|e| panic!("{e}"));
    let mut unwritable = make(BufferUsages::COPY_SRC);
    let refused = unwritable.load(&gpu.queue, &path).err().map(|e| e.to_string());
    let refused = refused.unwrap_or_default();
    assert!(refused.starts_with("parameter `w`: ") && refused.contains("COPY_DST"), "{refused}");
    assert!(unwritable.is_eval(), "the optimizer has changed");
    ok(gpu.wait());
}

/// A snapshot of parameters at their averages has them where gradients are wanted.
#[test]
fn averages_are_not_saved() {
    let case = Case::new(Group::new(1e-2, ScheduleFreeSgd::default()));
    let [mut saved, mut twin] = [0, 0].map(|_| Scene::new(&case, LAYOUTS[0]));
    for scene in [&mut saved, &mut twin] {
        scene.run(0..5);
        let mut encoder = scene.gpu.device.create_command_encoder(&Default::default());
        scene.optimizer.eval(&mut encoder);
        scene.gpu.queue.submit([encoder.finish()]);
    }
    let mut encoder = twin.gpu.device.create_command_encoder(&Default::default());
    twin.optimizer.train(&mut encoder);
    twin.gpu.queue.submit([encoder.finish()]);
    let bytes = saved.bytes();
    assert!(!saved.optimizer.is_eval());
    assert!(bytes == twin.bytes());
    let mut resumed = Scene::new(&case, LAYOUTS[2]);
    resumed.load(&bytes);
    for scene in [&mut saved, &mut twin, &mut resumed] {
        scene.run(5..9);
    }
    saved.assert_equals(&mut twin, "saved");
    resumed.assert_equals(&mut twin, "resumed");
}

/// A load writes no bit beside its parameters and copies, though they begin and end within words.
#[test]
fn neighbours_keep_their_bits() {
    let gpu = gpu();
    let places = [(3, 7), (10, 5), (16, 1), (21, 900), (921, 2)];
    for (format, copy) in
        [(Format::Bf16, None), (Format::F16, None), (Format::F32, Some(Format::Bf16))]
    {
        let make = |seed: u64| {
            let mut optimizer = Optimizer::new(&gpu.device);
            let group = ok(optimizer.add_group(Group::adam(1e-2)));
            let params = encoded(gpu, format, &numbers(940, seed));
            let grads = encoded(gpu, Format::F32, &numbers(940, seed + 1));
            let copies = copy.map(|format| encoded(gpu, format, &numbers(940, seed + 2)));
            for (i, (at, len)) in places.into_iter().enumerate() {
                let of = |view: &View| view.clone().range(at..at + len);
                let (param, grad) = (of(&params), of(&grads));
                let id = ok(optimizer.add_param(group, &i.to_string(), param, grad));
                ok(optimizer.set_copy(id, copies.as_ref().map(of)));
            }
            (optimizer, params, copies)
        };
        let (mut source, params, _) = make(1);
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        let snapshot = ok(source.snapshot(&mut encoder, &SaveOptions::default()));
        gpu.queue.submit([encoder.finish()]);
        let file = ok(finished(gpu, std::pin::pin!(snapshot.to_bytes(&gpu.queue))));
        let source = bits(gpu, &params);
        for only in [None, Some("1"), Some("3")] {
            let (mut target, params, copies) = make(10);
            let before = [Some(&params), copies.as_ref()].map(|view| view.map(|of| bits(gpu, of)));
            let options = LoadOptions::default();
            let options = only.into_iter().fold(options, |options, name| options.only(name));
            let load = target.load_bytes(&gpu.queue, &file, &options);
            let loaded: Result<(), Error> = finished(gpu, std::pin::pin!(load));
            ok(loaded);
            let after = [Some(&params), copies.as_ref()].map(|view| view.map(|of| bits(gpu, of)));
            let is_loaded = |element: usize| {
                places.iter().enumerate().any(|(i, (at, len))| {
                    let is = only.is_none_or(|name| name == i.to_string());
                    is && (*at as usize..(at + len) as usize).contains(&element)
                })
            };
            let [Some(was), Some(is)] = [&before[0], &after[0]] else { panic!("no parameters") };
            for element in 0..940 {
                let expected = if is_loaded(element) { &source } else { was };
                assert_eq!(is[element], expected[element], "{format:?} {only:?}: {element}");
            }
            let [Some(was), Some(is)] = [&before[1], &after[1]] else { continue };
            let rounded = |bits: u32| {
                let bytes = Format::Bf16.encode_all(&[f32::from_bits(bits)]);
                Format::Bf16.decode_all(&bytes)[0].to_bits()
            };
            for element in 0..940 {
                let expected =
                    if is_loaded(element) { rounded(source[element]) } else { was[element] };
                assert_eq!(is[element], expected, "copy {only:?}: {element}");
            }
        }
    }
}
