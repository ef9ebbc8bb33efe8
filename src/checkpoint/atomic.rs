//! This module replaces a file in one moment: a reader, or a machine that comes up again, finds the old file or the
//! new one.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::error::Error;

/// The end of the names of files that are being written.
const SUFFIX: &str = ".saving";

/// Writes a file beside its place, has the disk keep it, and only then moves it there.
///
/// # Errors
/// If the directory is not there or cannot be written, the disk is full, or `write` fails. The old file stays.
pub fn write_file<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    // Through a link, so that what it points to is replaced and not the link.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let failed = |does| {
        let place = path.display().to_string();
        let remedy = "the file that was there is unharmed; make room or name another place";
        move |e: io::Error| Error::File { place, does, message: e.to_string(), remedy }
    };
    let Some(name) = path.file_name().filter(|_| !path.is_dir()) else {
        return Err(failed("naming the file")(io::Error::other("it is a directory")).into());
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let stem = format!(".{}.", name.to_string_lossy());
    remove_left_over(directory, &stem);
    let mut builder = tempfile::Builder::new();
    let prefix = format!("{stem}{}.", std::process::id());
    builder.prefix(&prefix).suffix(SUFFIX);
    // As any file that this user makes: the default is for the user alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut whole = builder.tempfile_in(directory).map_err(failed("making a file beside it"))?;
    write(whole.as_file_mut())?;
    whole.as_file().sync_all().map_err(failed("having the disk keep it"))?;
    whole.persist(&path).map_err(|e| failed("moving it there")(e.error))?;
    sync_directory(directory).map_err(failed("having the disk keep its name"))?;
    Ok(())
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
/// are gone.
fn remove_left_over(directory: &Path, stem: &str) {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let is_gone = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let of = name.strip_prefix(stem).filter(|rest| rest.ends_with(SUFFIX));
        let process = of.and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists())
    };
    let all = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for path in all.map(|entry| entry.path()).filter(is_gone) {
        // Another process may have done it, which is as good.
        let _ = std::fs::remove_file(path);
    }
}
