//! Checkpoints of PyTorch go on here and end where PyTorch ends: `convert` and `replay --resume` over the files that
//! `tools/torch_checkpoints.py --fixtures` made with PyTorch itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use approx::relative_eq;
use safetensors::tensor::{TensorView, serialize};
use safetensors::{Dtype, SafeTensors};
use support::{Tensors, metadata, ok, tensors};

/// A checkpoint of PyTorch, and where PyTorch itself went on to.
struct Fixture {
    name: String,
    checkpoint: PathBuf,
    expected: Tensors,
    /// The options of `convert` for what PyTorch's file leaves open.
    hints: Vec<String>,
    /// The same where names are there, as they always are in a file that was written here.
    rule: Vec<String>,
    /// The options of `replay`.
    steps: Vec<String>,
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch/resume")
}

fn fixtures() -> Vec<Fixture> {
    let mut all = Vec::new();
    for entry in ok(std::fs::read_dir(directory())) {
        let checkpoint = ok(entry).path();
        if checkpoint.extension().is_none_or(|extension| extension != "pt") {
            continue;
        }
        let name = checkpoint.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let result = checkpoint.with_extension("safetensors");
        let about = metadata(&result);
        let option = |option: &str, key: &str| match about.get(key) {
            Some(text) if !text.is_empty() => vec![option.to_owned(), text.clone()],
            Some(_) => Vec::new(),
            None => panic!("{name}: no {key}"),
        };
        let (rule, names) = (option("--rule", "rule"), option("--names", "names"));
        all.push(Fixture {
            hints: [rule.clone(), names].concat(),
            rule,
            steps: option("--steps", "steps"),
            expected: tensors(&result),
            checkpoint,
            name,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(all.len() > 30, "{} fixtures", all.len());
    all
}

/// Runs the command.
#[track_caller]
fn run(name: &str, arguments: &[&Path], options: &[String]) {
    let done =
        Command::new(env!("CARGO_BIN_EXE_wgpu-optim")).args(arguments).args(options).output();
    let done = ok(done);
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
}

#[track_caller]
fn convert(name: &str, [from, to]: [&Path; 2], options: &[String]) {
    run(name, &["convert".as_ref(), from, to], options);
}

/// The result of going on from a checkpoint over the rest of the trace.
#[track_caller]
fn resumed(fixture: &Fixture, checkpoint: &Path, machine: &[&str]) -> Tensors {
    let (trace, out) = (directory().join("trace.safetensors"), checkpoint.with_extension("out"));
    let options: Vec<String> =
        fixture.steps.iter().cloned().chain(machine.iter().map(|&x| x.to_owned())).collect();
    let arguments = ["replay".as_ref(), &*trace, "--resume".as_ref(), checkpoint];
    run(&fixture.name, &[&arguments[..], &["--out".as_ref(), &*out]].concat(), &options);
    tensors(&out)
}

/// Compares every parameter and slot, element by element; what cancels is of the size of the tensor's largest.
#[track_caller]
fn compare(fixture: &Fixture, found: &Tensors, relative: f64, of_largest: f64) {
    let name = &fixture.name;
    assert!(found.keys().eq(fixture.expected.keys()), "{name}: {:?}", found.keys());
    for (key, expected) in &fixture.expected {
        assert_eq!(found[key].len(), expected.len(), "{name}: {key}");
        let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        for (x, y) in found[key].iter().zip(expected) {
            assert!(
                relative_eq!(x, y, max_relative = relative, epsilon = of_largest * largest),
                "{name}: {key}: {x:e} in place of {y:e}"
            );
        }
    }
}

#[test]
fn the_reference_ends_where_pytorch_ends() {
    let directory = ok(tempfile::tempdir());
    for fixture in fixtures() {
        let here = directory.path().join(format!("{}.safetensors", fixture.name));
        convert(&fixture.name, [&fixture.checkpoint, &here], &fixture.hints);
        let found = resumed(&fixture, &here, &["--cpu"]);
        compare(&fixture, &found, 1e-12, 1e-14);
    }
}

/// A file in PyTorch's names with every f64 rounded to f32, which a GPU takes.
fn in_f32(path: &Path) {
    let bytes = ok(std::fs::read(path));
    let about = metadata(path).into_iter().collect();
    let rounded: Vec<_> = ok(SafeTensors::deserialize(&bytes))
        .iter()
        .map(|(name, view)| {
            let data = match view.dtype() {
                Dtype::F64 => {
                    let numbers = view.data().as_chunks().0.iter();
                    numbers.flat_map(|x| (f64::from_le_bytes(*x) as f32).to_le_bytes()).collect()
                }
                _ => view.data().to_vec(),
            };
            (name.to_owned(), view.shape().to_vec(), data)
        })
        .collect();
    let views = rounded
        .iter()
        .map(|(name, shape, data)| (name, ok(TensorView::new(Dtype::F32, shape.clone(), data))));
    ok(std::fs::write(path, ok(serialize(views, Some(about)))));
}

/// The bound is loose: a few steps in f32 from numbers that were rounded to f32. `tests/goldens.rs` has the tight one.
#[test]
fn the_gpu_ends_near_pytorch() {
    let directory = ok(tempfile::tempdir());
    for fixture in fixtures() {
        let named = directory.path().join("named.safetensors");
        let here = directory.path().join("here.safetensors");
        convert(&fixture.name, [&fixture.checkpoint, &here], &fixture.hints);
        convert(&fixture.name, [&here, &named], &[]);
        in_f32(&named);
        convert(&fixture.name, [&named, &here], &fixture.rule);
        compare(&fixture, &resumed(&fixture, &here, &[]), 1e-5, 1e-6);
    }
}

#[test]
fn checkpoints_come_back_bit_for_bit() {
    let directory = ok(tempfile::tempdir());
    for fixture in fixtures() {
        let (name, hints, rule) = (&*fixture.name, &*fixture.hints, &*fixture.rule);
        let path = |name: &str| directory.path().join(name);
        let [here, named, again] =
            ["here.safetensors", "named.safetensors", "again.safetensors"].map(path);
        let there = path("there.pt");
        let same = |a: &Path, b: &Path, what: &str| {
            assert!(ok(std::fs::read(a)) == ok(std::fs::read(b)), "{name}: {what}");
        };
        convert(name, [&fixture.checkpoint, &here], hints);
        convert(name, [&here, &there], &[]);
        convert(name, [&there, &again], rule);
        same(&here, &again, "by way of a .pt");
        // PyTorch's other form.
        convert(name, [&here, &named], &[]);
        convert(name, [&named, &again], rule);
        same(&here, &again, "by way of PyTorch's names");
        // From one form of PyTorch's to another, whose models may have another order.
        convert(name, [&named, &there], rule);
        convert(name, [&there, &again], rule);
        same(&here, &again, "PyTorch's names as a .pt");
        convert(name, [&fixture.checkpoint, &there], hints);
        convert(name, [&there, &again], rule);
        same(&here, &again, "PyTorch's own file as a .pt");
    }
}

/// Whether a conversion succeeds, and its words.
fn converted(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let command = Command::new(env!("CARGO_BIN_EXE_wgpu-optim"))
        .current_dir(directory)
        .arg("convert")
        .args(arguments)
        .output();
    let done = ok(command);
    (done.status.success(), String::from_utf8_lossy(&done.stderr).into_owned())
}

/// The error of a conversion that fails.
#[track_caller]
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let (succeeded, error) = converted(directory, arguments);
    assert!(!succeeded, "{arguments:?}");
    error
}

/// A file in PyTorch's names of an optimizer of SGD with momentum, whose parameters have one group.
fn in_torchs_names(path: &Path, params: &[(&str, &[usize])]) {
    let numbers = |shape: &[usize]| vec![0_u8; 4 * shape.iter().product::<usize>()];
    let data: Vec<_> = params.iter().map(|(_, shape)| numbers(shape)).collect();
    let views = params.iter().zip(&data).map(|((name, shape), data)| {
        let view = ok(TensorView::new(Dtype::F32, shape.to_vec(), data));
        (format!("model.{name}"), view)
    });
    let positions: Vec<usize> = (0..params.len()).collect();
    let groups = format!(
        r#"[{{"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": false,
            "params": {positions:?}}}]"#
    );
    let about = [("optimizer.param_groups".to_owned(), groups)].into();
    ok(std::fs::write(path, ok(serialize(views, Some(about)))));
}

