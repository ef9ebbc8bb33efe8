//! This module saves and loads state in blocks: resumed runs, the file's codes and scales, and files that are wrong.

use safetensors::Dtype;
use support::{Case, encoded, gpu, numbers, ok};
use wgpu_optim::checkpoint::{LoadOptions, SaveOptions};
use wgpu_optim::{
    Adam, BlockCode, Control, Format, Group, Lion, Master, Optimizer, Sgd, StateFormat,
};

use crate::exact::resume_in;
use crate::file::Parts;
use crate::hostile::{Offered, list};
use crate::scene::{LAYOUTS, ODD, Scene};
use crate::small::Small;

const BLOCK8: StateFormat = StateFormat::Block8;
const BLOCK4: StateFormat = StateFormat::Block4;

/// Not in the order of the rule's slots, and not in that of names.
const MIXED: [(&str, StateFormat); 2] = [("exp_avg_sq", BLOCK8), ("exp_avg", BLOCK4)];

fn cases() -> Vec<Case> {
    let adam = || Group::adamw(1e-2).weight_decay(0.01);
    let in_16_bits = |param: Format, group: Group| Case { param, grad: param, ..Case::new(group) };
    let momentum = Sgd { momentum: 0.9, ..Sgd::default() };
    let counted = Control { skip_nonfinite: true, ..Control::default() };
    vec![
        Case::new(adam().state_format(BLOCK8)),
        Case::new(adam().state_format(BLOCK4)),
        Case::new(adam().state_format(MIXED)),
        Case::new(adam().state_format([("exp_avg", BLOCK8)])),
        Case::new(adam().state_format([("exp_avg", StateFormat::Bf16), ("exp_avg_sq", BLOCK4)])),
        Case::new(adam().state_format(BLOCK8).stochastic_state(11)),
        Case::new(adam().state_format(BLOCK4).stochastic_state(u64::MAX)),
        Case::new(adam().state_format(MIXED).stochastic_state(3).block_min_size(200)),
        in_16_bits(
            Format::Bf16,
            adam().state_format(BLOCK8).master(Master::Remainder).ema(0.9).stochastic_state(5),
        ),
        in_16_bits(Format::F16, adam().state_format(MIXED).master(Master::F32)),
        in_16_bits(Format::Bf16, adam().state_format(BLOCK4).stochastic_rounding(2)),
        Case { accumulate: 2, control: counted, ..Case::new(adam().state_format(MIXED)) },
        Case { copy: Some(Format::Bf16), ..Case::new(adam().state_format(BLOCK8).ema(0.99)) },
        Case::new(Group::new(1e-3, Lion::default()).state_format(BLOCK4).stochastic_state(0)),
        Case::new(Group::new(1e-2, momentum).state_format(BLOCK8)),
    ]
}

/// A resumed run has the bits of an unbroken one, codes and scales among them.
#[test]
fn blocks_resume() {
    for (index, case) in cases().iter().enumerate() {
        resume_in(case, index, |layout| Scene::new(case, LAYOUTS[layout]));
    }
}

/// The same with parameters that end around the ends of blocks.
#[test]
fn blocks_of_odd_lengths_resume() {
    for (index, case) in cases().iter().enumerate() {
        resume_in(case, index, |layout| Scene::odd(case, layout));
        resume_in(case, index + 1, |layout| Scene::odd(case, layout));
    }
}

/// Every rule whose slots may be in blocks, in the first of its variants that has such slots.
#[test]
fn every_rule_with_blocks_resumes() {
    let mut groups = wgpu_optim::verify::groups();
    groups.retain(|group| group.rule.slots().iter().any(|slot| slot.blocks.is_some()));
    groups.dedup_by_key(|group| group.rule.name());
    assert!(groups.len() > 10, "{}", groups.len());
    for (index, group) in groups.into_iter().enumerate() {
        let format = [BLOCK8, BLOCK4][index % 2];
        let seed = (index % 4 > 1).then_some(index as u64);
        let case = Case::new(group.state_format(format).stochastic_state(seed));
        resume_in(&case, index, |layout| Scene::odd(&case, layout));
    }
}

