//! Files that try to do what no checkpoint does.

use std::io::Write;

use safetensors::Dtype;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::super::graph::values;
use super::super::unpickle::unpickle;
use super::super::value::{Tensor, Value};
use super::{NONE, fixture, from_torch, read};

/// Reads a pickle whose tensors have no numbers.
fn loaded(pickle: &[u8]) -> Result<Value, String> {
    let (graph, root) = unpickle(pickle)?;
    values(&graph, root, pickle.len(), &mut |view| {
        Ok(Tensor::filled(Dtype::F32, 0.0, view.shape.clone()))
    })
}

/// The error of a pickle that is `body` between the opcodes that every pickle has.
fn error(body: &[u8]) -> String {
    match loaded(&[b"\x80\x02", body, b"."].concat()) {
        Ok(value) => panic!("{value:?}"),
        Err(e) => e,
    }
}

/// Random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n.max(1) as u64) as usize
    }

    /// The bytes with a few of them changed, taken out or doubled.
    fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at..bytes.len().min(at + 1 + self.below(4)))),
                3 => {
                    let part = bytes[at..bytes.len().min(at + 1 + self.below(16))].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => bytes[at] = self.below(256) as u8,
            }
            if bytes.is_empty() {
                break;
            }
        }
        bytes
    }
}

/// The pickle of a file.
fn pickle(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(fixture(name)).unwrap_or_else(|e| panic!("{e}"));
    let mut archive = zip::ZipArchive::new(file).unwrap_or_else(|e| panic!("{e}"));
    let mut entry = archive.by_name(&format!("{name}/data.pkl")).unwrap_or_else(|e| panic!("{e}"));
    let mut bytes = Vec::new();
    std::io::copy(&mut entry, &mut bytes).unwrap_or_else(|e| panic!("{e}"));
    bytes
}

#[test]
fn functions_are_refused_by_name() {
    let only = "only tensors, numbers, strings, lists, tuples and dicts are read";
    for (body, must) in [
        (&b"cos\nsystem\nX\x02\0\0\0ls\x85R"[..], "it names `os.system`; only tensors"),
        (b"cposix\nsystem\n", "it names `posix.system`"),
        (b"cbuiltins\neval\n", "it names `builtins.eval`"),
        (b"\x8c\x02os\x8c\x06system\x93", "it names `os.system`"),
        (b"ctorch\nload\n", "it names `torch.load`"),
        (b"ctorch._utils\n_rebuild_tensor\n", "it names `torch._utils._rebuild_tensor`"),
        (b"(ios\nsystem\n", "it has the opcode 0x69"),
        (b"(o", "it has the opcode 0x6f"),
        (b"\x82\x01", "it has the opcode 0x82"),
        (b"N)\x81", "it has the opcode 0x81"),
        (b"P1\n", "it has the opcode 0x50"),
        (b"]Nb", "it sets attributes of what is no OrderedDict"),
        (b"N)R", "it calls what is no function"),
        (b"ctorch\nfloat32\n", "is there as a value"),
        (b"ctorch._tensor\n_rebuild_from_type_v2\n(NNNNtR", "of a class that is not known"),
        (
            b"ctorch._tensor\n_rebuild_from_type_v2\n(ccollections\nOrderedDict\n\
              ctorchao.optim.subclass_8bit\nOptimState8bit\n(NNNt}tR",
            "is not made as torchao makes it",
        ),
        (
            b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_wrapper_subclass\n\
              ctorchao.optim.subclass_8bit\nOptimState8bit\n(NN)t}tR",
            "`codes` is missing in a tensor in blocks",
        ),
        (b"ctorch\nFloatStorage\n)R", "it makes a storage by a call"),
        (b"ctorch\nFloatStorage\n", "is there as a value"),
        (b"ccollections\nOrderedDict\nNR", "without a tuple of arguments"),
        (b"NQ", "a persistent id is not that of a storage"),
    ] {
        let found = error(body);
        assert!(found.contains(must), "{found}");
    }
    assert!(error(b"cos\nsystem\n").contains(only));
}

