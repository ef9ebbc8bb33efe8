//! The example `digits` as a single run: it is killed, and goes on from its checkpoints to the same bits.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::tools::example;
use wgpu_optim::checkpoint::{Container, KEY, Saved, Writer};

/// Everything that a checkpoint must keep: a master, clipping, a dynamic scale that skips steps, sums of gradients
/// across epochs, and a schedule.
const ALL: &str = "--run adamw --lr 3e-2 --batch 4 --precision f16 --clip 1 --loss-scale dynamic --accumulate 4 --schedule cosine --epochs 3";

/// Remainders of bf16, and a checkpoint at each of few steps.
const BF16: &str = "--run rmsprop --precision bf16 --clip 0.5 --loss-scale 128 --accumulate 2 --epochs 12 --seed 7";

fn digits(arguments: &str, file: &Path, by: &str) -> Command {
    let mut command = Command::new(example("digits"));
    command.args(arguments.split_whitespace());
    if !by.is_empty() {
        command.arg(by).arg(file);
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs to the end, and returns all that was printed.
fn finished(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the example starts");
    assert!(status.success(), "{status}\n{}\n{}", text(&stdout), text(&stderr));
    text(&stdout)
}

fn refused(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the example starts");
    assert_eq!(status.code(), Some(1), "{}", text(&stdout));
    text(&stderr)
}

/// The checksum of all bits at the end of a run.
fn checksum(printed: &str) -> &str {
    let line = printed.lines().find(|line| line.starts_with("checksum "));
    line.and_then(|line| line.split(' ').nth(1)).unwrap_or_else(|| panic!("{printed}"))
}

/// The command that goes on from the file, or begins anew where there is none, and saves to it.
fn continued(arguments: &str, every: u32, file: &Path) -> Command {
    let mut command = digits(arguments, file, "--save");
    // Otherwise after each epoch, whose end may be in the middle of a sum of gradients.
    if random() < 0.5 {
        command.arg("--save-every").arg(every.to_string());
    }
    if file.exists() {
        command.arg("--resume").arg(file);
    }
    command
}

/// A number in `[0, 1)` that no run foresees.
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0) as f64 / 2.0_f64.powi(64)
}

/// A run that is on its way.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    printed: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the example starts");
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, stdout, printed: String::new() }
    }

    /// Waits until training begins.
    fn wait_for_training(&mut self) {
        while !self.printed.contains(", seed ") {
            let read = self.stdout.read_line(&mut self.printed).expect("a line");
            assert!(read > 0, "{}", self.printed);
        }
    }

    /// Lets it run for some time at most, and kills it. Returns what it printed, and whether it came to its end.
    fn end(mut self, after: Duration) -> (String, bool) {
        let until = Instant::now() + after;
        while self.child.try_wait().expect("its state").is_none() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.child.kill().expect("it can be killed");
        let status = self.child.wait().expect("it ends");
        self.stdout.read_to_string(&mut self.printed).expect("its output");
        assert!(matches!(status.code(), None | Some(0)), "{status}\n{}", self.printed);
        (self.printed, status.success())
    }
}

