//! State in blocks, against torchao and bitsandbytes: `tools/golden_blocks.py` made the files.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Map, Value as Json};
use wgpu_optim::StateFormat;

use super::super::blocks::Blocks;
use super::super::value::{Each, Source, Tensor, Value};
use super::super::{Library, to_torch};
use super::{Checkpoint, Hints, NONE, again, f32s, from_torch, words};

/// The files, the format of their blocks, their library, and the rule that they do not say.
const FILES: [(&str, StateFormat, Library, Option<&str>); 4] = [
    ("torchao_adamw8bit", StateFormat::Block8, Library::Torchao, Some("adamw")),
    ("torchao_adamw4bit", StateFormat::Block4, Library::Torchao, Some("adamw")),
    ("bitsandbytes_adamw8bit", StateFormat::Block8, Library::Bitsandbytes, None),
    ("bitsandbytes_lion8bit", StateFormat::Block8, Library::Bitsandbytes, Some("lion")),
];

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden_blocks").join(file)
}

/// A tensor's bytes of a safetensors file; `None` if it is not there.
fn expected(file: &str, name: &str) -> Option<Vec<u8>> {
    let path = golden(&format!("{file}.safetensors"));
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let all = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{file}: {e}"));
    all.tensor(name).ok().map(|tensor| tensor.data().to_vec())
}

fn value(file: &str) -> Value {
    super::read(&golden(&format!("{file}.pt"))).unwrap_or_else(|e| panic!("{e}"))
}

fn read(file: &str, rule: Option<&str>) -> Checkpoint {
    let found = from_torch(&value(file), Hints { rule, ..NONE });
    found.unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    tensor.bytes().unwrap_or_else(|e| panic!("{tensor:?}: {e}"))
}

#[test]
fn codes_and_scales_are_read() {
    for (file, format, _, rule) in FILES {
        let found = read(file, rule);
        let Some(optimizer) = &found.optimizer else { panic!("{file}") };
        let config = &optimizer.groups[0].config;
        assert_eq!(config["optimizer"], rule.unwrap_or("adamw"), "{file}");
        assert_eq!(config["decoupled"], true, "{file}");
        assert_eq!(config["weight_decay"], 0.125, "{file}");
        assert_eq!(config["lr"], 0.001953125, "{file}");
        let [w, b] = &optimizer.params[..] else { panic!("{file}") };
        assert_eq!([&w.name, &b.name].map(Option::as_deref), [Some("w"), Some("b")], "{file}");
        assert_eq!((w.steps, b.steps), (Some(50), Some(50)), "{file}");
        assert!(w.slots.is_empty() && b.blocks.is_empty(), "{file}");
        assert_eq!(w.blocks.len(), b.slots.len(), "{file}");
        for (slot, blocks) in &w.blocks {
            let expected = |part: &str| expected(file, &format!("50.{part}.w.{slot}"));
            let code = format.code(slot != "exp_avg_sq");
            assert_eq!(Some(blocks.code), code, "{file}: {slot}");
            assert_eq!(blocks.codes.shape, [64, 64], "{file}: {slot}");
            assert_eq!(Some(bytes(&blocks.codes)), expected("code"), "{file}: {slot}");
            assert_eq!(Some(bytes(&blocks.scales)), expected("scale"), "{file}: {slot}");
            // Every 16th number, as the library itself decodes it.
            let numbers = f32s(&bytes(&blocks.decoded()));
            let some: Vec<f32> = numbers.iter().step_by(16).copied().collect();
            assert_eq!(Some(some), expected("state").map(|all| f32s(&all)), "{file}: {slot}");
        }
        for (slot, tensor) in &b.slots {
            let expected = expected(file, &format!("50.state.b.{slot}"));
            assert_eq!(Some(bytes(tensor)), expected, "{file}: {slot}");
        }
    }
}

