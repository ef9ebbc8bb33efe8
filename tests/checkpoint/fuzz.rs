//! This module loads files that are changed at random. `WGPU_OPTIM_FUZZ` sets their number.

use std::time::Instant;

use serde_json::{Map, Value, json};
use support::ok;
use wgpu_optim::Control;
use wgpu_optim::checkpoint::{LoadOptions, SaveOptions};

use crate::file::{Parts, data, header, reseal, sealed};
use crate::small::Small;

/// The files of a normal run.
const SLICE: u64 = 6000;

/// All bits are compared after one in so many files.
const SOMETIMES: u64 = 1000;

/// A generator of numbers: SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// The places in a JSON value, as pointers.
fn places(value: &Value, at: String, all: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Array(of) => {
            of.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect()
        }
        Value::Object(of) => {
            let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
            of.iter().map(|(key, value)| (escaped(key), value)).collect()
        }
        _ => Vec::new(),
    };
    for (key, value) in inner {
        places(value, format!("{at}/{key}"), all);
    }
    all.push(at);
}

/// A number near one where something changes.
fn number(random: &mut Random, old: &Value) -> Value {
    let near = old.as_u64().unwrap_or_default();
    let powers = [8, 16, 24, 31, 32, 33, 53, 63].map(|bits| 1_u64 << bits);
    let integer = match random.below(4) {
        0 => near,
        1 => *random.of(&powers),
        2 => u64::MAX,
        _ => random.next() % 16,
    };
    let integer = integer.wrapping_add(random.next() % 5).wrapping_sub(2);
    let reals = [0.0, -0.0, 1.0, 0.5, -1.0, 0.999_999_999, 1e-45, 1e-300, 1e38, 3.5e38, 1e308, 2.5];
    match random.below(3) {
        0 | 1 => json!(integer),
        _ => {
            json!(old.as_f64().filter(|_| random.below(2) == 0).unwrap_or(1.0) * random.of(&reals))
        }
    }
}

/// Changes one place of a JSON value.
fn change(value: &mut Value, random: &mut Random) {
    let mut all = Vec::new();
    places(value, String::new(), &mut all);
    let other = random.of(&all).clone();
    let other = value.pointer(&other).cloned().unwrap_or_default();
    let at = random.of(&all).clone();
    let Some(place) = value.pointer_mut(&at) else { return };
    match (random.below(5), &mut *place) {
        (0, _) => *place = other,
        (1, _) => *place = random.of(&[Value::Null, json!(true), json!(""), json!([])]).clone(),
        (_, Value::Number(_)) => *place = number(random, place),
        (_, Value::Bool(is)) => *is = !*is,
        (_, Value::String(text)) => {
            let words =
                ["a", "b", "NaN", "inf", "1e999", "\u{0}", "é", "F16", "U8", "sgd", "nadam"];
            match random.below(3) {
                0 => text.push('x'),
                1 => *text = (*random.of(&words)).to_owned(),
                _ => *text = text.chars().rev().collect(),
            }
        }
        (_, Value::Array(of)) => {
            let (i, k) = (random.below(of.len()), random.below(of.len()));
            match random.below(3) {
                _ if of.is_empty() => of.push(other),
                0 => of.swap(i, k),
                1 => _ = of.remove(i),
                _ => of.insert(k, of[i].clone()),
            }
        }
        (_, Value::Object(of)) => object(of, other, random),
        (_, Value::Null) => *place = number(random, &Value::Null),
    }
}

/// Removes an entry, adds one, or exchanges the names of two.
fn object(of: &mut Map<String, Value>, other: Value, random: &mut Random) {
    let keys: Vec<String> = of.keys().cloned().collect();
    let [one, two] =
        [0, 1].map(|_| keys.get(random.below(keys.len())).cloned().unwrap_or_default());
    match random.below(3) {
        0 => _ = of.remove(&one),
        1 => _ = of.insert(one + "x", other),
        _ => {
            let [first, second] = [&one, &two].map(|key| of.get(key).cloned().unwrap_or_default());
            of.extend([(one, second), (two, first)]);
        }
    }
}