#[test]
fn the_form_of_in_is_that_of_its_bytes() {
    let directory = ok(tempfile::tempdir());
    let path = |name: &str| directory.path().join(name);
    let [torch, other, here] = ["torch.safetensors", "native.pt", "here.safetensors"].map(path);
    let fixtures = fixtures();
    let Fixture { name, checkpoint, hints, .. } = &fixtures[0];
    ok(std::fs::copy(checkpoint, &torch));
    convert(name, [&torch, &here], hints);
    ok(std::fs::copy(&here, &other));
    convert(name, [&other, &path("back.pt")], &[]);
    ok(std::fs::copy(&here, path("no_ending")));
    convert(name, [&path("no_ending"), &path("again.pt")], &[]);
    assert!(ok(std::fs::read(path("back.pt"))) == ok(std::fs::read(path("again.pt"))));

    ok(std::fs::write(path("text.pt"), "a text, which is no checkpoint"));
    let error = refused(directory.path(), &["text.pt", "x.safetensors"]);
    assert!(error.contains("text.pt: it is neither a zip archive"), "{error}");
    for to in ["x.pt/", "x.safetensors/", "x.pt/.", ".."] {
        let error = refused(directory.path(), &["here.safetensors", to]);
        assert!(error.contains(&format!("{to}: it names a directory")), "{error}");
    }
    assert!(!path("x.pt").exists() && !path("x.safetensors").exists());
}

