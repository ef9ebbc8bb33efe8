//! This module kills processes that save. `WGPU_OPTIM_KILLS` sets how many.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Case, ok};
use wgpu_optim::checkpoint::{Container, Saved};
use wgpu_optim::{Control, Group};

use crate::fuzz::Random;
use crate::scene::{LAYOUTS, Scene};
use crate::small::Small;

/// The variable with the place of the file, set in processes that are to be killed.
const FILE: &str = "WGPU_OPTIM_CRASH_FILE";

/// The variable that tells such a process to train, rather than to save only.
const TRAINS: &str = "WGPU_OPTIM_CRASH_TRAINS";

/// The kills of a normal run.
const KILLS: usize = 220;

/// One kill in so many is of a process that trains.
const TRAINING: usize = 10;

/// A run that is saved after each step: on a device that computes nothing, or in earnest.
enum Run {
    Small(Box<Small>),
    Scene(Box<Scene>),
}

impl Run {
    fn new(trains: bool) -> Self {
        let control = Control { skip_nonfinite: true, ..Control::default() };
        let case = Case { control, ..Case::new(Group::adam(1e-2)) };
        match trains {
            true => Self::Scene(Box::new(Scene::new(&case, LAYOUTS[0]))),
            false => Self::Small(Box::new(Small::with(Control::default()))),
        }
    }

    /// Takes a step, which is number `number`.
    fn step(&mut self, number: u64) {
        match self {
            Self::Scene(scene) => scene.run(number..number + 1),
            Self::Small(small) => {
                small.step();
                // The device computes nothing, and yet each step has its own numbers.
                let view = ok(small.optimizer.state_dict()).views["param.a"].clone();
                small.queue.write_buffer(&view.buffer, view.offset, &number.to_le_bytes());
            }
        }
    }

    fn save(&mut self, path: &Path) {
        ok(match self {
            Self::Scene(scene) => scene.optimizer.save(&scene.gpu.queue, path),
            Self::Small(small) => small.optimizer.save(&small.queue, path),
        });
    }

    fn load(&mut self, path: &Path) {
        ok(match self {
            Self::Scene(scene) => scene.optimizer.load(&scene.gpu.queue, path),
            Self::Small(small) => small.optimizer.load(&small.queue, path),
        });
    }

    fn bytes(&mut self) -> Vec<u8> {
        match self {
            Self::Scene(scene) => scene.bytes(),
            Self::Small(small) => small.bytes(),
        }
    }
}

/// The steps in a file, which has to be whole.
fn steps(path: &Path) -> u64 {
    let mut file = ok(Container::open(ok(std::fs::File::open(path))));
    ok(file.verify());
    let saved = Saved::of(&file);
    saved.unwrap_or_else(|differences| panic!("{differences:?}")).recorded
}

/// The process that is killed: it goes on from the file, and saves after each step.
#[test]
fn saves_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let path = Path::new(&path);
    let mut run = Run::new(std::env::var_os(TRAINS).is_some());
    run.load(path);
    let begun = Instant::now();
    println!("\nsaving");
    for number in steps(path).. {
        run.step(number);
        run.save(path);
        // Nobody came to kill it.
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}

/// Starts such a process, and kills it after a random while.
fn kill(path: &Path, trains: bool, random: &mut Random) {
    let mut command = Command::new(ok(std::env::current_exe()));
    command.args(["--exact", "crash::saves_until_it_is_killed", "--nocapture"]).env(FILE, path);
    if trains {
        command.env(TRAINS, "yes");
    }
    let mut child = ok(command.stdout(Stdio::piped()).spawn());
    let output = child.stdout.take().map(BufReader::new);
    let mut lines = output.into_iter().flat_map(|output| output.lines());
    assert!(lines.any(|line| line.is_ok_and(|line| line == "saving")), "it has not begun");
    std::thread::sleep(Duration::from_micros(1000 + random.below(50_000) as u64));
    // SIGKILL, which no process survives or answers.
    ok(child.kill());
    let status = ok(child.wait());
    assert!(status.code().is_none(), "it ended by itself: {status}");
}

/// Whenever a process is killed, the file is whole, and has the bits of the run that nobody kills.
#[cfg(unix)]
#[test]
fn no_kill_loses_a_checkpoint() {
    let count = std::env::var("WGPU_OPTIM_KILLS").ok().map(|text| ok(text.parse()));
    let count: usize = count.unwrap_or(KILLS);
    let begun = Instant::now();
    let mut random = Random(7);
    let mut saves = 0;
    let mut left_overs = 0;
    for trains in [false, true] {
        let directory = ok(tempfile::tempdir());
        let path = directory.path().join("run.safetensors");
        let files = || ok(std::fs::read_dir(directory.path())).count();
        let mut unbroken = Run::new(trains);
        unbroken.save(&path);
        let mut at = steps(&path);
        let first = at;
        let kills = if trains { count / TRAINING } else { count - count / TRAINING };
        for number in 0..kills {
            kill(&path, trains, &mut random);
            left_overs += files() - 1;
            let reached = steps(&path);
            for step in at..reached {
                unbroken.step(step);
            }
            at = reached;
            let same = ok(std::fs::read(&path)) == unbroken.bytes();
            assert!(same, "kill {number}: not the bits of step {at}");
        }
        assert!(at > first, "nothing was saved");
        saves += at - first;
        // A run that begins anew goes on exactly, and tidies up.
        let mut resumed = Run::new(trains);
        resumed.load(&path);
        for run in [&mut unbroken, &mut resumed] {
            (at..at + 3).for_each(|step| run.step(step));
        }
        assert!(resumed.bytes() == unbroken.bytes());
        resumed.save(&path);
        assert_eq!(files(), 1);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{count} kills during {saves} saves in {seconds:.1} s, {left_overs} in the middle of a file: 0 checkpoints lost"
    );
}