#[test]
fn broken_pickles_are_refused() {
    for (body, must) in [
        (&b""[..], "it ends with more or less than one value"),
        (b"NN", "it ends with more or less than one value"),
        (b"(", "it ends with more or less than one value"),
        (b"0", "it takes a value from an empty stack"),
        (b"N(0", "it takes a value from an empty stack"),
        (b"t", "it ends a list that it did not begin"),
        (b"h\x05", "it recalls 5, which it did not keep"),
        (b"q\x05", "it looks at a value of an empty stack"),
        (b"NNa", "it appends to what is no list"),
        (b"NNNs", "it sets a key of what is no dict"),
        (b"}(Nu", "a dict has a key without a value"),
        (b"X\xff\xff\xff\xff", "it is truncated"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "it is truncated"),
        (b"X\x01\0\0\0\xff", "a string: "),
        (b"\x8a\x09\0\0\0\0\0\0\0\0\x01", "an integer does not fit into 64 bits"),
    ] {
        let found = error(body);
        assert!(found.contains(must), "{body:?}: {found}");
    }
    for pickle in [&b""[..], b"N.", b"\x80", b"\x80\x06N.", b"\x80\x01N."] {
        assert!(loaded(pickle).is_err(), "{pickle:?}");
    }
}

#[test]
fn pickles_that_grow_are_refused() {
    let nested = [b"]".repeat(100_000), b"a".repeat(99_999)].concat();
    assert!(error(&nested).contains("it nests more than 64 containers, or one contains itself"));
    for cycle in [&b"]q\0h\0a"[..], b"}q\0Nh\0s", b"]q\0(h\0te", b"]q\0(h\0tq\x01a"] {
        let pickle = [b"\x80\x02", cycle, b"."].concat();
        assert!(loaded(&pickle).is_err(), "{cycle:?}");
    }
    // Lists of ten times the list before.
    let mut laughs = b"](NNNNNNNNNNe".to_vec();
    for level in 0..30 {
        laughs.extend([b'q', level, b'0', b']', b'(']);
        laughs.extend([b'h', level].repeat(10));
        laughs.push(b'e');
    }
    assert!(error(&laughs).contains("it repeats its values too often"));
    // A long string, many times.
    let mut strings = b"](X\0\0\x01\0".to_vec();
    strings.extend([b'a'; 1 << 16]);
    strings.extend(b"q\0");
    strings.extend(b"h\0".repeat(1 << 12));
    strings.push(b'e');
    assert!(error(&strings).contains("it repeats its strings too often"));
    // A list of pairs made into a dict, many times.
    let mut dicts = b"](".to_vec();
    dicts.extend(b"NN\x86".repeat(1 << 12));
    dicts.extend(b"eq\0\x85q\x010ccollections\nOrderedDict\nq\x020");
    dicts.extend(b"h\x02h\x01R".repeat(1 << 12));
    assert!(error(&dicts).contains("it has more than"));
}

/// A pickle of one tensor.
fn tensor(len: &[u8], offset: &[u8], shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu";
    let parts = [
        &b"ctorch._utils\n_rebuild_tensor_v2\n("[..],
        storage,
        len,
        b"tQ",
        offset,
        shape,
        strides,
        b"\x89NtR",
    ];
    parts.concat()
}

#[test]
fn tensors_outside_of_their_storage_are_refused() {
    let large = b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f";
    let triple = [&large[..], large, large, b"\x87"].concat();
    for (len, offset, shape, strides) in [
        (&b"K\x04"[..], &b"K\x01"[..], &b"K\x04\x85"[..], &b"K\x01\x85"[..]),
        (b"K\x04", b"K\0", b"K\x02K\x03\x86", b"K\x02K\x01\x86"),
        (b"K\x04", b"K\0", b"K\x02\x85", b"K\x04\x85"),
        (b"K\x04", b"K\0", b"K\x02\x85", b")"),
        (b"K\x04", b"K\0", b"J\xff\xff\xff\xff\x85", b"K\x01\x85"),
        (b"K\x04", large, b"K\x02\x85", b"K\x01\x85"),
        (large, b"K\0", &triple, &triple),
        (b"K\x04", b"K\0", b"K\x02\x85", b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"),
        (b"K\x04", b"N", b"K\x02\x85", b"K\x01\x85"),
    ] {
        let found = error(&tensor(len, offset, shape, strides));
        assert!(found.contains("a tensor"), "{found}");
    }
    // A stride over one element may be any number.
    let alone = [
        b"\x80\x02",
        &tensor(b"K\x04", b"K\x03", b"K\x01\x85", &[large, &b"\x85"[..]].concat())[..],
        b".",
    ];
    assert!(loaded(&alone.concat()).is_ok());
}

/// An archive of these entries.
fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap_or_else(|e| panic!("{e}"));
    let mut archive = zip::ZipWriter::new(file.as_file());
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(*name, options).unwrap_or_else(|e| panic!("{e}"));
        archive.write_all(bytes).unwrap_or_else(|e| panic!("{e}"));
    }
    archive.finish().unwrap_or_else(|e| panic!("{e}"));
    file
}