/// The bytes of a tensor as f32.
fn f32s(parts: &mut Parts, name: &str) -> Vec<f32> {
    let (entry, bytes) = parts.tensor(name);
    assert_eq!(entry.dtype, Dtype::F32, "{name}");
    Format::F32.decode_all(bytes)
}

/// With βs of 0, the state of the first step is that of a run in f32: the file has its codes and scales.
#[test]
fn a_file_has_the_codes_of_the_numbers() {
    let keeping = || Group::new(1e-3, Adam { betas: [0.0, 0.0], ..Adam::default() });
    let parts = |group: Group| {
        let mut scene = Scene::odd(&Case::new(group), 1);
        scene.run(0..1);
        Parts::of(&scene.bytes_with(&SaveOptions::default().shape("w1000", &[10, 100])))
    };
    let mut plain = parts(keeping());
    for format in [BLOCK8, BLOCK4] {
        let mut blocks = parts(keeping().state_format(format));
        for (name, _, len) in ODD {
            for (slot, signed) in [("exp_avg", true), ("exp_avg_sq", false)] {
                let code = format.code(signed).unwrap_or_else(|| panic!("{format}"));
                let numbers = f32s(&mut plain, &format!("state.{name}.{slot}"));
                let (codes, scales) = code.encode_all(&numbers);
                let (entry, found) = blocks.tensor(&format!("code.{name}.{slot}"));
                assert_eq!((entry.dtype, &*found), (Dtype::U8, &codes), "{format} {name} {slot}");
                let expected = if name == "w1000" { vec![10, 100] } else { vec![len as usize] };
                assert_eq!(entry.shape, expected);
                let found = f32s(&mut blocks, &format!("scale.{name}.{slot}"));
                assert_eq!(found, scales, "{format} {name} {slot}");
                let count = len.div_ceil(code.block()) as usize;
                assert_eq!(blocks.tensor(&format!("scale.{name}.{slot}")).0.shape, [count]);
            }
        }
        assert!(!blocks.tensors.iter().any(|(entry, _)| entry.name.starts_with("state.")));
    }
}

/// The words of every block are in the state dict, and their place is that of `state_blocks`.
#[test]
fn a_state_dict_has_the_words_of_blocks() {
    let mut scene =
        Scene::odd(&Case::new(Group::adam(1e-3).state_format([("exp_avg", BLOCK8)])), 0);
    let views = ok(scene.optimizer.state_dict()).views;
    for (name, ..) in ODD {
        let id = ok(scene.optimizer.param(name));
        let (view, _) = ok(scene.optimizer.state_blocks(id, "exp_avg"));
        assert_eq!(views.get(&format!("blocks.{name}.exp_avg")), Some(&view));
        let view = ok(scene.optimizer.state(id, "exp_avg_sq"));
        assert_eq!(views.get(&format!("state.{name}.exp_avg_sq")), Some(&view));
    }
    assert_eq!(views.len(), 3 * ODD.len());
}

/// Parameters of more codes than are read at once, written with as little memory as there can be.
#[test]
fn large_blocks_are_written_and_read_in_pieces() {
    let gpu = gpu();
    let len = (4 << 20) + 1001;
    let make = |seed| {
        let mut optimizer = Optimizer::new(&gpu.device);
        let group = ok(optimizer.add_group(Group::adam(1e-3).state_format(MIXED)));
        let [param, grad] = [1, seed].map(|seed| encoded(gpu, Format::F32, &numbers(len, seed)));
        ok(optimizer.add_param(group, "w", param, grad));
        gpu.step(&mut optimizer);
        optimizer
    };
    let directory = ok(tempfile::tempdir());
    let path = |name: &str| directory.path().join(name);
    let [mut one, mut two] = [2, 3].map(make);
    for (name, memory) in [("little", 0), ("odd", 1_000_003), ("much", u64::MAX)] {
        let options = SaveOptions::default().memory(memory);
        ok(one.save_with(&gpu.queue, path(name), &options));
    }
    let expected = ok(std::fs::read(path("much")));
    for name in ["little", "odd"] {
        assert!(ok(std::fs::read(path(name))) == expected, "{name}");
    }
    ok(two.load(&gpu.queue, path("little")));
    ok(two.save(&gpu.queue, path("again")));
    assert!(ok(std::fs::read(path("again"))) == expected);
}

