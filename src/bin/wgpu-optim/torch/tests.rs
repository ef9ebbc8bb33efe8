//! Checkpoints that PyTorch wrote, which `tests/torch/make.py` makes, and others that it never would.

mod blocks;
mod hostile;
mod optimizers;

use std::path::{Path, PathBuf};

use super::checkpoint::Checkpoint;
use super::value::Value;
use super::{Hints, from_torch, read, write};

/// The hints for a file that tells all.
const NONE: Hints<'_> = Hints { rule: None, names: None, is_ordered: true };

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/torch/{name}.pt"))
}

/// The value of a file of PyTorch's.
fn value(name: &str) -> Value {
    read(&fixture(name)).unwrap_or_else(|e| panic!("{e}"))
}

/// The checkpoint of a file of PyTorch's.
fn checkpoint(name: &str, hints: Hints<'_>) -> Result<Checkpoint, String> {
    from_torch(&value(name), hints)
}

/// The value that a written value is read as.
fn again(value: &Value) -> Value {
    let file = tempfile::NamedTempFile::new().unwrap_or_else(|e| panic!("{e}"));
    write(value, file.as_file()).unwrap_or_else(|e| panic!("{e}"));
    // Its tensors hold the file open.
    read(file.path()).unwrap_or_else(|e| panic!("{e}"))
}

/// A value in words, with the bytes of all tensors.
fn words(value: &Value) -> String {
    match value {
        Value::Tensor(tensor) => match tensor.bytes() {
            Ok(bytes) => format!("{tensor:?} {bytes:?}"),
            Err(e) => panic!("{tensor:?}: {e}"),
        },
        Value::List(all) => format!("[{}]", all.iter().map(words).collect::<String>()),
        Value::Tuple(all) => format!("({})", all.iter().map(words).collect::<String>()),
        Value::Dict(all) => {
            let entry = |(key, value): &(Value, Value)| format!("{}={} ", words(key), words(value));
            format!("{{{}}}", all.iter().map(entry).collect::<String>())
        }
        other => format!("{other:?} "),
    }
}

fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
}

#[test]
fn tensors_of_every_layout_are_read() {
    let layouts = value("layouts");
    let tensor = |name: &str| match layouts.get(name) {
        Some(Value::Tensor(tensor)) => tensor.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let rows: Vec<f32> = (0..24_u8).map(f32::from).collect();
    let pick = |places: &[usize]| places.iter().map(|&i| rows[i]).collect::<Vec<_>>();
    let transposed = (0..24).map(|i| i % 4 * 6 + i / 4).collect::<Vec<_>>();
    let permuted = (0..24).map(|i| i % 3 * 4 + i / 3 % 2 * 12 + i / 6).collect::<Vec<_>>();
    let expected: [(&str, &[usize], Vec<f32>); 8] = [
        ("rows", &[4, 6], rows.clone()),
        ("parameter", &[4, 6], rows.clone()),
        ("transposed", &[6, 4], pick(&transposed)),
        ("window", &[2, 3], pick(&[8, 9, 10, 14, 15, 16])),
        ("column", &[4], pick(&[1, 7, 13, 19])),
        ("permuted", &[4, 2, 3], pick(&permuted)),
        ("expanded", &[4], vec![3.0; 4]),
        ("empty", &[0, 3], Vec::new()),
    ];
    for (name, shape, numbers) in expected {
        let tensor = tensor(name);
        assert_eq!(tensor.shape, shape, "{name}");
        assert_eq!(
            f32s(&tensor.bytes().unwrap_or_else(|e| panic!("{name}: {e}"))),
            numbers,
            "{name}"
        );
    }
    let types =
        ["half", "bfloat16", "double", "int64", "bool"].map(|name| format!("{:?}", tensor(name)));
    assert_eq!(types, ["F16[6]", "BF16[6]", "F64[6]", "I64[3]", "BOOL[2]"]);
    assert_eq!(words(&again(&layouts)), words(&layouts));
}

#[test]
fn values_are_written_as_they_are() {
    let number = |n| Value::Int(n);
    let all = Value::List(vec![
        Value::None,
        Value::Bool(true),
        Value::Bool(false),
        number(0),
        number(-1),
        number(i64::from(i32::MAX) + 1),
        number(i64::MIN),
        Value::Float(-0.1),
        Value::Str("ä".to_owned()),
        Value::Tuple(Vec::new()),
        Value::Tuple(vec![number(1), Value::List(Vec::new())]),
        Value::Dict(vec![(number(3), Value::dict([("a", Value::None)]))]),
    ]);
    assert_eq!(words(&again(&all)), words(&all));
}

#[test]
fn other_files_are_refused() {
    let error = |path: &Path| match read(path) {
        Ok(value) => panic!("{value:?}"),
        Err(e) => e.to_string(),
    };
    for (name, must) in [
        (
            "old",
            "it is not a zip archive, as torch.save writes since PyTorch 1.6; load it in Python and torch.save it again",
        ),
        (
            "repeated",
            "`w`: the tensor of shape [1000, 1000] with strides [0, 0] repeats the 1 elements of its storage `0`",
        ),
    ] {
        let found = error(&fixture(name));
        assert!(found.contains(must), "{found}");
    }
    assert!(error(&fixture("nowhere")).contains("nowhere.pt: "));
    assert!(error(&fixture("nowhere").with_file_name("make.py")).contains("not a zip archive"));
}

#[test]
fn other_names_than_the_files_own_are_refused() {
    let found = |name: &str| {
        let names = [name.to_owned()];
        checkpoint("adam", Hints { names: Some(&names), ..NONE }).err().unwrap_or_default()
    };
    assert_eq!(found("weight"), "");
    let must =
        "--names has `bias` at position 0, but the file's own `param_names` has `weight` there";
    let error = found("bias");
    assert!(error.contains(must), "{error}");
}
