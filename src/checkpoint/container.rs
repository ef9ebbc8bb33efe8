//! This module reads and writes the file: safetensors, whose last tensor is a checksum of all bytes before its own.

use std::collections::BTreeMap;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::Xxh3;

/// The length of the header's length, in bytes.
const LENGTH: u64 = 8;

/// The longest header that safetensors allows, in bytes.
const MAX_HEADER: u64 = 100_000_000;

/// The name of the checksum's tensor.
const CHECKSUM: &str = "checksum";

/// The length of the checksum: XXH3 of 128 bits, in big-endian bytes.
const CHECKSUM_BYTES: u64 = 16;

/// The number of bytes that are read at once.
const READ: usize = 4 << 20;

/// The number of bytes that are hashed and written at once: while a processor's own cache has them.
const WRITE: usize = 256 << 10;

/// A tensor that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name in the file.
    pub name: String,
    /// The type of the numbers.
    pub dtype: Dtype,
    /// The shape.
    pub shape: Vec<usize>,
}

impl Entry {
    /// The size of the data, in bytes.
    pub fn bytes(&self) -> u64 {
        let elements: u64 = self.shape.iter().map(|&n| n as u64).product();
        elements * self.dtype.bitsize() as u64 / 8
    }
}

/// Puts tensors into the order of the file: large numbers first, so that each is aligned, then by name.
pub fn sort_entries<T>(all: &mut [T], entry: impl Fn(&T) -> &Entry) {
    all.sort_by(|one, two| {
        let key = |of: &Entry| std::cmp::Reverse(of.dtype.bitsize());
        let (one, two) = (entry(one), entry(two));
        key(one).cmp(&key(two)).then_with(|| one.name.cmp(&two.name))
    });
}

/// A file that is being written, a piece after the other.
pub struct Writer<W: Write> {
    sink: BufWriter<W>,
    hash: Xxh3,
    /// The bytes of data that are to come.
    left: u64,
    with_checksum: bool,
}

impl<W: Write> Writer<W> {
    /// Writes the header of a file of these tensors, whose data follow in this order.
    ///
    /// # Errors
    /// If the sink fails, or the header is longer than safetensors allows.
    pub fn new(
        sink: W,
        metadata: &BTreeMap<String, String>,
        entries: &[Entry],
    ) -> std::io::Result<Self> {
        Self::with(sink, metadata, entries, true)
    }

    /// The same for a file without a checksum, which is no checkpoint: plain safetensors.
    ///
    /// # Errors
    /// As [`Writer::new`].
    pub fn plain(
        sink: W,
        metadata: &BTreeMap<String, String>,
        entries: &[Entry],
    ) -> std::io::Result<Self> {
        Self::with(sink, metadata, entries, false)
    }

    fn with(
        sink: W,
        metadata: &BTreeMap<String, String>,
        entries: &[Entry],
        with_checksum: bool,
    ) -> std::io::Result<Self> {
        let mut header = Map::new();
        header.insert("__metadata__".to_owned(), json!(metadata));
        let mut end = 0;
        let last = Entry {
            name: CHECKSUM.to_owned(),
            dtype: Dtype::U8,
            shape: vec![CHECKSUM_BYTES as usize],
        };
        for entry in entries.iter().chain(with_checksum.then_some(&last)) {
            let Entry { name, dtype, shape } = entry;
            let begin = end;
            end += entry.bytes();
            let info = json!({ "dtype": dtype, "shape": shape, "data_offsets": [begin, end] });
            header.insert(name.clone(), info);
        }
        let mut text = Value::Object(header).to_string().into_bytes();
        // The data begin at a multiple of 8 bytes.
        text.resize(text.len().next_multiple_of(8), b' ');
        if text.len() as u64 > MAX_HEADER {
            let message = format!("the header takes {} bytes, at most {MAX_HEADER}", text.len());
            return Err(std::io::Error::other(message));
        }
        let sink = BufWriter::with_capacity(WRITE, sink);
        let mut writer = Self { sink, hash: Xxh3::new(), left: u64::MAX, with_checksum };
        writer.write(&(text.len() as u64).to_le_bytes())?;
        writer.write(&text)?;
        writer.left = if with_checksum { end - CHECKSUM_BYTES } else { end };
        Ok(writer)
    }

    /// Writes the next bytes of data.
    ///
    /// # Errors
    /// If the sink fails, or the tensors have no room for so many.
    pub fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return Err(std::io::Error::other("more data than the tensors take"));
        };
        self.left = left;
        for part in bytes.chunks(WRITE) {
            if self.with_checksum {
                self.hash.update(part);
            }
            self.sink.write_all(part)?;
        }
        Ok(())
    }

    /// Writes the checksum, and returns the sink.
    ///
    /// # Errors
    /// If the sink fails, or data are missing.
    pub fn finish(mut self) -> std::io::Result<W> {
        if self.left > 0 {
            let message = format!("{} bytes of data are missing", self.left);
            return Err(std::io::Error::other(message));
        }
        if self.with_checksum {
            self.sink.write_all(&self.hash.digest128().to_be_bytes())?;
        }
        self.sink.into_inner().map_err(std::io::IntoInnerError::into_error)
    }
}

