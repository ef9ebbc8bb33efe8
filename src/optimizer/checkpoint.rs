//! Saving and loading, as the caller sees them.

mod blocks;
mod compare;
mod restore;
mod sources;
mod upload;

use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

use super::Optimizer;
use crate::checkpoint::{
    CohortWords, Container, Error, LoadOptions, SaveOptions, Saved, Snapshot, StateDict, Words,
};
use crate::program::{CLOCK_WORDS, ControllerWords};

impl Optimizer {
    /// Writes everything that the next step depends on, parameters included, to a safetensors file, and waits for it.
    /// It submits copies to `queue`, after everything that was submitted before, and needs no memory on the device
    /// but for two chunks of at most 16 MiB. If parameters are at their averages ([`Optimizer::eval`]), it moves them
    /// back first, as a step does.
    ///
    /// ```no_run
    /// # fn f(opt: &mut wgpu_optim::Optimizer, queue: &wgpu::Queue) -> Result<(), wgpu_optim::checkpoint::Error> {
    /// opt.save(queue, "run.safetensors")?;
    /// opt.load(queue, "run.safetensors")?; // in another process: the same groups and parameters, in any order
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// A parameter's buffer without `COPY_SRC`, a file system that refuses, or a device that fails. The file that was
    /// there is then unharmed, and the optimizer goes on.
    pub fn save(&mut self, queue: &wgpu::Queue, path: impl AsRef<Path>) -> Result<(), Error> {
        self.save_with(queue, path, &SaveOptions::default())
    }

    /// [`Optimizer::save`] with choices.
    ///
    /// # Errors
    /// As there.
    pub fn save_with(
        &mut self,
        queue: &wgpu::Queue,
        path: impl AsRef<Path>,
        options: &SaveOptions,
    ) -> Result<(), Error> {
        let mut encoder = self.model.device.create_command_encoder(&Default::default());
        let snapshot = self.described(&mut encoder, options)?;
        queue.submit([encoder.finish()]);
        snapshot.save(queue, path)
    }

    /// Records copies of everything that the next step depends on into `encoder`, as of this moment. Training goes
    /// on, and [`Snapshot::save`] writes the file once the encoder is submitted, on this thread or another.
    ///
    /// The copies take as much memory on the device as the file has bytes; [`Optimizer::save`] takes none. If
    /// parameters are at their averages ([`Optimizer::eval`]), it records moving them back first.
    ///
    /// # Errors
    /// A parameter's buffer without `COPY_SRC`, a shape of another size than its parameter, or a device without room.
    pub fn snapshot(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        options: &SaveOptions,
    ) -> Result<Snapshot, Error> {
        let mut snapshot = self.described(encoder, options)?;
        sources::copy(&self.model.device, encoder, &mut snapshot.sources)?;
        Ok(snapshot)
    }

    /// A snapshot whose tensors still are where training changes them.
    fn described(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        options: &SaveOptions,
    ) -> Result<Snapshot, Error> {
        self.prepare()?;
        let sources = self.sources(options)?;
        let saved = self.saved(options)?;
        // Nothing fails from here on: parameters are moved if and only if the caller submits the encoder.
        self.train(encoder);
        let words = self.copy_words(encoder, &saved);
        let device = self.model.device.clone();
        Ok(Snapshot { device, saved, sources, words, memory: options.memory, progress: None })
    }

