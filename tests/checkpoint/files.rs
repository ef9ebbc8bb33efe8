//! This module saves where the file system refuses, and looks at what is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Case, ok};
use tempfile::TempDir;
use wgpu_optim::Group;
use wgpu_optim::checkpoint::{Container, SaveOptions};

use crate::scene::{LAYOUTS, Scene};

/// The names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let entries = ok(fs::read_dir(directory));
    let mut all: Vec<String> =
        entries.map(|entry| ok(entry).file_name().to_string_lossy().into_owned()).collect();
    all.sort();
    all
}

fn is_whole(path: &Path) -> bool {
    Container::open(ok(fs::File::open(path))).is_ok_and(|mut file| file.verify().is_ok())
}

/// A run, its twin that never saves, and a directory.
struct Run {
    scene: Scene,
    twin: Scene,
    steps: u64,
    directory: TempDir,
}

impl Run {
    fn new() -> Self {
        let case = Case::new(Group::adam(1e-2));
        let [scene, twin] = [0, 0].map(|_| Scene::new(&case, LAYOUTS[0]));
        let mut run = Self { scene, twin, steps: 0, directory: ok(tempfile::tempdir()) };
        run.goes_on();
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn save(&mut self, path: &Path) {
        ok(self.scene.optimizer.save(&self.scene.gpu.queue, path));
    }

    /// Expects an error that begins with the place, and that training goes on exactly.
    #[track_caller]
    fn fails(&mut self, path: &Path, words: &str) -> String {
        let saved = self.scene.optimizer.save(&self.scene.gpu.queue, path);
        let error = saved.expect_err("a save that cannot be").to_string();
        assert!(error.contains(words), "`{words}` is not in: {error}");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        assert!(error.contains(&*name), "the file is not named: {error}");
        self.goes_on();
        error
    }

    #[track_caller]
    fn goes_on(&mut self) {
        for scene in [&mut self.scene, &mut self.twin] {
            scene.run(self.steps..self.steps + 2);
        }
        self.steps += 2;
        self.scene.assert_equals(&mut self.twin, "after a save");
    }
}

#[test]
fn impossible_places_are_told() {
    let mut run = Run::new();
    let directory = run.directory.path().to_owned();
    // A file instead of a directory.
    let file = run.path("file");
    fs::write(&file, "text").unwrap_or_else(|e| panic!("{e}"));
    run.fails(&file.join("run.safetensors"), "Not a directory");
    // A directory instead of a file.
    let inner = run.path("inner");
    ok(fs::create_dir(&inner));
    run.fails(&inner, "it is a directory");
    for name in ["new/", "file/", "file/."] {
        let error = run.fails(&directory.join(name), "only a directory's name ends with `/`");
        assert!(error.ends_with("; name another"), "{error}");
    }
    // A directory that has gone.
    let path = inner.join("run.safetensors");
    run.save(&path);
    ok(fs::remove_dir_all(&inner));
    run.fails(&path, "No such file or directory");
    assert_eq!(names(&directory), ["file"]);
    assert_eq!(ok(fs::read(&file)), b"text");
}

/// A pipe stays one, also behind a link.
#[cfg(unix)]
#[test]
fn pipes_are_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let mut run = Run::new();
    let [pipe, link] = [run.path("pipe"), run.path("link")];
    assert!(ok(Command::new("mkfifo").arg(&pipe).status()).success());
    ok(std::os::unix::fs::symlink("pipe", &link));
    for path in [&pipe, &link] {
        let error = run.fails(path, "it is there and no ordinary file");
        assert!(error.ends_with("; name another"), "{error}");
        assert!(ok(fs::symlink_metadata(&pipe)).file_type().is_fifo());
    }
    assert_eq!(names(run.directory.path()), ["link", "pipe"]);
}