/// State in blocks, of two formats.
fn offered() -> Offered {
    Offered::new(&Case::new(Group::adam(1e-2).state_format(MIXED)))
}

#[test]
fn wrong_tensors_of_blocks_are_listed() {
    let text = offered().refuses_edited(&[], |parts| {
        parts.tensor("code.bias.exp_avg").0.dtype = Dtype::I8;
        parts.tensor("scale.bias.exp_avg_sq").0.dtype = Dtype::I32;
        let scales = parts.tensor("scale.embed.exp_avg");
        scales.0.shape = vec![8];
        scales.1.truncate(32);
        parts.remove("scale.weight.0.exp_avg");
        parts.remove("code.scale.exp_avg_sq");
        parts.add("state.scale.exp_avg_sq", Dtype::F32, &[1]);
        parts.add("code.bias.momentum", Dtype::U8, &[7]);
        parts.add("scale.other.exp_avg", Dtype::F32, &[1]);
    });
    assert_eq!(
        list(&text),
        [
            "`code.bias.momentum` belongs to no parameter of the file",
            "`scale.other.exp_avg` belongs to no parameter of the file",
            "`state.scale.exp_avg_sq` belongs to no parameter of the file",
            "`scale.embed.exp_avg` has shape [8] in the file, the parameter 9 blocks of 128 elements",
            "`code.bias.exp_avg` is I8 in the file, U8 here",
            "`scale.bias.exp_avg_sq` is I32 in the file, F32 here",
            "`scale.weight.0.exp_avg` is missing in the file",
            "`code.scale.exp_avg_sq` is missing in the file",
        ]
    );
}

#[test]
fn wrong_codes_and_scales_are_refused() {
    let mut offered = offered();
    let text = offered.refuses_edited(&[], |parts| {
        parts.tensor("code.embed.exp_avg").1[130] = 16;
        parts.tensor("code.weight.1.exp_avg").1[2500] = 255;
        let minus = (-1.5_f32).to_le_bytes();
        parts.tensor("scale.bias.exp_avg").1.copy_from_slice(&minus);
        parts.tensor("scale.scale.exp_avg_sq").1.copy_from_slice(&1e-40_f32.to_le_bytes());
        parts.tensor("scale.weight.1.exp_avg_sq").1[12..16].copy_from_slice(&minus);
    });
    let scales = "a scale is 0, a normal number above 0, Inf or NaN";
    let mut found = list(&text);
    found.sort_unstable();
    assert_eq!(
        found,
        [
            "`code.embed.exp_avg`: element 130 has code 16, but the codes of block4_signed go from 0 to 15",
            "`code.weight.1.exp_avg`: element 2500 has code 255, but the codes of block4_signed go from 0 to 15",
            &format!("`scale.bias.exp_avg`: block 0 has scale -1.5e0; {scales}"),
            &format!("`scale.scale.exp_avg_sq`: block 0 has scale 1e-40; {scales}"),
            &format!("`scale.weight.1.exp_avg_sq`: block 3 has scale -1.5e0; {scales}"),
        ]
    );
    for scale in [-0.0_f32, f32::NEG_INFINITY, f32::MIN_POSITIVE.next_down()] {
        offered.refuses_edited(&[&format!("block 0 has scale {scale:e}")], |parts| {
            parts.tensor("scale.bias.exp_avg").1.copy_from_slice(&scale.to_le_bytes());
        });
    }
}

/// Every scale that a step can give is one that loads, and every code of 8 bits stands for a number.
#[test]
fn every_scale_of_a_step_loads() {
    let mut scene = Scene::odd(&Case::new(Group::adam(1e-2).state_format(BLOCK8)), 0);
    scene.run(0..2);
    let mut parts = Parts::of(&scene.bytes());
    let scales = [0.0, f32::MIN_POSITIVE, f32::INFINITY, f32::NAN].map(f32::to_le_bytes).concat();
    parts.tensor("scale.w1000.exp_avg").1.copy_from_slice(&scales);
    let codes: Vec<u8> = (0..=255).collect();
    parts.tensor("code.w256.exp_avg").1.copy_from_slice(&codes);
    let bytes = parts.bytes();
    scene.load(&bytes);
    let mut again = Parts::of(&scene.bytes());
    assert_eq!(again.tensor("scale.w1000.exp_avg").1, scales);
    assert_eq!(again.tensor("code.w256.exp_avg").1, codes);
}

