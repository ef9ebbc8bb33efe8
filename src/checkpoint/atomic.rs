//! This module replaces a file in one moment: a reader, or a machine that comes up again, finds the old file or the
//! new one.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

use super::error::Error;

/// The end of the names of files that are being written.
const SUFFIX: &str = ".saving";

/// The most bytes of the file's own name in the name of the file that is written: file systems allow 255 in all.
const MOST_OF_NAME: usize = 200;

/// The files that this process is writing.
static WRITING: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// A file that this process is writing, noted for as long as this lives.
struct Noted(PathBuf);

impl Noted {
    fn all() -> MutexGuard<'static, HashSet<PathBuf>> {
        WRITING.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        Self::all().remove(&self.0);
    }
}

/// Makes a file in a directory to be moved to `name`, and removes what is left over of such files.
fn beside(directory: &Path, name: &str) -> io::Result<(NamedTempFile, Noted)> {
    let most = MOST_OF_NAME.min(name.len());
    let end = (0..=most).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    let stem = format!(".{}.", &name[..end]);
    // No other thread is between making a file and noting it.
    let mut all = Noted::all();
    remove_left_over(directory, &stem, &all);
    let mut builder = tempfile::Builder::new();
    let prefix = format!("{stem}{}.", std::process::id());
    builder.prefix(&prefix).suffix(SUFFIX);
    // As any file that this user makes: the default is for the user alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(directory)?;
    all.insert(file.path().to_owned());
    let noted = Noted(file.path().to_owned());
    Ok((file, noted))
}

/// Writes a file beside its place, has the disk keep it, and only then moves it there.
///
/// The new file has the rights of the one that it replaces.
///
/// # Errors
/// If the place is a directory, a device or a pipe, its directory is not there or cannot be written, the disk is
/// full, or `write` fails. The old file stays.
pub fn write_file<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    let old = ordinary(path)?;
    // Through a link, so that what it points to is replaced and not the link.
    let path = path.canonicalize().unwrap_or_else(|_| target(path));
    let failed = |does| {
        let place = path.display().to_string();
        let remedy = "a file that was there is unharmed; make room or name another place";
        move |e: io::Error| Error::File { place, does, message: e.to_string(), remedy }
    };
    let Some(name) = path.file_name() else {
        return Err(failed("naming the file")(io::Error::other("it has no name")).into());
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // Whole, so that all threads know its files under one name.
    let directory = directory.canonicalize().map_err(failed("finding its directory"))?;
    let path = directory.join(name);
    let made = beside(&directory, &name.to_string_lossy());
    let (mut whole, _noted) = made.map_err(failed("making a file beside it"))?;
    // Before the first byte, so that nobody reads it who could not read the old one.
    let kept = old.map_or(Ok(()), |old| keep_rights(whole.as_file(), &old));
    kept.map_err(failed("giving it the rights of the old file"))?;
    write(whole.as_file_mut())?;
    whole.as_file().sync_all().map_err(failed("having the disk keep it"))?;
    whole.persist(&path).map_err(|e| failed("moving it there")(e.error))?;
    sync_directory(&directory).map_err(|e| {
        let remedy = "the new file is there, but may be gone if the machine stops now; save again";
        let (place, message) = (path.display().to_string(), e.to_string());
        Error::File { place, does: "having the disk keep its name", message, remedy }
    })?;
    Ok(())
}

/// The file that is at a place, if one is. To put a file in the place of anything else would destroy that.
fn ordinary(path: &Path) -> Result<Option<Metadata>, Error> {
    let refused = |message: &str| {
        let (place, message) = (path.display().to_string(), message.to_owned());
        Err(Error::File { place, does: "naming the file", message, remedy: "name another" })
    };
    let old = std::fs::metadata(path).ok();
    let kind = old.as_ref().map(Metadata::file_type);
    let text = path.as_os_str().as_encoded_bytes();
    let is_named_directory = text.ends_with(b"/") || text.ends_with(b"/.");
    match kind {
        Some(kind) if kind.is_dir() => refused("it is a directory"),
        Some(kind) if !kind.is_file() => refused("it is there and no ordinary file"),
        _ if is_named_directory => refused("only a directory's name ends with `/`"),
        _ => Ok(old),
    }
}

/// Gives a file the owner, as far as this user may, and the rights of another.
#[cfg(unix)]
fn keep_rights(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let new = file.metadata()?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        // Only root may give a file away.
        let _ = fchown(file, Some(old.uid()), Some(old.gid()));
    }
    // Some file systems have no rights to give.
    if old.permissions() == new.permissions() {
        return Ok(());
    }
    file.set_permissions(old.permissions())
}

/// Other systems have no rights of this kind.
#[cfg(not(unix))]
fn keep_rights(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

/// The file that a link points to which is not there yet.
fn target(path: &Path) -> PathBuf {
    let Ok(to) = std::fs::read_link(path) else { return path.to_owned() };
    path.parent().unwrap_or(Path::new("")).join(to)
}

/// Has the disk keep the names in a directory.
#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Other systems open no directories.
#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes what processes left there that were killed while they wrote this file. Only Linux tells which processes
/// are gone. One with the number of this process is gone, too, unless it is this one: in a container, a program that
/// is started again often has the number that it had.
fn remove_left_over(directory: &Path, stem: &str, writing: &HashSet<PathBuf>) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let is_gone = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let of = name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(SUFFIX));
        // A number and random letters: with more parts, it is that of a file whose name is longer.
        let parts = of.and_then(|of| of.split_once('.'));
        let own = parts.filter(|(process, random)| {
            process.bytes().all(|c| c.is_ascii_digit()) && !random.contains('.')
        });
        let process = own.and_then(|(process, _)| process.parse::<u32>().ok());
        process.is_some_and(|process| match process == std::process::id() {
            true => !writing.contains(path),
            false => !Path::new(&format!("/proc/{process}")).exists(),
        })
    };
    let all = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for path in all.map(|entry| entry.path()).filter(is_gone) {
        // Another process may have done it, which is as good.
        let _ = std::fs::remove_file(path);
    }
}