#[test]
fn other_archives_are_refused() {
    let pickle =
        [b"\x80\x02", &tensor(b"K\x04", b"K\0", b"K\x04\x85", b"K\x01\x85")[..], b"."].concat();
    let data = ("a/data.pkl", &pickle[..]);
    for (entries, must) in [
        (&[("a/b", &b"c"[..])][..], "it is a zip archive without a `data.pkl`"),
        (&[("a/b/data.pkl", &pickle)], "it is a zip archive without a `data.pkl`"),
        (&[data, ("a/byteorder", b"big")], "its byte order is `big`; only `little` is read"),
        (&[data], "the storage `data/0` is missing"),
        (
            &[data, ("a/data/0", &[0; 15])],
            "the storage `data/0` has 15 bytes for 4 elements of F32",
        ),
    ] {
        let file = archive(entries, CompressionMethod::Stored);
        let found = read(file.path()).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(found.contains(must), "{found}");
    }
    let file = archive(&[data, ("a/data/0", &[0; 16])], CompressionMethod::Stored);
    assert!(read(file.path()).is_ok());
}

/// The sum of a storage is compared also where no tensor has all of it.
#[test]
fn damage_of_a_shared_storage_is_found() {
    let half = |offset| tensor(b"K\x04", offset, b"K\x02\x85", b"K\x01\x85");
    let pickle = [b"\x80\x02]", &half(b"K\0")[..], b"a", &half(b"K\x02"), b"a."].concat();
    let numbers = *b"four numbers are";
    let entries = [("a/data.pkl", &pickle[..]), ("a/data/0", &numbers)];
    let file = archive(&entries, CompressionMethod::Stored);
    let bytes = |path| match read(path) {
        Ok(Value::List(all)) => {
            let tensor = |value: &Value| match value {
                Value::Tensor(tensor) => tensor.bytes().map_err(|e| e.to_string()),
                other => panic!("{other:?}"),
            };
            all.iter().map(tensor).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(bytes(file.path()), Ok(numbers.to_vec()));
    let mut whole = std::fs::read(file.path()).unwrap_or_else(|e| panic!("{e}"));
    let at = whole.windows(numbers.len()).position(|part| part == numbers);
    whole[at.unwrap_or_else(|| panic!("no numbers"))] ^= 1;
    std::fs::write(file.path(), whole).unwrap_or_else(|e| panic!("{e}"));
    let found = bytes(file.path()).err().unwrap_or_default();
    assert!(found.contains("the storage `0`: Invalid checksum"), "{found}");
}

#[test]
fn parameters_with_attributes_are_read_without_them() {
    let data = tensor(b"K\x04", b"K\0", b"K\x04\x85", b"K\x01\x85");
    let call = |state: &[u8]| {
        let function = &b"ctorch._utils\n_rebuild_parameter_with_state\n("[..];
        [b"\x80\x02", function, &data, b"\x88ccollections\nOrderedDict\n)R", state, b"tR."].concat()
    };
    match loaded(&call(b"}X\x04\0\0\0kindX\x01\0\0\0ws")) {
        Ok(Value::Tensor(tensor)) => assert_eq!(tensor.shape, [4]),
        other => panic!("{other:?}"),
    }
    let error = loaded(&call(b"}X\x04\0\0\0kindcos\nsystem\ns")).err().unwrap_or_default();
    assert!(error.contains("it names `os.system`"), "{error}");
}

#[test]
fn mutated_pickles_never_panic() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for name in ["adam", "groups", "layouts", "nadam"] {
        let pickle = pickle(name);
        for length in 0..pickle.len() {
            assert!(loaded(&pickle[..length]).is_err(), "{name}: {length} bytes");
        }
        for _ in 0..5000 {
            if let Ok(value) = loaded(&random.mutated(&pickle)) {
                let _ =
                    from_torch(&value, NONE).and_then(|found| super::super::to_torch(&found, None));
            }
        }
    }
}

#[test]
fn mutated_files_never_panic() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let directory = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let path = directory.path().join("x.pt");
    for name in ["adam", "layouts"] {
        let bytes = std::fs::read(fixture(name)).unwrap_or_else(|e| panic!("{e}"));
        for _ in 0..1500 {
            std::fs::write(&path, random.mutated(&bytes)).unwrap_or_else(|e| panic!("{e}"));
            let Ok(value) = read(&path) else { continue };
            let Ok(found) = from_torch(&value, NONE) else { continue };
            for (_, tensor) in &found.model {
                let _ = tensor.bytes();
            }
        }
    }
}