/// A file in other formats, and the slots that the optimizer and the file keep in other ways.
#[test]
fn other_formats_are_told() {
    let plain = || Group::adam(1e-2);
    let offered = |own: Group, file: Group| -> String {
        let mut offered = Offered::new(&Case::new(own));
        let mut other = Scene::new(&Case::new(file), LAYOUTS[0]);
        offered.refuses(&other.bytes(), "other formats")
    };
    for (own, file, words) in [
        (plain(), plain().state_format(BLOCK8), ["keeps exp_avg, exp_avg_sq in block8", "in f32"]),
        (plain().state_format(BLOCK8), plain(), ["keeps exp_avg, exp_avg_sq in f32", "in block8"]),
        (
            plain().state_format(BLOCK8),
            plain().state_format(MIXED),
            ["in exp_avg: block4, exp_avg_sq: block8, the optimizer's", "in block8"],
        ),
        (
            plain().state_format(BLOCK8).block_min_size(64),
            plain().state_format(BLOCK8),
            ["in block8, the optimizer's", "in block8 from 64 elements on"],
        ),
    ] {
        let text = offered(own, file);
        for words in words {
            assert!(text.contains(words), "`{words}` is not in: {text}");
        }
    }
}

/// Formats that are named in another order, or all at once, are the same.
#[test]
fn formats_in_other_words_load() {
    let scene = |group: Group| Scene::odd(&Case::new(group), 0);
    let adam = || Group::adam(1e-2);
    for (one, two) in [
        (adam().state_format(MIXED), adam().state_format([MIXED[1], MIXED[0]])),
        (adam().state_format(BLOCK4), adam().state_format(MIXED.map(|(slot, _)| (slot, BLOCK4)))),
        (adam().block_min_size(9), adam()),
    ] {
        let (mut one, mut two) = (scene(one), scene(two));
        one.run(0..2);
        two.load(&one.bytes());
        two.assert_equals(&mut one, "as loaded");
        one.load(&two.bytes());
        for scene in [&mut one, &mut two] {
            scene.run(2..4);
        }
        two.assert_equals(&mut one, "formats in other words");
    }
}

/// Parameters may be loaded alone, under other names, and into groups with other options.
#[test]
fn some_blocks_load_alone() {
    let group = || Group::adam(1e-2).state_format(MIXED);
    let mut source = Scene::odd(&Case::new(group().stochastic_state(1)), 0);
    source.run(0..3);
    let bytes = source.bytes();
    let mut scene = Scene::odd(&Case::new(group()), 2);
    scene.run(0..1);
    let before = scene.contents();
    let options = LoadOptions::default().only("w257").keep_options(true);
    ok(scene.try_load(&bytes, &options));
    let (after, source) = (scene.contents(), source.contents());
    for ((name, now), (before, from)) in after.iter().zip(before.iter().zip(&source)) {
        let expected = if name.contains(".w257") { &from.1 } else { &before.1 };
        let bits = |all: &[f32]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(now), bits(expected), "{name}");
    }
    scene.run(1..2);
}

/// A device that computes nothing saves and loads blocks of zeros.
#[test]
fn blocks_of_zeros_are_codes_of_zero() {
    let mut small = Small::new();
    let mut parts = Parts::of(&small.bytes());
    let code: Option<BlockCode> = BLOCK4.code(true);
    let zero = code.map(BlockCode::zero);
    let codes = &parts.tensor("code.b.exp_avg").1;
    assert!(codes.iter().all(|code| Some(*code) == zero), "{codes:?}");
    assert_eq!(f32s(&mut parts, "scale.b.exp_avg"), [0.0]);
    ok(small.load(&parts.bytes(), &LoadOptions::default()));
}