#[test]
fn what_was_read_is_written_as_it_was() {
    for (file, _, library, rule) in FILES {
        let written = to_torch(&read(file, rule), Some(library));
        let written = again(&written.unwrap_or_else(|e| panic!("{file}: {e}")));
        let part = |value: &Value, key| value.get("optimizer").and_then(|o| o.get(key)).cloned();
        let sorted = |value: Option<Value>| match value {
            Some(Value::Dict(states)) => states.iter().map(|(_, state)| ordered(state)).collect(),
            Some(Value::List(groups)) => groups.iter().map(ordered).collect::<Vec<_>>(),
            other => panic!("{file}: {other:?}"),
        };
        let original = value(file);
        for key in ["state", "param_groups"] {
            let (found, expected) = (sorted(part(&written, key)), sorted(part(&original, key)));
            assert_eq!(found, expected, "{file}: {key}");
        }
    }
}

/// A dict in words and in the order of its keys, whole floats as the ints that PyTorch may have for them.
fn ordered(dict: &Value) -> Vec<String> {
    let word = |value: &Value| match value {
        Value::Dict(_) => ordered(value).concat(),
        Value::Blocks(Blocks { codes, scales, code }) => {
            let numbers = [codes, scales].map(|tensor| words(&Value::Tensor(tensor.clone())));
            format!("{} {numbers:?}", code.name())
        }
        other => words(other).replace("Int(0)", "Float(0.0)"),
    };
    let entries = dict.entries().unwrap_or_else(|e| panic!("{e}"));
    let mut all: Vec<String> =
        entries.iter().map(|(key, value)| format!("{key}: {}\n", word(value))).collect();
    all.sort();
    all
}

#[test]
fn state_moves_between_the_libraries() {
    let codes = |found: &Checkpoint| {
        let params = found.optimizer.iter().flat_map(|optimizer| &optimizer.params);
        let blocks = params.flat_map(|param| &param.blocks);
        blocks.map(|(_, own)| [&own.codes, &own.scales].map(bytes)).collect()
    };
    let moved = |found: &Checkpoint, library| {
        let value = to_torch(found, library).unwrap_or_else(|e| panic!("{e}"));
        let rule = (library == Some(Library::Torchao)).then_some("adamw");
        from_torch(&again(&value), Hints { rule, ..NONE }).unwrap_or_else(|e| panic!("{e}"))
    };
    let first = read("torchao_adamw8bit", Some("adamw"));
    let second = moved(&first, Some(Library::Bitsandbytes));
    let third = moved(&second, Some(Library::Torchao));
    let all: [Vec<[Vec<u8>; 2]>; 3] = [&first, &second, &third].map(codes);
    assert_eq!(all[0].len(), 2);
    assert!(all[0] == all[1] && all[1] == all[2]);
    // torch.optim gets the numbers.
    let plain = moved(&first, Some(Library::Torch));
    assert!(codes(&plain).is_empty());
    let numbers = |found: &Checkpoint| {
        let params = found.optimizer.iter().flat_map(|optimizer| &optimizer.params);
        let all = params.flat_map(|p| {
            let decoded = p.blocks.iter().map(|(_, own)| own.decoded());
            p.slots.iter().map(|(_, slot)| slot.clone()).chain(decoded)
        });
        all.map(|slot| bytes(&slot)).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&plain), numbers(&first));
}

/// The checkpoint with blocks of `count` elements.
fn sized(count: usize, format: StateFormat) -> Checkpoint {
    let mut found = read("torchao_adamw8bit", Some("adamw"));
    let Some(optimizer) = &mut found.optimizer else { panic!() };
    optimizer.params.truncate(1);
    for (_, blocks) in &mut optimizer.params[0].blocks {
        let codes = (0..count).map(|i| (i % 16) as u8).collect();
        let code = format.code(blocks.code.is_signed()).unwrap_or(blocks.code);
        let scales = Tensor::of_f32(&vec![0.5; count.div_ceil(code.block() as usize)]);
        let codes =
            Tensor { dtype: safetensors::Dtype::U8, shape: vec![count], data: Row::of(codes) };
        *blocks = Blocks::new(codes, scales, code).unwrap_or_else(|e| panic!("{e}"));
    }
    found
}

/// Bytes of a tensor.
struct Row(Vec<u8>);