/// Changes a file in one of several ways, most of which leave it with a right checksum.
fn mutated(files: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let good = random.of(files);
    let times = 1 + random.below(3);
    let mut bytes = good.clone();
    match random.below(10) {
        0 => {
            for _ in 0..times {
                let at = random.below(bytes.len());
                bytes[at] = random.next() as u8;
            }
            if random.below(4) > 0 {
                reseal(&mut bytes);
            }
        }
        1 => {
            let length = random.below(2 * bytes.len());
            bytes.resize(length, random.next() as u8);
            reseal(&mut bytes);
        }
        2 => {
            // The beginning of one and the end of another, or of itself.
            let other = random.of(files);
            bytes.truncate(random.below(bytes.len()));
            bytes.extend(&other[random.below(other.len())..]);
            reseal(&mut bytes);
        }
        3 => {
            let from = 8 + header(good).len();
            for _ in 0..times {
                let at = from + random.below(bytes.len() - from) / 4 * 4;
                let words = [f32::NAN, f32::INFINITY, -1.0, 1e38, 1e-45, 0.0].map(f32::to_le_bytes);
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&random.of(&words)[..end - at]);
            }
            reseal(&mut bytes);
        }
        4 | 5 => {
            let mut value = ok(serde_json::from_str(&header(good)));
            (0..times).for_each(|_| change(&mut value, random));
            bytes = sealed(&value.to_string(), data(good));
        }
        6 => {
            // A number of the text becomes one that no JSON value has.
            let parts = Parts::of(good);
            let mut text = parts.host.to_string().into_bytes();
            let at = random.below(text.len());
            let words = ["NaN", "1e999", "-0", "00", "1e-400", "\"", "{", "]", "\\u0000", ","];
            let end = text.len().min(at + times);
            text.splice(at..end, random.of(&words).bytes());
            bytes = parts.bytes_with(&String::from_utf8_lossy(&text));
        }
        _ => {
            let mut parts = Parts::of(good);
            (0..times).for_each(|_| change(&mut parts.host, random));
            bytes = parts.bytes();
        }
    }
    bytes
}

/// Optimizers with and without counts on the GPU, and files of each.
fn scenes() -> [(Small, Vec<Vec<u8>>); 2] {
    [Small::new(), Small::with(Control::default())].map(|mut small| {
        let mut files =
            vec![small.bytes(), small.bytes_with(&SaveOptions::default().params(false))];
        small.accumulate();
        files.push(small.bytes());
        let frozen = ok(small.optimizer.param("b"));
        ok(small.optimizer.freeze(frozen));
        files.push(small.bytes());
        (small, files)
    })
}

/// No file makes a load panic; one that is refused changes nothing; and after one that is not, steps go on.
#[test]
fn random_changes_are_survived() {
    let count = std::env::var("WGPU_OPTIM_FUZZ").ok().map(|text| ok(text.parse()));
    let count: u64 = count.unwrap_or(SLICE);
    let begun = Instant::now();
    let [mut accepted, mut refused] = [0_u64; 2];
    let mut all = scenes();
    let foreign: Vec<Vec<u8>> = all.iter().flat_map(|(_, files)| files.clone()).collect();
    let options = [
        LoadOptions::default(),
        LoadOptions::default().keep_options(true),
        LoadOptions::default().allow_missing(true).allow_extra(true),
    ];
    for number in 0..count {
        let (small, files) = &mut all[(number % 2) as usize];
        let mut random = Random(number);
        let from = if random.below(8) == 0 { &foreign } else { &*files };
        let bytes = mutated(from, &mut random);
        let options = random.of(&options);
        let looks = number % SOMETIMES < 2;
        let whole = looks.then(|| small.bytes());
        let host = small.host();
        let loading = Instant::now();
        match small.load(&bytes, options) {
            Err(_) => {
                refused += 1;
                assert_eq!(small.host(), host, "file {number}");
                assert!(whole.is_none_or(|whole| whole == small.bytes()), "file {number}");
            }
            Ok(()) => {
                accepted += 1;
                small.step();
                // Its own file is one that it loads, unless steps have left their range.
                let own = small.try_bytes(&SaveOptions::default());
                let own = own.and_then(|own| small.load(&own, &LoadOptions::default()));
                if let Err(e) = own {
                    assert!(e.to_string().contains("at most 2³² − 1"), "file {number}: {e}");
                }
                // Nothing may add up, such as other options after each file.
                let loaded = small.load(&files[0], &LoadOptions::default());
                assert!(loaded.is_ok(), "file {number}: {loaded:?}");
            }
        }
        assert!(loading.elapsed().as_secs() < 20, "file {number} takes {:?}", loading.elapsed());
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!("{count} files in {seconds:.1} s: {accepted} loaded, {refused} refused");
    assert!(refused > count / 2 && accepted > count / 100, "{accepted} loaded, {refused} refused");
}
