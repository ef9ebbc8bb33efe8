//! This module loads files that are wrong in every way, and looks for the smallest change in the optimizer.

use safetensors::Dtype;
use serde_json::{Value, json};
use support::{Case, ok};
use wgpu_optim::checkpoint::{Error, LoadOptions};
use wgpu_optim::{Control, Controller, Format, Group, LossScale, Master};

use crate::file::{Parts, data, header, reseal, sealed};
use crate::scene::{LAYOUTS, Scene};
use crate::small::Small;

/// Everything that a checkpoint can have: masters, state, averages, and the GPU's own counts.
fn case() -> Case {
    let loss_scale = LossScale::Dynamic { init: 8.0, growth: 2.0, backoff: 0.5, interval: 3 };
    let control = Control { loss_scale, skip_nonfinite: true, ..Control::default() };
    let group = Group::adamw(1e-2).master(Master::Remainder).ema(0.9);
    Case { param: Format::Bf16, control, ..Case::new(group) }
}

/// An optimizer that is offered wrong files, and its twin, which sees none.
pub(crate) struct Offered {
    pub(crate) scene: Scene,
    twin: Scene,
    pub(crate) good: Vec<u8>,
    steps: u64,
}

impl Offered {
    pub(crate) fn new(case: &Case) -> Self {
        let [mut scene, mut twin] = [0, 0].map(|layout| Scene::new(case, LAYOUTS[layout]));
        scene.run(0..4);
        twin.run(0..4);
        let good = scene.bytes();
        Self { scene, twin, good, steps: 4 }
    }

    /// Expects that a file is refused and changes nothing. Returns the words of the refusal.
    #[track_caller]
    pub(crate) fn refuses(&mut self, bytes: &[u8], what: &str) -> String {
        let before = self.scene.bytes();
        let contents = self.scene.contents();
        let refused = self.scene.try_load(bytes, &LoadOptions::default());
        let error = refused.expect_err(what);
        let is = matches!(error, Error::Damaged { .. } | Error::Differs { .. });
        assert!(is, "{what}: {error}");
        assert!(self.scene.bytes() == before, "{what}: the optimizer has changed");
        let bits = |all: &[(String, Vec<f32>)]| -> Vec<u32> {
            all.iter().flat_map(|(_, of)| of.iter().map(|x| x.to_bits())).collect()
        };
        assert!(bits(&self.scene.contents()) == bits(&contents), "{what}: numbers have changed");
        for scene in [&mut self.scene, &mut self.twin] {
            scene.run(self.steps..self.steps + 1);
        }
        self.steps += 1;
        self.scene.assert_equals(&mut self.twin, what);
        error.to_string()
    }

    /// Expects that the good file, once `edit` has changed it, is refused with these words among others.
    #[track_caller]
    pub(crate) fn refuses_edited(
        &mut self,
        words: &[&str],
        edit: impl FnOnce(&mut Parts),
    ) -> String {
        let mut parts = Parts::of(&self.good);
        edit(&mut parts);
        let text = self.refuses(&parts.bytes(), &format!("{words:?}"));
        for words in words {
            assert!(text.contains(words), "`{words}` is not in: {text}");
        }
        text
    }
}

/// The lines of an error that list differences.
pub(crate) fn list(text: &str) -> Vec<&str> {
    text.lines().skip(1).map(|line| line.trim_start_matches("  - ")).collect()
}

#[test]
fn no_length_but_the_whole_loads() {
    let mut offered = Offered::new(&case());
    let good = offered.good.clone();
    let data_at = good.len() - data(&good).len();
    let lengths = [0, 1, 7, 8, 9, 100, data_at - 1, data_at, data_at + 1, good.len() / 2];
    for length in lengths.into_iter().chain([1, 15, 16, 17].map(|less| good.len() - less)) {
        offered.refuses(&good[..length], &format!("{length} of {} bytes", good.len()));
        if length > 16 {
            let mut bytes = good[..length].to_vec();
            reseal(&mut bytes);
            offered.refuses(&bytes, &format!("{length} bytes with their checksum"));
        }
    }
    for more in [1, 16, 4096] {
        let mut bytes = [&good[..], &vec![0; more]].concat();
        offered.refuses(&bytes, &format!("{more} bytes more"));
        reseal(&mut bytes);
        offered.refuses(&bytes, &format!("{more} bytes more with a checksum"));
    }
}

