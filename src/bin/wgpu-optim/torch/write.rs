//! The writing of an archive that `torch.load(path, weights_only=True)` takes.

use std::io::{Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::pickle::pickle;
use super::value::Value;
use crate::Failure;

/// The directory of all entries; `torch.save` takes the file's name for it, and nothing reads it.
const ROOT: &str = "archive";

/// The place of a storage is a multiple of it, as in PyTorch, which maps storages into memory.
const ALIGNMENT: u16 = 64;

/// The bytes from which on an entry needs the fields of large files; headers have room below 4 GiB.
const LARGE: usize = u32::MAX as usize - (1 << 20);

/// Writes a value, whose tensors are read one after the other and a part at a time.
pub(crate) fn write(value: &Value, to: impl Write + Seek) -> Result<(), Failure> {
    let mut archive = ZipWriter::new(to);
    // The same value gives the same bytes.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGNMENT);
    let named = |name: &str| format!("{ROOT}/{name}");
    let (bytes, tensors) = pickle(value)?;
    let texts: [(&str, &[u8]); 5] = [
        ("data.pkl", &bytes),
        (".format_version", b"1"),
        (".storage_alignment", b"64"),
        ("byteorder", b"little"),
        ("version", b"3\n"),
    ];
    for (name, text) in texts {
        archive.start_file(named(name), options.large_file(text.len() >= LARGE))?;
        archive.write_all(text)?;
    }
    for (i, tensor) in tensors.into_iter().enumerate() {
        let length = tensor.len().ok_or("a tensor is too large")?;
        archive.start_file(named(&format!("data/{i}")), options.large_file(length >= LARGE))?;
        tensor.read(&mut |part| Ok(archive.write_all(part)?))?;
    }
    archive.finish()?.flush()?;
    Ok(())
}