#[test]
fn errors_name_the_file_that_they_are_about() {
    let directory = ok(tempfile::tempdir());
    let path = |name: &str| directory.path().join(name);
    let fixtures = fixtures();
    let Fixture { name, checkpoint, hints, rule, .. } = &fixtures[0];
    convert(name, [checkpoint, &path("here.safetensors")], hints);
    convert(name, [&path("here.safetensors"), &path("in.pt")], &[]);
    let error = |to: &str| {
        let arguments: Vec<&str> =
            ["in.pt", to].into_iter().chain(rule.iter().map(String::as_str)).collect();
        refused(directory.path(), &arguments)
    };
    for to in ["nowhere/x.safetensors", "nowhere/x.pt"] {
        let error = error(to);
        assert_eq!(error.matches("nowhere/x").count(), 1, "{error}");
        assert!(error.contains("finding its directory"), "{error}");
    }
    // The last number of the last storage, before the directory of the archive.
    let mut bytes = ok(std::fs::read(path("in.pt")));
    let Some(end) = bytes.windows(4).position(|part| part == b"PK\x01\x02") else {
        panic!("no directory")
    };
    bytes[end - 1] ^= 1;
    ok(std::fs::write(path("in.pt"), bytes));
    for to in ["x.safetensors", "x.pt"] {
        let error = error(to);
        assert!(error.contains("in.pt: the storage `"), "{error}");
        assert!(!error.contains(to) && !path(to).exists(), "{error}");
    }
}

#[test]
fn names_may_have_commas() {
    let directory = ok(tempfile::tempdir());
    let path = |name: &str| directory.path().join(name);
    in_torchs_names(&path("in.safetensors"), &[("a,b", &[2]), ("c", &[3])]);
    let [list, several] = ["list.safetensors", "several.safetensors"].map(path);
    let options = |all: &[&str]| all.iter().map(|&x| x.to_owned()).collect::<Vec<_>>();
    let from = path("in.safetensors");
    convert("list", [&from, &list], &options(&["--names", r#"["a,b", "c"]"#]));
    convert("several", [&from, &several], &options(&["--names", "a,b", "--names", "c"]));
    assert!(ok(std::fs::read(&list)) == ok(std::fs::read(&several)));
    let bytes = ok(std::fs::read(&list));
    assert_eq!(ok(ok(SafeTensors::deserialize(&bytes)).tensor("param.a,b")).shape(), [2]);
    for (names, must) in [
        ("a,b,c", "--names has 3 names, but there are 2 parameters"),
        (r#"["a,b", 3]"#, "--names: invalid type: integer `3`, expected a string"),
    ] {
        let error = refused(directory.path(), &["in.safetensors", "x.pt", "--names", names]);
        assert!(error.contains(must), "{error}");
    }
}

#[test]
fn a_parameter_without_elements_is_refused() {
    let directory = ok(tempfile::tempdir());
    in_torchs_names(&directory.path().join("in.safetensors"), &[("a", &[2]), ("none", &[0, 3])]);
    let arguments = ["in.safetensors", "out.safetensors", "--names", "a,none"];
    let error = refused(directory.path(), &arguments);
    let must = "in.safetensors: `none` of shape [0, 3] has no elements";
    assert!(error.contains(must), "{error}");
}

#[test]
fn the_control_of_steps_is_left_out() {
    let directory = ok(tempfile::tempdir());
    let path = |name: &str| directory.path().join(name);
    let options = r#"{"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "clip_norm": 1.0}"#;
    ok(std::fs::write(path("options.json"), options));
    let (trace, options) = (self::directory().join("trace.safetensors"), path("options.json"));
    let arguments =
        ["replay".as_ref(), &*trace, "--cpu".as_ref(), "--optimizer".as_ref(), &options];
    let (saved, out) = (path("saved.safetensors"), path("out.safetensors"));
    let files = ["--save".as_ref(), &*saved, "--out".as_ref(), &out];
    run("sgd", &[&arguments[..], &files].concat(), &[]);
    let (succeeded, words) = converted(directory.path(), &["saved.safetensors", "x.pt"]);
    assert!(succeeded, "{words}");
    let must = "convert: clipping, loss scale and skipping (`control`) are left out, because PyTorch keeps them apart";
    assert_eq!(words.trim_end(), must);
}