/// Every bit counts, in a file of a few kilobytes.
#[test]
fn every_flipped_bit_is_found() {
    let mut small = Small::new();
    let mut bytes = small.bytes();
    assert!((2000..10_000).contains(&bytes.len()), "{} bytes", bytes.len());
    let host = small.host();
    for bit in 0..8 * bytes.len() {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let loaded = small.load(&bytes, &LoadOptions::default());
        assert!(matches!(loaded, Err(Error::Damaged { .. })), "bit {bit}: {loaded:?}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(small.host(), host);
    assert!(small.bytes() == bytes);
}

#[test]
fn wrong_tensors_are_listed() {
    let mut offered = Offered::new(&case());
    let text = offered.refuses_edited(&[], |parts| {
        parts.remove("param.bias");
        parts.tensor("state.embed.exp_avg").0.shape = vec![2, 515];
        parts.tensor("ema.weight.1").0.shape = vec![2500];
        parts.tensor("ema.weight.1").1.truncate(10_000);
        parts.remove("state.scale.exp_avg_sq");
        parts.add("state.scale.exp_avg_sq", Dtype::F64, &[1]);
        parts.add("state.bias.momentum", Dtype::F32, &[7]);
        parts.add("state.other.exp_avg", Dtype::F32, &[7]);
        parts.host["params"][0]["elements"] = json!(1029);
    });
    assert_eq!(
        list(&text),
        [
            "`embed` has 1029 elements, `embed` 1030",
            "`state.bias.momentum` belongs to no parameter of the file",
            "`state.other.exp_avg` belongs to no parameter of the file",
            "`param.bias` is missing in the file",
            "`ema.weight.1` has shape [2500] in the file, the parameter 2501 elements",
            "`state.scale.exp_avg_sq` is F64 in the file, F32 here",
        ]
    );
}

#[test]
fn wrong_names_are_listed() {
    let mut offered = Offered::new(&case());
    let text = offered.refuses_edited(&[], |parts| {
        parts.host["params"][1]["name"] = json!("prejudice");
        parts.host["params"][4]["name"] = json!("scale.2");
    });
    let [one, two] = ["prejudice", "scale.2"].map(|name| {
        format!(
            "the file has parameter `{name}`, the optimizer has no `{name}`; add it, rename it, or allow more"
        )
    });
    let [three, four] = ["bias", "scale"].map(|name| {
        format!(
            "the optimizer has parameter `{name}`, the file has not; rename one, or allow it to be missing"
        )
    });
    let tensors = [
        "ema.bias",
        "ema.scale",
        "master.bias",
        "master.scale",
        "param.bias",
        "param.scale",
        "state.bias.exp_avg",
        "state.bias.exp_avg_sq",
        "state.scale.exp_avg",
        "state.scale.exp_avg_sq",
    ];
    let strays = tensors.map(|name| format!("`{name}` belongs to no parameter of the file"));
    assert_eq!(list(&text), [&[one, two, three, four][..], &strays].concat());
    let text = offered.refuses_edited(&[], |parts| {
        parts.host["params"][1]["name"] = json!("embed");
        parts.host["params"][2]["group"] = json!(7);
        parts.host["params"][3]["skipped"] = json!(9);
        parts.host["params"][4]["steps"] = json!(5);
    });
    assert_eq!(
        list(&text),
        [
            "`embed` is there twice",
            "`weight.0` is in group 7 of 2",
            "`weight.1` skipped 9 of 4 steps",
            "`scale` has 5 steps, its group 4",
        ]
    );
    offered.refuses_edited(&["the file's groups {0, 1}"], |parts| {
        parts.host["params"][0]["group"] = json!(1);
    });
    offered.refuses_edited(&["the file has not"], |parts| {
        parts.host["params"] = json!([]);
        parts.tensors.clear();
    });
}

#[test]
fn another_optimizers_files_are_refused() {
    let mut offered = Offered::new(&case());
    let own = case().group;
    let without = own.clone().master(Master::None);
    let groups = [
        (Group { rule: Group::rmsprop(1e-2).rule, ..own.clone() }, "the file's rule is `rmsprop`"),
        (Group { rule: Group::sgd(1e-2).rule, ..own.clone() }, "`state.bias.exp_avg` is missing"),
        (own.clone().ema(None), "`ema.weight.1` is missing in the file"),
        (without.clone(), "`master.scale` is missing in the file"),
        (own.clone().state_format(Format::Bf16), "`state.scale.exp_avg` is BF16 in the file"),
    ];
    let formats = [
        (Format::F16, "`param.embed` is F16 in the file, BF16 here"),
        (Format::F32, "`param.embed` is F32 in the file, BF16 here"),
    ];
    let groups = groups.map(|(group, words)| (Case { group, ..case() }, words));
    let formats =
        formats.map(|(param, words)| (Case { param, group: without.clone(), ..case() }, words));
    for (case, words) in groups.into_iter().chain(formats) {
        let mut other = Scene::new(&case, LAYOUTS[1]);
        other.run(0..3);
        let text = offered.refuses(&other.bytes(), words);
        assert!(text.contains(words), "`{words}` is not in: {text}");
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let mut offered = Offered::new(&case());
    let paths: [(&str, Value, &str); 29] = [
        ("/version", json!(2), "version 2, this crate reads up to 1"),
        ("/version", json!("1"), "version \"1\", this crate reads"),
        ("/recorded", json!(1_u64 << 32), "4294967296 steps are recorded, at most"),
        ("/recorded", json!(-1), "integer `-1`, expected u64"),
        ("/recorded", json!(4.5), "floating point `4.5`, expected u64"),
        ("/added", json!(1 << 24), "16777216 gradients are added up"),
        ("/groups/0/recorded", json!(1_u64 << 32), "group 0 has 4294967296 steps"),
        ("/groups/0/rate", json!("NaN"), "expected f64"),
        ("/groups/0/past", json!([1.0]), "invalid length 1"),
        ("/groups/0/options/lr", json!(-1.0), "`adam`: lr is -1"),
        ("/groups/0/options/lr", Value::Null, "`lr` is null"),
        ("/groups/0/options/betas", json!([0.9, 1.5]), "betas[1] is 1.5"),
        ("/groups/0/options/momentun", json!(0.9), "unknown key `momentun`"),
        ("/groups/0/options/optimizer", json!("adamm"), "unknown optimizer `adamm`"),
        ("/params/0/elements", json!(u64::MAX), "18446744073709551615 elements"),
        ("/params/0/steps", json!(u64::MAX), "18446744073709551615 steps, its group 4"),
        ("/params/0/skipped", json!(u64::MAX), "skipped 18446744073709551615 of 4"),
        ("/params/0/group", json!(u64::MAX), "in group 18446744073709551615 of 2"),
        ("/controller/scale", json!(0.0), "its loss scale is 0"),
        ("/controller/scale", json!(1e-60), "its loss scale is 0.0"),
        ("/controller/scale", json!(1e60), "its loss scale is 10000"),
        ("/controller/scale", json!(-2.0), "its loss scale is -2"),
        ("/controller/skipped", json!(5), "5 steps were skipped of 4"),
        ("/controller/growth_tracker", json!(1_u64 << 32), "expected u32"),
        ("/controller/growth_tracker", json!(1_u64 << 31), "2147483648 steps were finite in a row"),
        ("/controller/counts", json!(false), "has skipped steps, but its controller counts none"),
        ("/controller/norm", json!("much"), "`much` is no number"),
        ("/control/clip_norm", json!(-1.0), "`clip_norm` is -1"),
        ("/more", json!(1), "unknown field `more`"),
    ];
    for (path, to, words) in paths {
        offered.refuses_edited(&[words], |parts| {
            if let Some(value) = parts.host.pointer_mut(path) {
                *value = to;
                return;
            }
            let (parent, key) = path.rsplit_once('/').unwrap_or_default();
            let parent = parts.host.pointer_mut(parent).and_then(Value::as_object_mut);
            parent.map(|of| of.insert(key.to_owned(), to));
        });
    }
    // JSON has no NaN and no number beyond those of f64.
    let parts = Parts::of(&offered.good);
    let text = parts.host.to_string();
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "0x10", "[", "\"", ""] {
        let edited = text.replacen("\"lr\":0.01", &format!("\"lr\":{number}"), 1);
        assert_ne!(text, edited);
        offered.refuses(&parts.bytes_with(&edited), number);
    }
    offered.refuses(&parts.bytes_with(""), "no text");
    offered.refuses(&parts.bytes_with(&"[".repeat(100_000)), "a deep text");
    offered.refuses(&parts.bytes_with("{}"), "an empty object");
}

/// A count from a file, as large as one can be, is no overflow.
#[test]
fn no_count_overflows() {
    let control = Control { loss_scale: LossScale::dynamic(), ..Control::default() };
    let mut controller = ok(Controller::new(control));
    controller.resume((8.0, u32::MAX), [0, 0]);
    assert!(controller.apply(&mut [vec![1.0]]));
    assert_eq!((controller.growth_tracker(), controller.stats(&[]).loss_scale), (0, 16.0));
}

/// A run that passes the last step that a file may count writes no file, and the old one stays.
#[test]
fn files_that_could_not_be_loaded_are_not_written() {
    let mut small = Small::new();
    let mut parts = Parts::of(&small.bytes());
    let last = json!(u32::MAX);
    parts.host["recorded"] = last.clone();
    parts.host["groups"][0]["recorded"] = last.clone();
    parts.host["groups"][1]["recorded"] = last;
    ok(small.load(&parts.bytes(), &LoadOptions::default()));
    let directory = ok(tempfile::tempdir());
    let path = directory.path().join("run.safetensors");
    ok(small.optimizer.save(&small.queue, &path));
    let before = ok(std::fs::read(&path));
    small.step();
    let refused = small.optimizer.save(&small.queue, &path).expect_err("too many steps");
    let text = refused.to_string();
    let words =
        "nothing could load the file: 4294967296 steps are recorded, at most 2³² − 1; group 0 has";
    assert!(text.contains(words), "{text}");
    assert!(text.ends_with("nothing was written, and a file that was there is unharmed"), "{text}");
    assert!(ok(std::fs::read(&path)) == before);
    assert_eq!(ok(std::fs::read_dir(directory.path())).count(), 1);
}

#[test]
fn absurd_headers_are_refused() {
    let mut offered = Offered::new(&case());
    let good = offered.good.clone();
    let (text, data) = (header(&good), data(&good).to_vec());
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let offered = &mut offered;
    // The header's length.
    for length in
        [0, 1, data.len() as u64, good.len() as u64, 100_000_001, 1 << 40, u64::MAX - 7, u64::MAX]
    {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        reseal(&mut bytes);
        offered.refuses(&bytes, &format!("a header of {length} bytes"));
    }
    let huge = u64::MAX;
    let edits: [(&str, &str, Value); 12] = [
        ("param.bias", "data_offsets", json!([0, huge])),
        ("param.bias", "data_offsets", json!([huge, 0])),
        ("param.bias", "data_offsets", json!([8, 0])),
        ("param.bias", "data_offsets", json!([0, 14])), // over others
        ("param.bias", "data_offsets", json!([])),
        ("param.bias", "data_offsets", json!([-1, 13])),
        ("param.bias", "shape", json!([huge, huge])),
        ("param.bias", "shape", json!([huge])),
        ("param.bias", "shape", json!([1_u64 << 32, 1_u64 << 32, 0])),
        ("param.bias", "shape", json!(7)),
        ("param.bias", "dtype", json!("F9")),
        ("checksum", "shape", json!([0])),
    ];
    for (name, key, to) in edits {
        let mut value = value.clone();
        value[name][key] = to.clone();
        let text =
            offered.refuses(&sealed(&value.to_string(), &data), &format!("{name} {key} {to}"));
        assert!(text.len() < 1000, "{text}");
    }
    let mut without = value.clone();
    without["__metadata__"] = json!({});
    let text = offered.refuses(&sealed(&without.to_string(), &data), "no metadata");
    assert!(text.contains("its metadata have no `wgpu_optim`"), "{text}");
    let mut without = value.clone();
    without.as_object_mut().map(|of| of.remove("checksum"));
    let text =
        offered.refuses(&sealed(&without.to_string(), &data[..data.len() - 16]), "no checksum");
    assert!(text.contains("no tensor `checksum`"), "{text}");
    for text in ["", "{", "[]", "null", "{}", "{\"a\":1}", "\u{fffd}"] {
        offered.refuses(&sealed(text, &data), text);
    }
}

/// A parameter that no rounding of its master gives is damage that the checksum does not find.
#[test]
fn masters_that_round_to_others_are_refused() {
    let mut offered = Offered::new(&case());
    let text = offered.refuses_edited(&["`param.weight.1`: it has "], |parts| {
        parts.tensor("param.weight.1").1[201] ^= 1;
    });
    assert_eq!(list(&text).len(), 1, "{text}");
}