/// A device that takes no bytes, and a place where no file can be made: root may write almost everywhere else.
#[cfg(target_os = "linux")]
#[test]
fn refusing_file_systems_are_told() {
    let mut run = Run::new();
    run.fails(Path::new("/proc/run.safetensors"), "making a file beside it failed");
    let directory = run.path("locked");
    ok(fs::create_dir(&directory));
    let path = directory.join("run.safetensors");
    run.save(&path);
    let before = ok(fs::read(&path));
    let mode = |mode: u32| {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        ok(fs::set_permissions(&directory, permissions));
    };
    mode(0o555);
    run.goes_on();
    // Root writes there in spite of it.
    if fs::write(directory.join("probe"), "").is_err() {
        run.fails(&path, "Permission denied");
        assert!(ok(fs::read(&path)) == before);
    }
    mode(0o755);
    let _ = fs::remove_file(directory.join("probe"));
    assert_eq!(names(&directory), ["run.safetensors"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed() {
    let mut run = Run::new();
    let inner = run.path("inner");
    ok(fs::create_dir(&inner));
    let [link, target] = [run.path("link"), inner.join("run.safetensors")];
    ok(std::os::unix::fs::symlink("inner/run.safetensors", &link));
    // First to where nothing is, then to a file.
    for _ in 0..2 {
        run.save(&link);
        assert!(ok(fs::symlink_metadata(&link)).is_symlink());
        assert!(ok(fs::symlink_metadata(&target)).is_file());
        assert!(is_whole(&target));
        assert_eq!(names(&inner), ["run.safetensors"]);
    }
    ok(run.scene.optimizer.load(&run.scene.gpu.queue, &link));
    run.goes_on();
}

/// A new file has the rights that any program's has, one in the place of another those of that one.
#[cfg(unix)]
#[test]
fn rights_are_the_users() {
    use std::os::unix::fs::PermissionsExt;
    let mut run = Run::new();
    let [plain, path] = [run.path("plain"), run.path("run.safetensors")];
    ok(fs::write(&plain, ""));
    run.save(&path);
    let mode = |path: &Path| ok(fs::metadata(path)).permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
    for rights in [0o600, 0o640, 0o400] {
        ok(fs::set_permissions(&path, PermissionsExt::from_mode(rights)));
        run.save(&path);
        assert_eq!(mode(&path) & 0o7777, rights);
    }
    assert!(is_whole(&path));
}

/// The files that a dead process left are removed, those of a living one are not.
#[cfg(target_os = "linux")]
#[test]
fn left_overs_are_removed() {
    let mut run = Run::new();
    let mut child = ok(Command::new("true").spawn());
    let dead = child.id();
    ok(child.wait());
    let mut living = ok(Command::new("sleep").arg("60").spawn());
    let left = |process: u32| format!(".run.safetensors.{process}.aBcDeF.saving");
    let others = [
        left(living.id()),
        // A file of `run.safetensors.100`, or of one whose end is the number of a dead process.
        format!(".run.safetensors.{dead}.{}.aBcDeF.saving", living.id()),
        format!(".run.safetensors.{dead}.saving"),
        format!(".other.safetensors.{dead}.aBcDeF.saving"),
        format!(".run.safetensors.{dead}.aBcDeF"),
        ".run.safetensors.x.aBcDeF.saving".to_owned(),
    ];
    // The last is one of a process that had the number of this one.
    for name in others.iter().chain(&[left(dead), left(std::process::id())]) {
        ok(fs::write(run.path(name), "part"));
    }
    let path = run.path("run.safetensors");
    run.save(&path);
    ok(living.kill());
    ok(living.wait());
    let mut expected = others.to_vec();
    expected.push("run.safetensors".to_owned());
    expected.sort();
    assert_eq!(names(run.directory.path()), expected);
    // Once the other process has gone, so does its file.
    run.save(&path);
    expected.retain(|name| *name != others[0]);
    assert_eq!(names(run.directory.path()), expected);
}

/// A save leaves alone what another is writing whose name begins alike and goes on with a number.
#[cfg(target_os = "linux")]
#[test]
fn names_with_numbers_keep_apart() {
    let mut run = Run::new();
    let mut child = ok(Command::new("true").spawn());
    let dead = child.id();
    ok(child.wait());
    let own = std::process::id();
    // As the number of a process, each but perhaps the first is that of one that has gone.
    for number in ["100".to_owned(), dead.to_string(), "4294967295".to_owned()] {
        let theirs = run.path(&format!(".ckpt.{number}.{own}.aBcDeF.saving"));
        let left = run.path(&format!(".ckpt.{dead}.aBcDeF.saving"));
        for path in [&theirs, &left] {
            ok(fs::write(path, "part"));
        }
        run.save(&run.path("ckpt"));
        assert!(theirs.exists() && !left.exists(), "{number}");
        run.save(&run.path(&format!("ckpt.{number}")));
        assert!(!theirs.exists(), "{number}");
    }
}

/// Threads that save to one place at once leave one of their files, and nothing else.
#[test]
fn threads_write_at_once() {
    let mut run = Run::new();
    let path = run.path("run.safetensors");
    for _ in 0..10 {
        let snapshots = [0; 4].map(|_| {
            let mut encoder = run.scene.gpu.device.create_command_encoder(&Default::default());
            let snapshot = run.scene.optimizer.snapshot(&mut encoder, &SaveOptions::default());
            run.scene.gpu.queue.submit([encoder.finish()]);
            ok(snapshot)
        });
        std::thread::scope(|scope| {
            for snapshot in snapshots {
                scope.spawn(|| ok(snapshot.save(&run.scene.gpu.queue, &path)));
            }
        });
        assert!(is_whole(&path));
        assert_eq!(names(run.directory.path()), ["run.safetensors"]);
        run.goes_on();
    }
}

/// Names that are long, hidden or no text.
#[cfg(target_os = "linux")]
#[test]
fn names_of_any_kind_are_written() {
    use std::os::unix::ffi::OsStrExt;
    let mut run = Run::new();
    let long = "x".repeat(255);
    let mut names =
        vec![run.path("with space"), run.path(".hidden"), run.path("ä"), run.path(&long)];
    names.push(run.directory.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe")));
    for path in names {
        run.save(&path);
        assert!(is_whole(&path), "{}", path.display());
        ok(run.scene.optimizer.load(&run.scene.gpu.queue, &path));
    }
    run.goes_on();
}

/// The variable that is set in a namespace of the test's own.
#[cfg(target_os = "linux")]
const NAMESPACE: &str = "WGPU_OPTIM_NAMESPACE";

/// The mount of a small file system, for as long as this lives.
#[cfg(target_os = "linux")]
struct Tmpfs<'a>(&'a Path);

#[cfg(target_os = "linux")]
impl<'a> Tmpfs<'a> {
    fn mount(at: &'a Path) -> Result<Self, String> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=80k", "tmpfs"]).arg(at);
        let output = mount.output().map_err(|e| e.to_string())?;
        let why = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() { Ok(Self(at)) } else { Err(why()) }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// Runs a test in a namespace where a user may mount file systems. Tells why not if there is none.
#[cfg(target_os = "linux")]
fn in_a_namespace(test: &str) -> Result<(), String> {
    let may = Command::new("unshare").args(["-rm", "true"]).output().map_err(|e| e.to_string())?;
    if !may.status.success() {
        return Err(String::from_utf8_lossy(&may.stderr).trim().to_owned());
    }
    let mut again = Command::new("unshare");
    again.arg("-rm").arg(ok(std::env::current_exe())).args(["--exact", test, "--nocapture"]);
    assert!(ok(again.env(NAMESPACE, "yes").status()).success(), "{test} in a namespace");
    Ok(())
}

/// A disk without room leaves the old file and nothing else.
#[cfg(target_os = "linux")]
#[test]
fn full_disks_are_told() {
    let mut run = Run::new();
    let directory = run.path("small");
    ok(fs::create_dir(&directory));
    let _mount = match Tmpfs::mount(&directory) {
        Ok(mount) => mount,
        Err(why) if std::env::var_os(NAMESPACE).is_some() => {
            println!("a full disk is not tested: {why}");
            return;
        }
        Err(why) => {
            if let Err(other) = in_a_namespace("files::full_disks_are_told") {
                println!("a full disk is not tested: {why}; {other}");
            }
            return;
        }
    };
    let path = directory.join("run.safetensors");
    run.save(&path);
    let before = ok(fs::read(&path));
    assert!((40_000..60_000).contains(&before.len()), "{} bytes", before.len());
    for filled in [0, 10_000, 30_000] {
        ok(fs::write(directory.join("filler"), vec![0; filled]));
        let error = run.fails(&path, "No space left on device");
        assert!(
            error.ends_with("a file that was there is unharmed; make room or name another place"),
            "{error}"
        );
        assert!(ok(fs::read(&path)) == before);
        assert_eq!(names(&directory), ["filler", "run.safetensors"]);
    }
    ok(fs::remove_file(directory.join("filler")));
    ok(fs::remove_file(&path));
    run.save(&path);
    assert!(is_whole(&path));
}