/// Kills a run at random moments, and compares its end with that of one that nobody killed. Returns what the latter
/// printed.
fn crash(arguments: &str, every: u32) -> String {
    const LONG: Duration = Duration::from_secs(60);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("run.safetensors");
    let mut unbroken = Running::start(digits(arguments, &file, ""));
    let start = Instant::now();
    unbroken.wait_for_training();
    let (begins, start) = (start.elapsed(), Instant::now());
    let (unbroken, _) = unbroken.end(LONG);
    let trains = start.elapsed();

    let (mut killed, mut resumed) = (0, 0);
    let ended = loop {
        let mut running = Running::start(continued(arguments, every, &file));
        let after = match killed {
            0 => begins.mul_f64(random()),
            6.. => LONG,
            _ => {
                running.wait_for_training();
                trains.mul_f64(0.4 * random())
            }
        };
        let (printed, is_whole) = running.end(after);
        resumed += u32::from(printed.contains("goes on from") && printed.contains(", batch "));
        if is_whole {
            break printed;
        }
        killed += 1;
    };
    println!("{killed} times killed, {resumed} times resumed midway; {trains:?} unbroken");
    assert_eq!(checksum(&ended), checksum(&unbroken), "{arguments}\n{unbroken}\n{ended}");
    assert!(killed > 1 && resumed > 0, "{killed} times killed, {resumed} times resumed");
    let left: Vec<_> = std::fs::read_dir(directory.path()).expect("the directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    unbroken
}

#[test]
fn a_killed_run_with_everything_ends_with_the_bits_of_an_unbroken_one() {
    let printed = crash(ALL, 3);
    assert!(printed.contains(" of 270 steps skipped") && !printed.contains("\n0 of"), "{printed}");
}

#[test]
fn a_killed_run_in_bf16_ends_with_the_bits_of_an_unbroken_one() {
    crash(BF16, 1);
}

#[test]
fn a_longer_run_goes_on_where_a_shorter_one_ended() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("run.safetensors");
    finished(digits("--run adam --epochs 1 --accumulate 2", &file, "--save"));
    let longer = finished(digits("--epochs 3", &file, "--resume"));
    assert!(longer.contains(": step 22, epoch 2, batch 1\n"), "{longer}");
    let whole = finished(digits("--run adam --epochs 3 --accumulate 2", &file, ""));
    assert_eq!(checksum(&longer), checksum(&whole));

    for (given, said) in [
        ("--seed 2", "is of a run with seed 1, but `--seed 2` was given"),
        ("--batch 16", "is of a run with batch 32, but `--batch 16` was given"),
        ("--run sgd", "is of a run with run adam, but `--run sgd` was given"),
        ("--precision f16", "is of a run with precision f32, but `--precision f16` was given"),
        (
            "--state-format block8",
            "is of a run with state-format f32, but `--state-format block8` was given",
        ),
        ("--clip 1", "is of a run with clip none, but `--clip 1` was given"),
    ] {
        let message = refused(digits(given, &file, "--resume"));
        assert!(message.contains(said), "{message}");
    }
    let nowhere = refused(digits("--run adam", &directory.path().join("none/file"), "--save"));
    assert!(nowhere.contains("`--save`: there is no directory"), "{nowhere}");
    let missing = refused(digits("", &directory.path().join("none"), "--resume"));
    assert!(missing.contains("none: No such file"), "{missing}");
    std::fs::write(&file, "no checkpoint at all").expect("the file is written");
    let damaged = refused(digits("", &file, "--resume"));
    assert!(damaged.contains("run.safetensors: its header claims"), "{damaged}");
}

#[test]
fn a_run_with_state_in_blocks_goes_on_to_the_same_bits() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("run.safetensors");
    finished(digits("--run adamw --epochs 1 --state-format block4", &file, "--save"));
    // Its format is in the file.
    let longer = finished(digits("--epochs 2", &file, "--resume"));
    let said = "parameters and gradients in f32, state in block4, norm not clipped";
    assert!(longer.contains(said), "{longer}");
    let whole = finished(digits("--run adamw --epochs 2 --state-format block4", &file, ""));
    assert_eq!(checksum(&longer), checksum(&whole));
    let others = finished(digits("--run adamw --epochs 2", &file, ""));
    assert_ne!(checksum(&longer), checksum(&others));

    without_notes(&file);
    let foreign = finished(digits("--epochs 2", &file, "--resume"));
    assert!(foreign.contains(said), "{foreign}");
    let message = refused(digits("--state-format block4", &file, "--resume"));
    assert!(message.contains("leave out `--state-format`"), "{message}");
}

/// Writes a file again as another program would: without notes.
fn without_notes(path: &Path) {
    let mut file = Container::open(File::open(path).expect("the file")).expect("a checkpoint");
    let text = file.metadata(KEY).expect("its metadata");
    let mut saved = Saved::from_json(text).expect("its metadata");
    saved.notes.clear();
    let metadata = [(KEY.to_owned(), saved.to_json().expect("JSON"))].into();
    let entries = file.entries();
    let mut writer = Writer::new(Vec::new(), &metadata, &entries).expect("memory");
    for entry in &entries {
        let mut bytes = vec![0; entry.bytes() as usize];
        file.read(&entry.name, 0, &mut bytes).expect("its bytes");
        writer.write(&bytes).expect("memory");
    }
    std::fs::write(path, writer.finish().expect("memory")).expect("the file is written");
}

#[test]
fn a_file_of_another_program_goes_on_at_its_optimizer_s_step() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("model.safetensors");
    finished(digits("--run adam --epochs 2 --seed 5", &file, "--save"));
    without_notes(&file);
    let resumed = finished(digits("--epochs 3 --seed 5", &file, "--resume"));
    let said = "no notes of this program, so the data begin at its optimizer's step: step 90, epoch 3, batch 1";
    assert!(resumed.contains(said), "{resumed}");
    let whole = finished(digits("--run adam --epochs 3 --seed 5", &file, ""));
    assert_eq!(checksum(&resumed), checksum(&whole));

    let message = refused(digits("--lr 1", &file, "--resume"));
    assert!(message.contains("is no file of this program") && message.contains("leave out `--lr`"));
    let message = refused(digits("--epochs 1", &file, "--resume"));
    assert!(message.contains("more than the 45 of 1 epochs"), "{message}");
    let message = refused(digits("--precision f16", &file, "--resume"));
    assert!(message.contains("`param.w1` is F32 in the file, F16 here"), "{message}");
}
