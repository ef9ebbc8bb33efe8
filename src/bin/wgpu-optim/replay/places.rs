//! The files of a run: each has a place of its own.

use std::path::{Path, PathBuf};

use crate::Failure;
use crate::trace::is_standard;

/// The file at the end of a path, whether it is there yet or not.
fn place(path: &Path) -> PathBuf {
    if let Ok(whole) = path.canonicalize() {
        return whole;
    }
    // A link may point to a file that is not there yet.
    let target = std::fs::read_link(path).map(|to| path.parent().unwrap_or(Path::new("")).join(to));
    let path = target.unwrap_or_else(|_| path.to_owned());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    match (parent.unwrap_or(Path::new(".")).canonicalize(), path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path,
    }
}

/// A file of a run, in words.
pub(super) type Named<'a> = (&'static str, Option<&'a Path>);

/// Whether no file that is to be written is another file of the run. Only a checkpoint may be written to where the run
/// goes on from: the second of `written` and the last of `read`.
pub(super) fn check_apart(read: &[Named<'_>; 3], written: &[Named<'_>; 2]) -> Result<(), Failure> {
    let is_file = |path: &&Path| !is_standard(path);
    for (i, (what, path)) in written.iter().enumerate() {
        let Some(path) = path.filter(is_file) else { continue };
        let own = place(path);
        let allowed = if i == 1 { 2 } else { 3 };
        for (other, path_of_other) in read[..allowed].iter().chain(&written[..i]) {
            if path_of_other.filter(is_file).is_some_and(|path| place(path) == own) {
                let path = path.display();
                return Err(
                    format!("{path}: {what} would overwrite {other}; write elsewhere").into()
                );
            }
        }
    }
    Ok(())
}

/// Finds out early whether a checkpoint can be written.
pub(super) fn check_save(save: &Path) -> Result<(), Failure> {
    let named = |e: &dyn std::fmt::Display| Failure::from(format!("{}: {e}", save.display()));
    if is_standard(save) {
        return Err(named(&"a checkpoint is a file that is replaced at once; name one"));
    }
    if save.is_dir() || save.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(named(&"is a directory; name a file"));
    }
    if save.exists() && !save.is_file() {
        return Err(named(&"is there and no ordinary file; name another"));
    }
    let place = place(save);
    let parent = place.parent().unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(named(&"its directory is not there; make it, or name a file elsewhere"));
    }
    let made = tempfile::Builder::new().prefix(".wgpu-optim-").tempfile_in(parent);
    made.map_err(|e| named(&format!("cannot write there: {e}; name a file elsewhere")))?;
    Ok(())
}
