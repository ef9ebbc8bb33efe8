//! Files of every version that was ever written load, to the last bit.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use support::{Case, ok};
use wgpu_optim::checkpoint::{Container, SaveOptions, Saved};
use wgpu_optim::{
    Control, Format, Group, LossScale, Master, Schedule, StateFormat, Target, config, rule,
};

use crate::scene::{LAYOUTS, Scene};

/// An optimizer with everything that a file may hold. After nine gradients there are four steps, one of them skipped,
/// and half a sum.
fn scene() -> Scene {
    let scale = LossScale::Dynamic { init: 8.0, growth: 2.0, backoff: 0.5, interval: 3 };
    let control = Control {
        loss_scale: scale,
        clip_norm: Some(3.0),
        skip_nonfinite: true,
        ..Control::default()
    };
    let of = |name: &str| {
        let entry = rule::ALL.iter().find(|entry| entry.name == name);
        let first = entry.and_then(|entry| (entry.variants)().into_iter().next());
        Group::from(first.unwrap_or_else(|| panic!("there is no {name}")))
    };
    let kept = |group: Group| group.master(Master::Remainder).ema(0.9).state_format(Format::Bf16);
    let falling = Schedule::warmup(4, 0.0, Schedule::cosine(0.01, 1e-3, 9));
    let groups = ["adam", "schedule_free_adamw"].map(|name| kept(of(name)));
    let [one, two] = groups;
    let groups = [one.weight_decay(0.01).decoupled(true), two.schedule(Target::Lr, falling)];
    let case = Case {
        control,
        param: Format::Bf16,
        grad: Format::Bf16,
        accumulate: 2,
        ..Case::new(groups[0].clone())
    };
    let mut scene = Scene::with(&case, LAYOUTS[0], groups);
    let frozen = ok(scene.optimizer.param("scale"));
    ok(scene.optimizer.freeze(frozen));
    scene
}

/// The file of a version. `kind` begins with `_`, if there are more of the version.
fn path(version: u32, kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/checkpoint/version_{version}{kind}.safetensors"))
}

fn saved(bytes: &[u8]) -> Saved {
    let mut file = ok(Container::open(std::io::Cursor::new(bytes)));
    ok(file.verify());
    Saved::of(&file).unwrap_or_else(|all| panic!("{all:?}"))
}

/// The host's part of an older file, with the options that this version adds at their defaults.
fn completed(bytes: &[u8]) -> Saved {
    let mut all = saved(bytes);
    for group in &mut all.groups {
        let read = config::group(group.options.clone().into());
        let read = read.and_then(|group| config::options(&group));
        group.options = read.unwrap_or_else(|e| panic!("{e}"));
    }
    all
}

/// To write the file of a new version, run this test with WGPU_OPTIM_WRITE_CHECKPOINT=1. The old files stay.
#[test]
fn the_file_of_version_1_loads() {
    if std::env::var_os("WGPU_OPTIM_WRITE_CHECKPOINT").is_some() {
        let mut scene = scene();
        scene.run(0..9);
        let bytes = scene.bytes_with(&SaveOptions::default().note("place", "gradient 9"));
        ok(std::fs::write(path(wgpu_optim::checkpoint::VERSION, ""), bytes));
    }
    let bytes = ok(std::fs::read(path(1, "")));
    let mut scene = scene();
    scene.load(&bytes);
    let tensors = ok(SafeTensors::deserialize(&bytes));
    let mut compared = 0;
    for (name, found) in scene.contents() {
        // A file has the whole number in place of its low bits.
        let Ok(tensor) = tensors.tensor(&name) else {
            assert!(name.starts_with("low_bits."), "{name} is not in the file");
            continue;
        };
        let expected = match tensor.dtype() {
            safetensors::Dtype::F32 => Format::F32.decode_all(tensor.data()),
            _ => Format::Bf16.decode_all(tensor.data()),
        };
        let bits = |all: &[f32]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&expected), "{name}");
        compared += 1;
    }
    // Five parameters with two or more slots, an average and a sum each.
    assert!(compared >= 25, "{compared}");
    // All that is no tensor, and the masters: they are in a file that is written now.
    let again = scene.bytes_with(&SaveOptions::default().note("place", "gradient 9"));
    assert_eq!(saved(&again), completed(&bytes));
    let now = ok(SafeTensors::deserialize(&again));
    for (name, tensor) in tensors.iter().filter(|(name, _)| name.starts_with("master.")) {
        assert_eq!(ok(now.tensor(name)).data(), tensor.data(), "{name}");
    }
    let of = saved(&bytes);
    assert_eq!((of.recorded, of.added, of.params[4].frozen), (4, 1, true));
    assert_eq!(of.controller.map(|of| of.skipped), Some(1));
    // It goes on.
    scene.run(9..12);
}

/// An optimizer with state in blocks of both formats, rounded at random.
fn scene_in_blocks() -> Scene {
    let formats = [("exp_avg", StateFormat::Block4), ("exp_avg_sq", StateFormat::Block8)];
    let group = Group::adamw(1e-2).weight_decay(0.01).state_format(formats);
    let group = group.stochastic_state(7).stochastic_rounding(8).block_min_size(128);
    Scene::odd(&Case { param: Format::Bf16, grad: Format::Bf16, ..Case::new(group) }, 0)
}

/// As above, the test writes the file of a new version.
#[test]
fn the_file_of_version_1_with_blocks_loads() {
    if std::env::var_os("WGPU_OPTIM_WRITE_CHECKPOINT").is_some() {
        let mut scene = scene_in_blocks();
        scene.run(0..4);
        ok(std::fs::write(path(wgpu_optim::checkpoint::VERSION, "_blocks"), scene.bytes()));
    }
    let bytes = ok(std::fs::read(path(1, "_blocks")));
    let mut scene = scene_in_blocks();
    scene.load(&bytes);
    let again = scene.bytes();
    assert_eq!(saved(&again), completed(&bytes));
    let [now, then] = [&again, &bytes].map(|bytes| ok(SafeTensors::deserialize(bytes)));
    let mut compared = 0;
    for (name, tensor) in then.iter().filter(|(name, _)| *name != "checksum") {
        assert_eq!(ok(now.tensor(name)).data(), tensor.data(), "{name}");
        compared += 1;
    }
    // Eight parameters with two slots, all but two of them in blocks: a tensor more for each slot.
    assert_eq!(compared, 8 * 3 + 6 * 2);
    // It goes on.
    scene.run(4..6);
}