impl Row {
    fn of(bytes: Vec<u8>) -> std::rc::Rc<Self> {
        std::rc::Rc::new(Self(bytes))
    }
}

impl Source for Row {
    fn read(&self, each: Each<'_>) -> Result<(), crate::Failure> {
        // In uneven parts, which packing must bridge.
        self.0.chunks(7).try_for_each(each)
    }
}

#[test]
fn the_last_block_may_be_shorter_where_the_library_allows_it() {
    for (count, format, is_whole) in [
        (512, StateFormat::Block8, true),
        (384, StateFormat::Block8, false),
        (384, StateFormat::Block4, true),
    ] {
        let found = sized(count, format);
        let written = to_torch(&found, Some(Library::Torchao)).unwrap_or_else(|e| panic!("{e}"));
        let read = from_torch(&again(&written), Hints { rule: Some("adamw"), ..NONE });
        let read = read.unwrap_or_else(|e| panic!("{e}"));
        let (Some(read), Some(found)) = (read.optimizer, found.optimizer) else { panic!() };
        let (read, found) = (&read.params[0], &found.params[0]);
        assert_eq!(read.blocks.len(), if is_whole { 2 } else { 0 });
        let (_, expected) = &found.blocks[0];
        match read.blocks.first() {
            Some((_, blocks)) => assert_eq!(bytes(&blocks.codes), bytes(&expected.codes)),
            None => assert_eq!(bytes(&read.slots[0].1), bytes(&expected.decoded())),
        }
    }
    let ragged = sized(300, StateFormat::Block8);
    let written = to_torch(&ragged, Some(Library::Bitsandbytes)).unwrap_or_else(|e| panic!("{e}"));
    let read = from_torch(&again(&written), NONE).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(read.optimizer.map(|optimizer| optimizer.params[0].blocks.len()), Some(2));
}

#[test]
fn the_library_that_has_such_state_is_written() {
    let config = |rule: &str, more: &[(&str, Json)]| {
        let mut found = read("bitsandbytes_lion8bit", Some("lion"));
        let Some(optimizer) = &mut found.optimizer else { panic!() };
        let config: &mut Map<String, Json> = &mut optimizer.groups[0].config;
        config.insert("optimizer".to_owned(), rule.into());
        for (key, value) in more {
            config.insert((*key).to_owned(), value.clone());
        }
        found
    };
    assert!(to_torch(&config("lion", &[]), None).is_ok());
    let error = |found: &Checkpoint, library| match to_torch(found, library) {
        Ok(value) => panic!("{value:?}"),
        Err(e) => e,
    };
    let adam = read("bitsandbytes_adamw8bit", None);
    let four = read("torchao_adamw4bit", Some("adamw"));
    assert!(to_torch(&four, None).is_ok());
    for (found, library, must) in [
        (&adam, None, "say which is to go on with --library torchao or --library bitsandbytes"),
        (&four, Some(Library::Bitsandbytes), "`exp_avg` is not in the codes that bitsandbytes has"),
        (
            &config("lion", &[]),
            Some(Library::Torchao),
            "torchao has no optimizer for the rule `lion`",
        ),
        (&config("lion", &[]), Some(Library::Torch), "no optimizer for the rule `lion`"),
        (
            &config("lion", &[("maximize", true.into())]),
            None,
            "`maximize` is on, which bitsandbytes",
        ),
        (
            &config("lion", &[("decoupled", false.into())]),
            None,
            "bitsandbytes' Lion has only the decoupled `weight_decay`",
        ),
    ] {
        let found = error(found, library);
        assert!(found.contains(must), "{found}");
    }
}

/// A change of a dict's entries.
type Change<'a> = &'a dyn Fn(&mut Vec<(Value, Value)>);

/// A file's value with all dicts changed.
fn changed(file: &str, change: Change<'_>) -> Value {
    fn walk(value: &mut Value, change: Change<'_>) {
        match value {
            Value::Dict(all) => {
                all.iter_mut().for_each(|(_, value)| walk(value, change));
                change(all);
            }
            Value::List(all) => all.iter_mut().for_each(|value| walk(value, change)),
            _ => {}
        }
    }
    let mut value = value(file);
    walk(&mut value, change);
    value
}

