//! Checkpoints of a run: what is in their notes, how they are written beside the training, and how it goes on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use serde_json::Value;
use wgpu_optim::checkpoint::{self, Container, SaveOptions, Saved, Snapshot};
use wgpu_optim::headless::Gpu;
use wgpu_optim::{Group, Optimizer, config, wgpu};

use super::Result;
use super::network::{CLASSES, HIDDEN, INPUTS, Network};
use super::options::Options;
use super::settings::{Course, Settings};

/// The note that tells this program's files from others, and its text.
const MARK: (&str, &str) = ("example", "digits");

/// The settings that come with a file of another program.
const FOREIGN: [&str; 6] = ["run", "lr", "schedule", "state-format", "clip", "loss-scale"];

/// The setting that a file has in its optimizer's options alone, where slots may differ.
const OF_GROUP: &str = "state-format";

/// The names of the settings that are in the notes.
fn noted() -> impl Iterator<Item = &'static str> {
    Settings::KEYS.into_iter().map(|(key, _)| key).filter(|key| *key != OF_GROUP)
}

/// The note with the network, which no option changes.
fn network() -> (&'static str, String) {
    ("network", format!("{INPUTS}-{HIDDEN}-{CLASSES}"))
}

/// Everything that the run depends on besides its optimizer: the settings, and the place in the shuffled data, as
/// the epochs behind and the mini-batches behind in the next one. The order itself follows from the seed.
pub(crate) fn notes(settings: &Settings, [epoch, batch]: [usize; 2]) -> SaveOptions {
    let (key, text) = network();
    let fixed = SaveOptions::default()
        .shape("w1", &[INPUTS, HIDDEN])
        .shape("w2", &[HIDDEN, CLASSES])
        .note(MARK.0, MARK.1)
        .note(key, &text)
        .note("epochs behind", &epoch.to_string())
        .note("batches behind", &batch.to_string());
    let put = |options: SaveOptions, key: &str| options.note(key, &settings.text(key));
    noted().fold(fixed, put)
}

/// A checkpoint to go on from.
pub(crate) struct Found {
    path: PathBuf,
    saved: Saved,
}