    /// Records copying the numbers of the GPU that a file has in its metadata.
    fn copy_words(&self, encoder: &mut wgpu::CommandEncoder, saved: &Saved) -> Option<Words> {
        let model = &self.model;
        let made = model.sums.made.as_ref().filter(|_| model.sums.added > 0);
        if model.controller.is_none() && made.is_none() {
            return None;
        }
        let cohorts = model.cohorts.all();
        let words = ControllerWords::NAMES.len() + CLOCK_WORDS * cohorts.len();
        let head = model.controller.as_ref().map_or(0, |_| words as u64 * 4);
        let staging = model.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu-optim checkpoint words"),
            size: head + made.map_or(0, |_| 4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        if let Some(controller) = &model.controller {
            encoder.copy_buffer_to_buffer(controller, 0, &staging, 0, head);
        }
        if let Some(made) = made {
            encoder.copy_buffer_to_buffer(made, 0, &staging, head, 4);
        }
        let of = |name: &str| model.names.get(name).copied().unwrap_or_default();
        let place = |index: usize| (model.grads[index].cohort, model.params[index].rank);
        let skipped = self.program.skipped();
        let cohorts = cohorts.iter().map(|cohort| CohortWords {
            generation: cohort.generation,
            parent: cohort.parent,
            skipped: skipped(cohort) as u32,
        });
        Some(Words {
            staging,
            controlled: model.controller.is_some(),
            with_sums: made.is_some(),
            cohorts: cohorts.collect(),
            places: saved.params.iter().map(|param| place(of(&param.name))).collect(),
            generation: model.sums.generation,
            start: model.last_start,
            counted: model.cohorts.is_counted(),
        })
    }

    /// Everything that a checkpoint would hold now, as views on the device and numbers. It allocates state that has
    /// no memory yet.
    ///
    /// # Errors
    /// If the device has no room for state.
    pub fn state_dict(&mut self) -> Result<StateDict, Error> {
        self.prepare()?;
        Ok(self.dict())
    }

    /// Loads a checkpoint: the next step is, bit for bit, the one that would have followed when it was saved. The
    /// optimizer must have the file's parameters, by name and length, in groups of rules that keep the same state;
    /// buffers, offsets and the order of adding may be others. Options of groups, schedules and the control become
    /// the file's.
    ///
    /// It reads the file twice, once to check it, and writes through `queue` in pieces, waiting for the device so
    /// that some 128 MiB are on their way. Submit what was recorded before it.
    ///
    /// # Errors
    /// A file that is missing, damaged or of another optimizer, with all differences; then the optimizer is
    /// unchanged. Only a disk or a device that fails between the two readings leaves state that is partly loaded, and
    /// the error says so.
    pub fn load(&mut self, queue: &wgpu::Queue, path: impl AsRef<Path>) -> Result<(), Error> {
        self.load_with(queue, path, &LoadOptions::default())
    }

    /// [`Optimizer::load`] with choices.
    ///
    /// # Errors
    /// As there.
    pub fn load_with(
        &mut self,
        queue: &wgpu::Queue,
        path: impl AsRef<Path>,
        options: &LoadOptions,
    ) -> Result<(), Error> {
        let path = path.as_ref();
        let place = path.display().to_string();
        let file = File::open(path).map_err(|e| Error::File {
            place: place.clone(),
            does: "opening",
            message: e.to_string(),
            remedy: "nothing was loaded; name a checkpoint",
        })?;
        self.load_reader(queue, (file, &place), options)
    }

    /// [`Optimizer::load_with`] from a file that is open, or anything like it. `place` names it in errors.
    ///
    /// # Errors
    /// As [`Optimizer::load`].
    pub fn load_reader<R: Read + Seek>(
        &mut self,
        queue: &wgpu::Queue,
        (reader, place): (R, &str),
        options: &LoadOptions,
    ) -> Result<(), Error> {
        pollster::block_on(self.load_from(queue, (reader, place), options, true))
    }

    /// [`Optimizer::load_with`] from a file in memory, as [`Snapshot::to_bytes`] makes it. It does not wait for the
    /// device itself: the future is ready once the device has been polled (a browser does it by itself).
    ///
    /// Await it to its end: if it is dropped before, options may be the file's, and state partly.
    ///
    /// # Errors
    /// As [`Optimizer::load`].
    pub async fn load_bytes(
        &mut self,
        queue: &wgpu::Queue,
        bytes: &[u8],
        options: &LoadOptions,
    ) -> Result<(), Error> {
        let place = "the checkpoint in memory";
        self.load_from(queue, (Cursor::new(bytes), place), options, false).await
    }

    async fn load_from<R: Read + Seek>(
        &mut self,
        queue: &wgpu::Queue,
        (reader, place): (R, &str),
        options: &LoadOptions,
        waits: bool,
    ) -> Result<(), Error> {
        let damaged = |message| Error::Damaged { place: place.to_owned(), message };
        let differs = |differences| Error::Differs { place: place.to_owned(), differences };
        let mut file = Container::open(reader).map_err(damaged)?;
        file.verify().map_err(damaged)?;
        let saved = Saved::of(&file).map_err(differs)?;
        let plan = self.compare(&mut file, &saved, options).map_err(differs)?;
        // Files have parameters where gradients are wanted. All others go there with their old options.
        let was_eval = self.model.is_eval;
        let mut back = self.model.device.create_command_encoder(&Default::default());
        self.train(&mut back);
        let room = self.make_room(&saved, &plan, options);
        let room = room.and_then(|undo| match self.targets(&plan) {
            Ok(targets) => Ok((undo, targets)),
            Err(e) => {
                self.restore_room(undo);
                Err(e)
            }
        });
        let (undo, targets) = room.inspect_err(|_| {
            self.model.is_eval = was_eval;
            self.program.forget();
        })?;
        queue.submit(was_eval.then(|| back.finish()));
        let loaded = self.upload(queue, (&mut file, place), &targets, waits).await;
        match loaded {
            Ok(()) => self.restore(queue, &saved, &plan, options),
            Err(_) => self.restore_room(undo),
        }
        loaded
    }
}
