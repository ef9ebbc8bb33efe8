//! The archive that `torch.save` writes: a zip file of a pickle and of the storages that it names.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

use zip::{CompressionMethod, ZipArchive};

use super::graph::{View, values};
use super::unpickle::unpickle;
use super::value::{Each, Source, Tensor, Value};
use crate::Failure;

/// The bytes that are read at once.
const READ: usize = 1 << 20;

/// The largest pickle; that of a model with a hundred thousand tensors has a tenth of it.
const LARGEST: u64 = 1 << 28;

/// The most bytes of tensors for each byte of a file, because tensors may share a storage.
const SHARED: u64 = 64;

/// The first bytes of a zip file.
const ZIP: &[u8] = b"PK\x03\x04";

type Archive = Rc<RefCell<ZipArchive<File>>>;

/// The places of the storages whose sums were compared.
type Checked = Rc<RefCell<HashSet<usize>>>;

/// Reads the value of a file. Its tensors are read when they are asked for, so the file must stay.
pub(crate) fn read(path: &Path) -> Result<Value, Failure> {
    let named = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let mut file = File::open(path).map_err(|e| named(&e))?;
    let mut first = Vec::new();
    file.by_ref().take(ZIP.len() as u64).read_to_end(&mut first).map_err(|e| named(&e))?;
    if first != ZIP {
        let old = "it is not a zip archive, as torch.save writes since PyTorch 1.6; load it in Python and torch.save \
                   it again";
        return Err(named(&old).into());
    }
    Opened::new(file).and_then(|opened| opened.value()).map_err(|e| named(&e).into())
}

/// A file that is open for reading.
struct Opened {
    archive: Archive,
    /// The part of all names before the first slash, with it.
    prefix: String,
    /// The bytes of the file.
    size: u64,
    /// The bytes of all tensors so far.
    tensors: u64,
    checked: Checked,
}

impl Opened {
    fn new(file: File) -> Result<Self, String> {
        let size = file.metadata().map_err(|e| e.to_string())?.len();
        let archive =
            ZipArchive::new(file).map_err(|e| format!("its zip archive is damaged: {e}"))?;
        let pickle = archive.file_names().find_map(|name| {
            let prefix = name.strip_suffix("data.pkl")?;
            let is_first = prefix.find('/') == prefix.len().checked_sub(1);
            is_first.then(|| prefix.to_owned())
        });
        let prefix = pickle
            .ok_or("it is a zip archive without a `data.pkl`; torch.save wrote no such file")?;
        let archive = Rc::new(RefCell::new(archive));
        Ok(Self { archive, prefix, size, tensors: 0, checked: Checked::default() })
    }

    fn value(mut self) -> Result<Value, String> {
        match self.whole("byteorder", 16)? {
            Some(order) if order.trim_ascii() != b"little" => {
                let order = String::from_utf8_lossy(&order).into_owned();
                return Err(format!(
                    "its byte order is `{order}`; only `little` is read: load it in Python on a little-endian \
                     machine and torch.save it again"
                ));
            }
            // Files of PyTorch before 2.1 do not say it.
            _ => {}
        }
        let pickle = self.whole("data.pkl", LARGEST)?.ok_or("it has no `data.pkl`")?;
        let (graph, root) = unpickle(&pickle)?;
        values(&graph, root, pickle.len(), &mut |view| self.tensor(view))
    }

    /// All bytes of an entry, if it is there.
    fn whole(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("`{name}`: {e}");
        let Some((index, size)) = self.entry(name)? else { return Ok(None) };
        if size > most {
            return Err(wrong(&format!("it has {size} bytes, at most {most} are read")));
        }
        let mut archive = self.archive.borrow_mut();
        let mut bytes = Vec::new();
        let mut entry = archive.by_index(index).map_err(|e| wrong(&e))?;
        entry.read_to_end(&mut bytes).map_err(|e| wrong(&e))?;
        Ok(Some(bytes))
    }

