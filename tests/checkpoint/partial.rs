//! This module loads parts of a checkpoint: what is not loaded goes on as if there had been no file.

use serde_json::json;
use support::{Case, ok};
use wgpu_optim::checkpoint::{LoadOptions, SaveOptions, Saved};
use wgpu_optim::{Control, Group, ScheduleFreeSgd};

use crate::file::Parts;
use crate::scene::{LAYOUTS, PARAMS, Scene};

/// The names of all parameters.
fn all() -> [&'static str; 5] {
    PARAMS.map(|(name, ..)| name)
}

/// Whether an entry of a scene's contents is a parameter's.
fn is_of(entry: &str, param: &str) -> bool {
    let rest = entry.split_once('.').map_or("", |(_, rest)| rest);
    rest.strip_prefix(param).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Fails unless two scenes have the same bits of some parameters.
#[track_caller]
fn assert_same(one: &mut Scene, two: &mut Scene, params: &[&str], what: &str) {
    let [one, two] = [one, two].map(|scene| {
        let mut contents = scene.contents();
        contents.retain(|(entry, _)| params.iter().any(|param| is_of(entry, param)));
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        contents.into_iter().map(|(entry, values)| (entry, bits(values))).collect::<Vec<_>>()
    });
    assert!(one.len() >= 2 * params.len(), "{what}");
    assert_eq!(one.len(), two.len(), "{what}");
    for ((entry, one), (other, two)) in one.iter().zip(&two) {
        assert!(entry == other && one == two, "{what}: {entry}");
    }
}

/// Controls under which the host counts steps, and the GPU.
fn controls() -> [Control; 2] {
    [Control::default(), Control { skip_nonfinite: true, ..Control::default() }]
}

/// Loads some parameters from one run into another, and runs on: they are as there, all others as here.
fn load_some(
    case: &Case,
    lengths: [u64; 2],
    options: &LoadOptions,
    loaded: &[&str],
    edit: impl FnOnce(&mut Parts),
) {
    let what = format!("{loaded:?} {lengths:?} {case:?}");
    let mut source = Scene::new(case, LAYOUTS[0]);
    let [mut target, mut twin] = [0, 0].map(|_| Scene::new(case, LAYOUTS[1]));
    source.run(0..lengths[0]);
    for scene in [&mut target, &mut twin] {
        scene.run(20..20 + lengths[1]);
    }
    let mut parts = Parts::of(&source.bytes());
    edit(&mut parts);
    ok(target.try_load(&parts.bytes(), options));
    let others: Vec<&str> = all().into_iter().filter(|name| !loaded.contains(name)).collect();
    assert!(target.optimizer.is_up_to_date(), "{what}");
    for steps in [0..0, 30..35] {
        for scene in [&mut source, &mut target, &mut twin] {
            scene.run(steps.clone());
        }
        assert_same(&mut target, &mut source, loaded, &what);
        assert_same(&mut target, &mut twin, &others, &what);
    }
    // An optimizer with clocks of two runs is saved and loaded as any other.
    let bytes = target.bytes();
    let mut resumed = Scene::new(case, LAYOUTS[2]);
    resumed.load(&bytes);
    for scene in [&mut target, &mut resumed] {
        scene.run(40..44);
    }
    resumed.assert_equals(&mut target, &what);
}

#[test]
fn patterns_choose() {
    for control in controls() {
        for lengths in [[5, 3], [3, 5], [4, 0], [0, 4]] {
            let case = Case { control, ..Case::new(Group::adam(1e-2).ema(0.9)) };
            let options = LoadOptions::default().only("weight.*").only("?ias");
            let loaded = ["weight.0", "weight.1", "bias"];
            load_some(&case, lengths, &options, &loaded, |_| ());
            let none = Scene::new(&case, LAYOUTS[1]).bytes();
            let refused = Scene::new(&case, LAYOUTS[0])
                .try_load(&none, &LoadOptions::default().only("weigh"))
                .expect_err("nothing is chosen");
            assert!(refused.to_string().contains("no parameter is to be loaded"), "{refused}");
        }
    }
}

/// Removes a parameter from a file.
fn remove(parts: &mut Parts, name: &str) {
    if let Some(params) = parts.host["params"].as_array_mut() {
        params.retain(|param| param["name"] != name);
    }
    parts.tensors.retain(|(entry, _)| !is_of(&entry.name, name));
}

#[test]
fn missing_parameters_go_on() {
    for control in controls() {
        let case = Case { control, ..Case::new(Group::adamw(1e-2)) };
        let options = LoadOptions::default().allow_missing(true);
        let loaded = ["embed", "weight.1", "scale"];
        load_some(&case, [6, 2], &options, &loaded, |parts| {
            remove(parts, "bias");
            remove(parts, "weight.0");
        });
    }
}

/// Gives a parameter of a file another name.
fn rename(parts: &mut Parts, name: &str, new: &str) {
    let params = parts.host["params"].as_array_mut().map(|params| params.iter_mut());
    for param in params.into_iter().flatten().filter(|param| param["name"] == name) {
        param["name"] = json!(new);
    }
    for (entry, _) in parts.tensors.iter_mut().filter(|(entry, _)| is_of(&entry.name, name)) {
        entry.name = entry.name.replacen(name, new, 1);
    }
}

#[test]
fn names_are_mapped() {
    for control in controls() {
        let case = Case { control, ..Case::new(Group::adam(1e-2)) };
        let options = LoadOptions::default().rename("old.bias", "bias").rename("head", "scale");
        load_some(&case, [4, 3], &options, &all(), |parts| {
            rename(parts, "bias", "old.bias");
            rename(parts, "scale", "head");
        });
    }
    let case = Case::new(Group::adam(1e-2));
    let bytes = Scene::new(&case, LAYOUTS[0]).bytes();
    let options = LoadOptions::default().rename("bias", "scale").rename("nobody", "embed");
    let refused = Scene::new(&case, LAYOUTS[1]).try_load(&bytes, &options).expect_err("two");
    let text = refused.to_string();
    let differences: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(
        differences[..4],
        [
            "  - `bias` has 7 elements, `scale` 1",
            "  - `bias` and `scale` are both to be loaded into `scale`",
            "  - the optimizer has parameter `bias`, the file has not; rename one, or allow it to be missing",
            "  - `nobody`, to be renamed `embed`, is not in the file",
        ]
    );
    assert!(differences[4].starts_with("  - `param.bias` has shape [7]"), "{text}");
}

#[test]
fn further_parameters_are_left_out() {
    for control in controls() {
        let case = Case { control, ..Case::new(Group::adam(1e-2)) };
        let options = LoadOptions::default().allow_extra(true);
        load_some(&case, [4, 3], &options, &all(), |parts| {
            let mut param = parts.host["params"][2].clone();
            param["name"] = json!("another");
            param["elements"] = json!(12);
            if let Some(params) = parts.host["params"].as_array_mut() {
                params.insert(1, param);
            }
            for name in ["param.another", "state.another.exp_avg", "state.another.exp_avg_sq"] {
                parts.add(name, safetensors::Dtype::F32, &[3, 4]);
            }
        });
    }
}

/// Parameters whose clocks began late keep them, loaded alone or with all.
#[test]
fn late_joiners_keep_their_clocks() {
    for control in controls() {
        let case = Case { control, ..Case::new(Group::adam(1e-2)) };
        let mut source = Scene::new(&case, LAYOUTS[0]);
        source.run(0..3);
        for name in ["bias", "embed"] {
            let mut encoder = source.gpu.device.create_command_encoder(&Default::default());
            let id = ok(source.optimizer.param(name));
            ok(source.optimizer.reset_state(&mut encoder, id));
            source.gpu.queue.submit([encoder.finish()]);
        }
        source.run(3..5);
        let bytes = source.bytes();
        let [mut some, mut full] = [0, 0].map(|_| Scene::new(&case, LAYOUTS[1]));
        some.run(20..22);
        ok(some.try_load(&bytes, &LoadOptions::default().only("embed").only("weight.0")));
        full.load(&bytes);
        for scene in [&mut source, &mut some, &mut full] {
            scene.run(5..9);
        }
        assert_same(&mut some, &mut source, &["embed", "weight.0"], "some");
        full.assert_equals(&mut source, "all");
    }
}

/// With `keep_options`, the file has the numbers and the optimizer all options.
#[test]
fn own_options_count() {
    for control in controls() {
        let case = Case { control, ..Case::new(Group::adam(1e-2)) };
        let mut source = Scene::new(&case, LAYOUTS[0]);
        source.run(0..5);
        let bytes = source.bytes();
        let clipped = Control { clip_norm: Some(0.5), ..control };
        let other = Case { control: clipped, ..Case::new(Group::adam(3e-2).weight_decay(0.1)) };
        let mut kept = Scene::new(&other, LAYOUTS[1]);
        kept.run(20..22);
        ok(kept.try_load(&bytes, &LoadOptions::default().keep_options(true)));
        assert_eq!(kept.optimizer.control(), &clipped);
        // All of the file, and then the options by hand.
        let mut set = Scene::new(&other, LAYOUTS[2]);
        set.load(&bytes);
        set.assert_equals(&mut source, "as loaded");
        let groups: Vec<_> = kept.optimizer.groups().map(|(_, group)| group.clone()).collect();
        let ids: Vec<_> = set.optimizer.groups().map(|(id, _)| id).collect();
        for (id, group) in ids.into_iter().zip(groups) {
            ok(set.optimizer.set_group(id, group));
        }
        ok(set.optimizer.set_control(clipped));
        for scene in [&mut source, &mut kept, &mut set] {
            scene.run(5..9);
        }
        kept.assert_equals(&mut set, "own options");
        let [one, two] = [&mut source, &mut kept].map(Scene::contents);
        assert!(one != two, "the options of the file counted");
    }
}

/// A load takes parameters back from their averages first, so that those that are not loaded go on.
#[test]
fn averages_are_left() {
    let group = Group::new(1e-2, ScheduleFreeSgd::default());
    let case = Case::new(group);
    let mut source = Scene::new(&case, LAYOUTS[0]);
    source.run(0..4);
    let blend = |scene: &mut Scene, to_average: bool| {
        let mut encoder = scene.gpu.device.create_command_encoder(&Default::default());
        match to_average {
            true => scene.optimizer.eval(&mut encoder),
            false => scene.optimizer.train(&mut encoder),
        }
        scene.gpu.queue.submit([encoder.finish()]);
    };
    let some = source.bytes();
    let without_params = source.bytes_with(&SaveOptions::default().params(false));
    for (bytes, options) in [
        (&some, LoadOptions::default().only("bias")),
        (&some, LoadOptions::default()),
        (&without_params, LoadOptions::default()),
    ] {
        let [mut target, mut twin] = [0, 0].map(|_| Scene::new(&case, LAYOUTS[1]));
        for scene in [&mut target, &mut twin] {
            scene.run(20..23);
            blend(scene, true);
        }
        let refused = target.try_load(bytes, &LoadOptions::default().only("nobody"));
        assert!(refused.is_err() && target.optimizer.is_eval());
        assert_same(&mut target, &mut twin, &all(), "refused");
        blend(&mut twin, false);
        ok(target.try_load(bytes, &options));
        assert!(!target.optimizer.is_eval());
        ok(twin.try_load(bytes, &options));
        for scene in [&mut target, &mut twin] {
            scene.run(30..34);
        }
        target.assert_equals(&mut twin, &format!("{options:?}"));
    }
}

/// Sums of gradients are of all parameters: those of a file come with all of it, or not.
#[test]
fn sums_stay_whole() {
    let case = Case { accumulate: 3, ..Case::new(Group::adam(1e-2)) };
    let mut source = Scene::new(&case, LAYOUTS[0]);
    source.run(0..5);
    let [mut target, mut twin] = [0, 0].map(|_| Scene::new(&case, LAYOUTS[1]));
    for scene in [&mut target, &mut twin] {
        scene.run(21..25);
    }
    let bytes = source.bytes();
    ok(target.try_load(&bytes, &LoadOptions::default().only("weight.*")));
    let sums = |scene: &mut Scene| {
        let mut all = scene.contents();
        all.retain(|(name, _)| name.starts_with("sum."));
        all
    };
    assert_eq!(sums(&mut target).len(), 5);
    assert_eq!(sums(&mut target), sums(&mut twin));
    for scene in [&mut target, &mut twin] {
        scene.run(25..30);
    }
    assert_same(&mut target, &mut twin, &["embed", "bias", "scale"], "after sums");
}

/// Notes and numbers of the file are read without an optimizer.
#[test]
fn the_hosts_part_reads_alone() {
    let case = Case::new(Group::adam(1e-2));
    let mut source = Scene::new(&case, LAYOUTS[0]);
    source.run(0..3);
    let options = SaveOptions::default().note("epoch", "7").shape("weight.1", &[41, 61]);
    let parts = Parts::of(&source.bytes_with(&options));
    let saved = Saved::from_json(&parts.host.to_string());
    let saved = saved.unwrap_or_else(|differences| panic!("{differences:?}"));
    assert_eq!(saved.notes.get("epoch").map(String::as_str), Some("7"));
    assert_eq!((saved.recorded, saved.params.len(), saved.groups.len()), (3, 5, 2));
    let shape = |name: &str| {
        let found = parts.tensors.iter().find(|(entry, _)| entry.name == name);
        found.map(|(entry, _)| entry.shape.clone())
    };
    assert_eq!(shape("state.weight.1.exp_avg"), Some(vec![41, 61]));
    assert_eq!(shape("param.embed"), Some(vec![1030]));
}