/// Reads the header of a safetensors file, and checks it against the length of the file. Returns it with the place of
/// the first byte of data, and the size of the file.
///
/// # Errors
/// A file that is no safetensors file, or not a whole one, in words.
pub fn read_header<R: Read + Seek>(reader: &mut R) -> Result<(Metadata, u64, u64), String> {
    let failed = |e: std::io::Error| e.to_string();
    let size = reader.seek(SeekFrom::End(0)).map_err(failed)?;
    reader.seek(SeekFrom::Start(0)).map_err(failed)?;
    if size < LENGTH {
        return Err(format!("it has {size} bytes, a safetensors file at least {LENGTH}"));
    }
    let mut length = [0; LENGTH as usize];
    reader.read_exact(&mut length).map_err(failed)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length > size - LENGTH {
        return Err(format!(
            "its header claims {length} bytes of the file's {size}; it is truncated or no safetensors file"
        ));
    }
    let mut header = vec![0; length as usize];
    reader.read_exact(&mut header).map_err(failed)?;
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|e| format!("its header is not that of a safetensors file: {e}"))?;
    // Through `new`, because reading alone does not check offsets against shapes.
    let tensors = header.offset_keys().into_iter().filter_map(|key| {
        let info: TensorInfo = header.info(&key)?.clone();
        Some((key, info))
    });
    let header = Metadata::new(header.metadata().clone(), tensors.collect())
        .map_err(|e| format!("its header is inconsistent: {e}"))?;
    let (needs, has) = (header.data_len() as u64, size - LENGTH - length);
    if needs != has {
        return Err(format!(
            "its tensors take {needs} bytes, but {has} follow the header; it is truncated or damaged"
        ));
    }
    Ok((header, LENGTH + length, size))
}

/// A safetensors file whose header is checked.
pub struct Container<R> {
    reader: R,
    header: Metadata,
    /// The place of the first byte of data.
    data_at: u64,
    size: u64,
}

impl<R: Read + Seek> Container<R> {
    /// Reads the header, and checks it against the length of the file.
    ///
    /// # Errors
    /// A file that is no safetensors file, or not a whole one, in words.
    pub fn open(mut reader: R) -> Result<Self, String> {
        let (header, data_at, size) = read_header(&mut reader)?;
        Ok(Self { reader, header, data_at, size })
    }

    /// Whether no bit of the file has changed since it was written. Reads all of it.
    ///
    /// # Errors
    /// A file without a checksum, or with another than its bytes have, in words.
    pub fn verify(&mut self) -> Result<(), String> {
        let own = self.header.info(CHECKSUM);
        let is_last = |info: &&TensorInfo| {
            let bytes = info.data_offsets.1 - info.data_offsets.0;
            bytes as u64 == CHECKSUM_BYTES && info.data_offsets.1 == self.header.data_len()
        };
        if own.filter(is_last).is_none() {
            return Err(format!(
                "it has no tensor `{CHECKSUM}` of {CHECKSUM_BYTES} bytes at its end; it is no checkpoint of wgpu-optim"
            ));
        }
        let failed = |e: std::io::Error| e.to_string();
        self.reader.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut left = self.size - CHECKSUM_BYTES;
        let mut buffer = vec![0; READ.min(left as usize)];
        let mut hash = Xxh3::new();
        while left > 0 {
            let part = (READ as u64).min(left) as usize;
            self.reader.read_exact(&mut buffer[..part]).map_err(failed)?;
            hash.update(&buffer[..part]);
            left -= part as u64;
        }
        let mut stored = [0; CHECKSUM_BYTES as usize];
        self.reader.read_exact(&mut stored).map_err(failed)?;
        let (stored, found) = (u128::from_be_bytes(stored), hash.digest128());
        if stored == found {
            return Ok(());
        }
        Err(format!(
            "its checksum is {stored:032x}, that of its bytes {found:032x}; it is damaged: take an older one"
        ))
    }

    /// The metadata under a key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Every tensor but the checksum, in the order of the data.
    pub fn entries(&self) -> Vec<Entry> {
        let names = self.header.offset_keys().into_iter().filter(|name| name != CHECKSUM);
        names.filter_map(|name| self.entry(&name)).collect()
    }

    /// A tensor by name.
    pub fn entry(&self, name: &str) -> Option<Entry> {
        let TensorInfo { dtype, shape, .. } = self.header.info(name)?;
        Some(Entry { name: name.to_owned(), dtype: *dtype, shape: shape.clone() })
    }

    /// Reads bytes of a tensor from byte `from` on, as many as `into` holds.
    ///
    /// # Errors
    /// If the file has no such tensor or fails, or the tensor has not as many bytes.
    pub fn read(&mut self, name: &str, from: u64, into: &mut [u8]) -> std::io::Result<()> {
        let missing = || std::io::Error::other(format!("`{name}` has no such bytes"));
        let (begin, end) = self.header.info(name).ok_or_else(missing)?.data_offsets;
        let last = from.checked_add(into.len() as u64).ok_or_else(missing)?;
        if last > (end - begin) as u64 {
            return Err(missing());
        }
        self.reader.seek(SeekFrom::Start(self.data_at + begin as u64 + from))?;
        self.reader.read_exact(into)
    }

    /// Reads a tensor in pieces of whole elements, in order. `each` gets the file, too.
    ///
    /// # Errors
    /// As [`Container::read`], and those of `each`.
    pub fn pieces<E: From<std::io::Error>>(
        &mut self,
        name: &str,
        mut each: impl FnMut(&mut Self, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let bytes = self.entry(name).map_or(0, |entry| entry.bytes());
        let mut buffer = vec![0; READ.min(bytes as usize)];
        for from in (0..bytes).step_by(READ) {
            let part = (READ as u64).min(bytes - from) as usize;
            self.read(name, from, &mut buffer[..part])?;
            each(self, &buffer[..part])?;
        }
        Ok(())
    }
}