impl Found {
    /// Reads the host's part of a file. [`Found::load`] checks the rest of it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let place = path.display();
        let failed = |message: String| format!("{place}: {message}");
        let file = File::open(path).map_err(|e| failed(e.to_string()))?;
        let file = Container::open(file).map_err(failed)?;
        let saved = Saved::of(&file).map_err(|wrong| failed(wrong.join("; ")))?;
        Ok(Self { path: path.to_owned(), saved })
    }

    fn is_own(&self) -> bool {
        self.saved.notes.get(MARK.0).is_some_and(|text| text == MARK.1)
    }

    fn note(&self, key: &str) -> Result<&str> {
        let text = self.saved.notes.get(key).map(String::as_str);
        text.ok_or_else(|| format!("{}: its notes have no `{key}`", self.path.display()).into())
    }

    /// The settings of the file's run, which must be those that were given on the command line.
    pub(crate) fn settings(&self, options: &Options) -> Result<Settings> {
        if !self.is_own() {
            return self.settings_of_another_program(options);
        }
        let place = self.path.display();
        let mut settings = Settings::default();
        for key in noted() {
            let wrong = |message| format!("{place}: its notes: {message}");
            settings.set(key, self.note(key)?.as_ref()).map_err(wrong)?;
        }
        settings.state_format = self.group()?.state_format;
        let (key, here) = network();
        let there = self.note(key)?;
        if there != here {
            return Err(
                format!("{place} is of a run with {key} {there}, this program has {here}").into()
            );
        }
        for key in &options.given {
            // A run that follows no schedule may be made longer.
            if *key == "epochs" && settings.schedule == Course::Constant {
                settings.epochs = options.settings.epochs;
            }
            let (there, here) = (settings.text(key), options.settings.text(key));
            if there != here {
                return Err(format!(
                    "{place} is of a run with {key} {there}, but `--{key} {here}` was given; \
                     leave that out, or begin a run of its own"
                )
                .into());
            }
        }
        Ok(settings)
    }

    /// The settings where a file has parameters, state and options, but no place in these data.
    fn settings_of_another_program(&self, options: &Options) -> Result<Settings> {
        let place = self.path.display();
        if let Some(key) = FOREIGN.iter().find(|key| options.given.contains(**key)) {
            return Err(format!(
                "{place} is no file of this program, and has the optimizer's options in it; leave out `--{key}`"
            )
            .into());
        }
        let Group { rule, lr, state_format, .. } = self.group()?;
        let (rule, control) = (rule.name().to_owned(), self.saved.control);
        Ok(Settings { rule, lr, state_format, control, ..options.settings.clone() })
    }

    /// The first of the file's groups.
    fn group(&self) -> Result<Group> {
        let group = self.groups()?.into_iter().next();
        let place = self.path.display();
        group.ok_or_else(|| format!("{place}: it has no group of parameters").into())
    }

    /// The file's groups. A run from another program may have several.
    fn groups(&self) -> Result<Vec<Group>> {
        let group = |options| config::group(Value::Object(options));
        let groups = self.saved.groups.iter().map(|of| group(of.options.clone()));
        groups.collect::<Result<_, _>>().map_err(|e| format!("{}: {e}", self.path.display()).into())
    }

    /// Gives an empty optimizer the file's groups and the network's parameters, and loads both.
    pub(crate) fn load(
        &self,
        gpu: &Gpu,
        optimizer: &mut Optimizer,
        network: &Network,
    ) -> Result<()> {
        let groups = self.groups()?.into_iter().map(|group| optimizer.add_group(group));
        let groups = groups.collect::<Result<Vec<_>, _>>()?;
        for (name, param, grad) in network.parameters() {
            // A parameter that the file does not have is for `load` to name.
            let of = self.saved.params.iter().find(|of| of.name == name);
            let group = groups.get(of.map_or(0, |of| of.group));
            let group = group.ok_or_else(|| format!("{}: it has no group", self.path.display()))?;
            optimizer.add_param(*group, name, param, grad)?;
        }
        Ok(optimizer.load(&gpu.queue, &self.path)?)
    }

    /// The mini-batches behind, of all epochs, which have this many together.
    pub(crate) fn place(&self, settings: &Settings, batches: usize) -> Result<usize> {
        let place = self.path.display();
        let counted =
            self.saved.recorded as usize * settings.accumulate as usize + self.saved.added as usize;
        if self.is_own() {
            let number = |key| Ok::<_, super::Error>(self.note(key)?.parse::<usize>()?);
            let (epoch, batch) = (number("epochs behind")?, number("batches behind")?);
            let noted = epoch * (batches / settings.epochs) + batch;
            if noted != counted {
                return Err(format!(
                    "{place}: by its notes, {noted} batches are behind, by its optimizer {counted}"
                )
                .into());
            }
        }
        if counted > batches {
            let epochs = settings.epochs;
            return Err(format!(
                "{place} has {counted} batches behind it, more than the {batches} of {epochs} epochs; \
                 give more `--epochs`"
            )
            .into());
        }
        Ok(counted)
    }

    /// The way in which the run goes on, for the terminal.
    pub(crate) fn how(&self) -> String {
        let place = self.path.display();
        if self.is_own() {
            return format!("goes on from {place}");
        }
        format!("{place} has no notes of this program, so the data begin at its optimizer's step")
    }
}

/// The writer of checkpoints, on a thread of its own, one at a time.
pub(crate) struct Saver {
    queue: wgpu::Queue,
    path: Option<PathBuf>,
    running: Option<JoinHandle<Result<(), checkpoint::Error>>>,
}

impl Saver {
    /// Takes the place where files are to be.
    pub(crate) fn new(queue: &wgpu::Queue, path: Option<&Path>) -> Result<Self> {
        // Before the work, lest it be in vain.
        let directory = path.and_then(Path::parent).filter(|one| !one.as_os_str().is_empty());
        if let Some(directory) = directory.filter(|one| !one.is_dir()) {
            return Err(format!("`--save`: there is no directory {}", directory.display()).into());
        }
        Ok(Self { queue: queue.clone(), path: path.map(Path::to_owned), running: None })
    }

    /// Waits for the file that is being written, if one is.
    pub(crate) fn wait(&mut self) -> Result<()> {
        match self.running.take().map(JoinHandle::join) {
            Some(Ok(written)) => Ok(written?),
            Some(Err(_)) => Err("the thread that writes checkpoints has ended in a panic".into()),
            None => Ok(()),
        }
    }

    /// Begins to write a snapshot whose copies are submitted. No other may be on its way.
    pub(crate) fn start(&mut self, snapshot: Snapshot) {
        if let Some(path) = self.path.clone() {
            let queue = self.queue.clone();
            self.running = Some(std::thread::spawn(move || snapshot.save(&queue, path)));
        }
    }

    /// Writes the last snapshot, and returns the checksum of the file. Without a file to keep, it is one that goes.
    pub(crate) fn finish(mut self, snapshot: Snapshot) -> Result<String> {
        self.wait()?;
        let directory = tempfile::tempdir()?;
        let path = self.path.unwrap_or_else(|| directory.path().join("last"));
        snapshot.save(&self.queue, &path)?;
        let mut checksum = [0; 16];
        Container::open(File::open(path)?)?.read("checksum", 0, &mut checksum)?;
        Ok(format!("{:032x}", u128::from_be_bytes(checksum)))
    }
}
