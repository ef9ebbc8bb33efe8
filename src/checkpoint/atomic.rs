//! This module replaces a file in one moment: a reader, or a machine that comes up again, finds the old file or the
//! new one.

use std::collections::HashSet;
use std::fs::File;
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
/// # Errors
/// If the directory is not there or cannot be written, the disk is full, or `write` fails. The old file stays.
pub fn write_file<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    // Through a link, so that what it points to is replaced and not the link.
    let path = path.canonicalize().unwrap_or_else(|_| target(path));
    let failed = |does| {
        let place = path.display().to_string();
        let remedy = "a file that was there is unharmed; make room or name another place";
        move |e: io::Error| Error::File { place, does, message: e.to_string(), remedy }
    };
    let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
        return Err(failed("naming the file")(io::Error::other("it is a directory")).into());
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
        let of = name.strip_prefix(stem).filter(|rest| rest.ends_with(SUFFIX));
        let process = of.and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
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