#[test]
fn what_bitsandbytes_has_otherwise_is_refused() {
    let has = |all: &[(Value, Value)], key: &str| {
        all.iter().any(|(known, _)| matches!(known, Value::Str(known) if known == key))
    };
    // Beside one key, another is set, or taken away.
    let set = |beside: &'static str, key: &'static str, value: Option<Value>| {
        move |all: &mut Vec<(Value, Value)>| {
            if has(all, beside) {
                all.retain(|(known, _)| !matches!(known, Value::Str(known) if known == key));
                all.extend(value.clone().map(|value| (Value::Str(key.to_owned()), value)));
            }
        }
    };
    let row = |count: usize| Some(Value::Tensor(Tensor::of_f32(&vec![0.5; count])));
    let adam = "bitsandbytes_adamw8bit";
    for (file, rule, change, must) in [
        (adam, None, set("state1", "unorm_vec", row(1)), "`unorm_vec` is there: LAMB, LARS"),
        (
            adam,
            None,
            set("state1", "max1", row(1)),
            "`max1` is there, so that a tensor has one scale",
        ),
        (adam, None, set("state1", "more", row(1)), "unknown key `more` for bitsandbytes"),
        (adam, None, set("qmap1", "qmap1", row(256)), "`qmap1`: its table is not the signed one"),
        (adam, None, set("qmap2", "qmap2", row(16)), "`qmap2`: its table is not the unsigned one"),
        (
            adam,
            None,
            set("absmax1", "absmax1", row(32)),
            "scales of shape [32], not 16, one for each",
        ),
        (adam, None, set("absmax2", "absmax2", None), "`absmax2` is missing"),
        (adam, None, set("betas", "alpha", Some(Value::Float(5.0))), "AdEMAMix is not read"),
        (adam, Some("lion"), set("", "", None), "its states have two slots, which Lion"),
        (
            adam,
            Some("nadam"),
            set("", "", None),
            "no 8-bit optimizer of bitsandbytes for the rule `nadam`",
        ),
        ("bitsandbytes_lion8bit", None, set("", "", None), "say which with --rule"),
        ("bitsandbytes_lion8bit", Some("adamw"), set("", "", None), "its states have one slot"),
    ] {
        let found = from_torch(&changed(file, &change), Hints { rule, ..NONE });
        let found = found.err().unwrap_or_else(|| panic!("it was read; {must}"));
        assert!(found.contains(must), "{found}");
    }
}

/// Also squares are in the table with signs there, but not here.
#[test]
fn one_slot_of_bitsandbytes_is_that_of_the_rule() {
    for (rule, slot, is_decoded) in [
        ("sgd", "momentum_buffer", false),
        ("rmsprop", "square_avg", true),
        ("adagrad", "sum", true),
    ] {
        let positive = |all: &mut Vec<(Value, Value)>| {
            let eps = |key: &Value| matches!(key, Value::Str(key) if key == "eps");
            all.iter_mut()
                .filter(|(key, _)| eps(key))
                .for_each(|(_, value)| *value = Value::Float(1e-8));
        };
        let value = changed("bitsandbytes_lion8bit", &positive);
        let found = from_torch(&value, Hints { rule: Some(rule), ..NONE });
        let found = found.unwrap_or_else(|e| panic!("{e}"));
        let Some(optimizer) = found.optimizer else { panic!("{rule}") };
        let param = &optimizer.params[0];
        assert_eq!(param.steps, Some(50), "{rule}");
        let names = |all: &mut dyn Iterator<Item = &str>| all.collect::<Vec<_>>().concat();
        let blocks = names(&mut param.blocks.iter().map(|(name, _)| name.as_str()));
        let plain = names(&mut param.slots.iter().map(|(name, _)| name.as_str()));
        let expected = if is_decoded { ("", slot) } else { (slot, "") };
        assert_eq!((blocks.as_str(), plain.as_str()), expected, "{rule}");
    }
}