    /// The place and the bytes of an entry, if it is there.
    fn entry(&self, name: &str) -> Result<Option<(usize, u64)>, String> {
        let mut archive = self.archive.borrow_mut();
        let Some(index) = archive.index_for_name(&format!("{}{name}", self.prefix)) else {
            return Ok(None);
        };
        let entry = archive.by_index_raw(index).map_err(|e| format!("`{name}`: {e}"))?;
        let (size, stored) = (entry.size(), entry.compressed_size());
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!(
                "`{name}` is compressed, which torch.save never does; load it in Python and torch.save it again"
            ));
        }
        if size != stored || size > self.size {
            return Err(format!(
                "`{name}` claims {size} bytes of the file's {}; it is damaged",
                self.size
            ));
        }
        Ok(Some((index, size)))
    }

    fn tensor(&mut self, view: &View) -> Result<Tensor, String> {
        let key = &view.key;
        let name = format!("data/{key}");
        let (index, size) =
            self.entry(&name)?.ok_or_else(|| format!("the storage `{name}` is missing"))?;
        let element = view.dtype.bitsize() / 8;
        let needs = view.len.checked_mul(element).map(|bytes| bytes as u64);
        if needs != Some(size) {
            let (len, dtype) = (view.len, view.dtype);
            return Err(format!(
                "the storage `{name}` has {size} bytes for {len} elements of {dtype:?}"
            ));
        }
        let data = Rc::new(Stored {
            archive: self.archive.clone(),
            checked: self.checked.clone(),
            index,
            size,
            element,
            view: view.clone(),
        });
        let tensor = Tensor { dtype: view.dtype, shape: view.shape.clone(), data };
        let bytes = tensor.len().ok_or("a tensor is too large")?;
        self.tensors = self.tensors.saturating_add(bytes as u64);
        if self.tensors > self.size.saturating_mul(SHARED) {
            return Err(format!(
                "its tensors take more than {SHARED} times the file's {} bytes",
                self.size
            ));
        }
        Ok(tensor)
    }
}

/// A tensor's place in an archive.
struct Stored {
    archive: Archive,
    checked: Checked,
    /// The place of the storage.
    index: usize,
    /// The bytes of the storage.
    size: u64,
    /// The bytes of an element.
    element: usize,
    view: View,
}

impl Source for Stored {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let Self { view, element, .. } = self;
        let count: usize = view.shape.iter().product();
        if count == 0 {
            return Ok(());
        }
        let begin = (view.offset * element) as u64;
        if view.is_contiguous() {
            return self.part(begin, (count * element) as u64, each);
        }
        let span = view.span().ok_or("a tensor is too large")?;
        let mut bytes = Vec::new();
        self.part(begin, (span * element) as u64, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        rows(view, *element, &bytes, each)
    }
}

impl Stored {
    /// Reads a part of the storage. Its sum is compared if the part is all of it, or before the first other part.
    fn part(&self, begin: u64, length: u64, each: Each<'_>) -> Result<(), Failure> {
        let mut archive = self.archive.borrow_mut();
        let named = |e: &dyn std::fmt::Display| format!("the storage `{}`: {e}", self.view.key);
        let is_whole = length == self.size;
        if is_whole || !self.checked.borrow().contains(&self.index) {
            let mut entry = archive.by_index(self.index).map_err(|e| named(&e))?;
            let each: Each<'_> = if is_whole { &mut *each } else { &mut |_| Ok(()) };
            // The end is read, too: it is where the sum is compared.
            parts(&mut entry, u64::MAX, each).map_err(|e| named(&e))?;
            self.checked.borrow_mut().insert(self.index);
        }
        if is_whole {
            Ok(())
        } else {
            let mut entry = archive.by_index_seek(self.index).map_err(|e| named(&e))?;
            entry.seek(SeekFrom::Start(begin)).map_err(|e| named(&e))?;
            parts(&mut entry, length, each).map_err(|e| named(&e).into())
        }
    }
}

/// Reads up to `length` bytes, a part at a time.
fn parts(from: &mut impl Read, length: u64, each: Each<'_>) -> Result<(), Failure> {
    let mut buffer = vec![0; READ.min(usize::try_from(length).unwrap_or(READ))];
    let mut left = length;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let had = from.read(&mut buffer[..most])?;
        if had == 0 {
            return Ok(());
        }
        each(&buffer[..had])?;
        left -= had as u64;
    }
    Ok(())
}

/// Hands over the elements of a view in the order of rows. `bytes` begin with the first of them.
fn rows(view: &View, element: usize, bytes: &[u8], each: Each<'_>) -> Result<(), Failure> {
    let mut place = vec![0; view.shape.len()];
    let mut at = 0;
    let mut part = Vec::with_capacity(READ);
    loop {
        part.extend_from_slice(
            bytes.get(at * element..(at + 1) * element).ok_or("it is truncated")?,
        );
        if part.len() + element > READ {
            each(&part)?;
            part.clear();
        }
        // The next place: the last dimension runs fastest.
        let mut dimension = place.len();
        loop {
            let Some(before) = dimension.checked_sub(1) else { return each(&part) };
            dimension = before;
            place[dimension] += 1;
            at += view.strides[dimension];
            if place[dimension] < view.shape[dimension] {
                break;
            }
            at -= place[dimension] * view.strides[dimension];
            place[dimension] = 0;
        }
    }
}
