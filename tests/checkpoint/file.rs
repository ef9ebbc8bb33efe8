//! This module makes files that are wrong, or merely different, and yet have the checksum of their bytes.

use std::collections::BTreeMap;
use std::io::Cursor;

use safetensors::Dtype;
use serde_json::Value;
use support::ok;
use wgpu_optim::checkpoint::{Container, Entry, KEY, Writer, sort_entries};

/// The content of a checkpoint, to be changed and written again.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    /// The host's part.
    pub(crate) host: Value,
    /// Each tensor with its bytes.
    pub(crate) tensors: Vec<(Entry, Vec<u8>)>,
}

impl Parts {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut file = ok(Container::open(Cursor::new(bytes)));
        ok(file.verify());
        let text = file.metadata(KEY).unwrap_or_default().to_owned();
        let host = ok(serde_json::from_str(&text));
        let entries = file.entries();
        let tensors = entries.into_iter().map(|entry| {
            let mut data = vec![0; entry.bytes() as usize];
            ok(file.read(&entry.name, 0, &mut data));
            (entry, data)
        });
        Self { host, tensors: tensors.collect() }
    }

    /// The file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes_with(&self.host.to_string())
    }

    /// The file with this text as the host's part.
    pub(crate) fn bytes_with(&self, host: &str) -> Vec<u8> {
        let mut tensors: Vec<&(Entry, Vec<u8>)> = self.tensors.iter().collect();
        sort_entries(&mut tensors, |(entry, _)| entry);
        let entries: Vec<Entry> = tensors.iter().map(|(entry, _)| entry.clone()).collect();
        let metadata = BTreeMap::from([(KEY.to_owned(), host.to_owned())]);
        let mut writer = ok(Writer::new(Vec::new(), &metadata, &entries));
        for (_, data) in tensors {
            ok(writer.write(data));
        }
        ok(writer.finish())
    }

    /// A tensor.
    pub(crate) fn tensor(&mut self, name: &str) -> &mut (Entry, Vec<u8>) {
        let found = self.tensors.iter_mut().find(|(entry, _)| entry.name == name);
        found.unwrap_or_else(|| panic!("no tensor `{name}`"))
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.tensors.retain(|(entry, _)| entry.name != name);
    }

    /// Adds a tensor of zeros.
    pub(crate) fn add(&mut self, name: &str, dtype: Dtype, shape: &[usize]) {
        let entry = Entry { name: name.to_owned(), dtype, shape: shape.to_vec() };
        let data = vec![0; entry.bytes() as usize];
        self.tensors.push((entry, data));
    }
}

/// The header of a file, as text without padding.
pub(crate) fn header(bytes: &[u8]) -> String {
    let text = &bytes[8..8 + header_len(bytes)];
    String::from_utf8_lossy(text).trim_end().to_owned()
}

fn header_len(bytes: &[u8]) -> usize {
    bytes.as_chunks().0.first().map_or(0, |len| u64::from_le_bytes(*len)) as usize
}

/// The data of a file, the checksum with it.
pub(crate) fn data(bytes: &[u8]) -> &[u8] {
    &bytes[8 + header_len(bytes)..]
}

/// A file of this header and these data, whose last bytes become the checksum.
pub(crate) fn sealed(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    reseal(&mut bytes);
    bytes
}

/// Makes the last bytes of a file the checksum of all before them: those that a file of nothing else would have.
pub(crate) fn reseal(bytes: &mut [u8]) {
    let Some((before, checksum)) = bytes.split_last_chunk_mut::<16>() else { return };
    *checksum = xxhash_rust::xxh3::xxh3_128(before).to_be_bytes();
}
