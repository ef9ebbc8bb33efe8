//! This module reads a snapshot back, a chunk after the other, and writes it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use futures_channel::oneshot;

use super::atomic::write_file;
use super::container::{Entry, Writer, sort_entries};
use super::error::Error;
use super::saved::{KEY, Saved, SavedController};
use super::source::Source;
use crate::num::WORD;
use crate::program::{CLOCK_WORDS, ControllerWords, NONE};

/// The least bytes of a chunk.
const SMALLEST: u64 = 64 << 10;

/// The most bytes of a chunk: enough for a device, and little enough that the file begins to grow at once.
const LARGEST: u64 = 16 << 20;

/// The numbers on the GPU that the file has in its metadata, on their way to the host.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) staging: wgpu::Buffer,
    /// Whether the first words are those of a controller.
    pub(crate) controlled: bool,
    /// Whether the last word is the generation of the sums.
    pub(crate) with_sums: bool,
    pub(crate) cohorts: Vec<CohortWords>,
    /// For each parameter of `Saved`, its cohort and its rank.
    pub(crate) places: Vec<(usize, usize)>,
    pub(crate) generation: u32,
    pub(crate) start: u32,
    pub(crate) counted: bool,
}

/// A cohort, as the GPU knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CohortWords {
    pub(crate) generation: u32,
    pub(crate) parent: Option<usize>,
    pub(crate) skipped: u32,
}

/// An optimizer as of one step, to be written: [`Optimizer::snapshot`](crate::Optimizer::snapshot) makes it.
///
/// It may be sent to another thread, and written there while training goes on.
#[must_use = "a snapshot is written by `save` or `to_bytes`"]
pub struct Snapshot {
    pub(crate) device: wgpu::Device,
    pub(crate) saved: Saved,
    pub(crate) sources: Vec<Source>,
    pub(crate) words: Option<Words>,
    /// The most bytes on the host.
    pub(crate) memory: u64,
    pub(crate) progress: Option<Progress>,
}

/// A function that is told the bytes that are written, and all of them.
pub(crate) type Progress = Box<dyn FnMut(u64, u64) + Send>;

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { saved, sources, memory, .. } = self;
        let name = &mut f.debug_struct("Snapshot");
        name.field("saved", saved)
            .field("sources", sources)
            .field("memory", memory)
            .finish_non_exhaustive()
    }
}

/// A part of a tensor in a staging buffer: for each of its views, the first byte and the bytes.
struct Piece {
    source: usize,
    /// The first element of the views.
    from: u64,
    parts: Vec<(u64, u64)>,
}

/// Copies that are on their way.
struct Batch {
    staging: wgpu::Buffer,
    pieces: Vec<Piece>,
    mapped: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
}

/// The next element to copy.
#[derive(Default)]
struct Cursor {
    source: usize,
    element: u64,
}

impl Snapshot {
    /// The same with a function that is told, chunk by chunk, the bytes written and the bytes in all.
    pub fn on_progress(mut self, tell: impl FnMut(u64, u64) + Send + 'static) -> Self {
        self.progress = Some(Box::new(tell));
        self
    }

    /// The size of the tensors, in bytes.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.entry.bytes()).sum()
    }

    /// Writes the file, and waits for it: the encoder of the snapshot has to be submitted before. A reader finds the
    /// file that was there until the new one is whole and on the disk, whatever happens to this process.
    ///
    /// # Errors
    /// If the file system refuses or the device fails; then the file that was there is unharmed.
    pub fn save(self, queue: &wgpu::Queue, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let place = path.display().to_string();
        write_file(path, |file| {
            pollster::block_on(self.write(queue, file, &place, true)).map(|_| ())
        })
    }

    /// The file in memory, for where there are no files. The future is ready once the device has been polled often
    /// enough (`device.poll`, which is the caller's; a browser does it by itself).
    ///
    /// # Errors
    /// If the device fails.
    pub async fn to_bytes(self, queue: &wgpu::Queue) -> Result<Vec<u8>, Error> {
        self.write(queue, Vec::new(), "the checkpoint in memory", false).await
    }

    /// Writes everything into `sink`. If it `waits`, it polls the device itself.
    async fn write<W: Write>(
        mut self,
        queue: &wgpu::Queue,
        sink: W,
        place: &str,
        waits: bool,
    ) -> Result<W, Error> {
        if let Some(words) = self.words.take() {
            let (done, mapped) = oneshot::channel();
            words.staging.slice(..).map_async(wgpu::MapMode::Read, |result| _ = done.send(result));
            if waits {
                self.wait(None)?;
            }
            arrived(mapped).await?;
            self.take_in(&words)?;
        }
        sort_entries(&mut self.sources, |source| &source.entry);
        let failed = |e: std::io::Error| Error::writing(Path::new(place), &e);
        let entries: Vec<Entry> = self.sources.iter().map(|source| source.entry.clone()).collect();
        let metadata = self.metadata().map_err(|message| {
            let remedy = "nothing was written, and a file that was there is unharmed";
            Error::File { place: place.to_owned(), does: "writing", message, remedy }
        })?;
        let mut writer = Writer::new(sink, &metadata, &entries).map_err(failed)?;
        let total = self.bytes();
        let most = total.next_multiple_of(WORD).max(SMALLEST);
        // Only whole words can be mapped.
        let chunk = (self.memory / 4 / WORD * WORD).clamp(SMALLEST, most.min(LARGEST));
        let mut free: Vec<wgpu::Buffer> = Vec::new();
        let (mut cursor, mut waiting, mut done) = (Cursor::default(), None::<Batch>, 0);
        loop {
            let staging = free.pop().unwrap_or_else(|| self.staging(chunk));
            let started = self.start(queue, &mut cursor, staging);
            if let Some(batch) = waiting.take() {
                if waits {
                    self.wait(Some(batch.submission.clone()))?;
                }
                arrived(batch.mapped).await?;
                let range = batch.staging.slice(..).get_mapped_range().map_err(readback)?;
                for piece in &batch.pieces {
                    done += self.put(&range, piece, &mut writer).map_err(failed)?;
                }
                drop(range);
                batch.staging.unmap();
                free.push(batch.staging);
                if let Some(tell) = &mut self.progress {
                    tell(done, total);
                }
            }
            waiting = started;
            if waiting.is_none() {
                break;
            }
        }
        writer.finish().map_err(failed)
    }

    fn metadata(&self) -> Result<BTreeMap<String, String>, String> {
        let Saved { recorded, controller, .. } = &self.saved;
        let skipped = controller.as_ref().map_or(0, |controller| controller.skipped.into());
        let counts = [
            ("steps", *recorded),
            ("steps_taken", recorded - skipped.min(*recorded)),
            ("steps_skipped", skipped),
        ];
        let counts = counts.map(|(key, count)| (key.to_owned(), count.to_string()));
        Ok(counts.into_iter().chain([(KEY.to_owned(), self.saved.to_json()?)]).collect())
    }

    fn staging(&self, size: u64) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgpu-optim checkpoint"),
            size,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Submits copies of what comes next into `staging`; `None` if nothing does.
    fn start(
        &self,
        queue: &wgpu::Queue,
        cursor: &mut Cursor,
        staging: wgpu::Buffer,
    ) -> Option<Batch> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let (mut pieces, mut used) = (Vec::new(), 0);
        while let Some(source) = self.sources.get(cursor.source) {
            let left = source.view.len - cursor.element;
            let grain = source.grain();
            let each = grain * source.views().map(|view| view.format.bytes()).sum::<u64>();
            // A part may begin and end within a word.
            let room = (staging.size() - used).saturating_sub(2 * 2 * WORD);
            let elements = (room / each * grain).min(left);
            if elements == 0 {
                break;
            }
            let mut parts = Vec::new();
            for view in source.views() {
                let bytes = view.format.bytes();
                let begin = view.offset + cursor.element * bytes;
                let end = begin + elements * bytes;
                let (from, to) = (begin / WORD * WORD, end.next_multiple_of(WORD));
                encoder.copy_buffer_to_buffer(&view.buffer, from, &staging, used, to - from);
                parts.push((used + begin - from, end - begin));
                used += to - from;
            }
            pieces.push(Piece { source: cursor.source, from: cursor.element, parts });
            cursor.element += elements;
            if elements == left {
                *cursor = Cursor { source: cursor.source + 1, element: 0 };
            }
        }
        if pieces.is_empty() {
            return None;
        }
        let submission = queue.submit([encoder.finish()]);
        let (done, mapped) = oneshot::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, |result| _ = done.send(result));
        Some(Batch { staging, pieces, mapped, submission })
    }

    /// Writes a part of a tensor, and returns its size in bytes.
    fn put<W: Write>(
        &self,
        staging: &[u8],
        piece: &Piece,
        writer: &mut Writer<W>,
    ) -> std::io::Result<u64> {
        let bytes = |&(at, len): &(u64, u64)| &staging[at as usize..][..len as usize];
        let parts: Vec<&[u8]> = piece.parts.iter().map(bytes).collect();
        self.sources[piece.source].write(piece.from, &parts, writer)
    }

    fn wait(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<(), Error> {
        let poll = wgpu::PollType::Wait { submission_index, timeout: None };
        self.device.poll(poll).map(|_| ()).map_err(readback)
    }

    /// Enters the GPU's numbers into the host's part.
    fn take_in(&mut self, words: &Words) -> Result<(), Error> {
        let range = words.staging.slice(..).get_mapped_range().map_err(readback)?;
        let all: Vec<u32> =
            range.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        if words.with_sums && all.last() != Some(&words.generation) {
            // The commands that make the sums were never executed, so that there are none.
            self.sources.retain(|source| !source.entry.name.starts_with("sum."));
        }
        if !words.controlled {
            return Ok(());
        }
        let (head, clocks) = all.split_at(ControllerWords::NAMES.len());
        let head = ControllerWords::from(std::array::from_fn(|i| head[i]));
        let skipped = |mut cohort: usize| loop {
            let of = words.cohorts[cohort];
            let clock = &clocks[cohort * CLOCK_WORDS..][..CLOCK_WORDS];
            if clock[1] == of.generation {
                return clock[0].max(of.skipped);
            }
            // The GPU has not met the cohort yet: it is where it was split from.
            match of.parent {
                Some(parent) => cohort = parent,
                None => return of.skipped,
            }
        };
        let ranks = words.places.iter().zip(&self.saved.params);
        let found = ranks.clone().find(|((_, rank), _)| *rank as u32 == head.found_inf);
        let found_inf =
            found.filter(|_| head.found_inf != NONE).map(|(_, param)| param.name.clone());
        for (param, (cohort, _)) in self.saved.params.iter_mut().zip(&words.places) {
            param.skipped = if words.counted { skipped(*cohort).into() } else { 0 };
        }
        self.saved.controller = Some(SavedController {
            counts: words.counted,
            scale: f32::from_bits(head.scale).into(),
            growth_tracker: head.growth_tracker,
            restarts: head.start != words.start,
            skipped: head.skipped,
            looked: head.looked,
            overrun: head.overrun > 0,
            norm: f32::from_bits(head.norm).to_string(),
            coefficient: f32::from_bits(head.coefficient).to_string(),
            found_inf,
        });
        Ok(())
    }
}

async fn arrived(
    mapped: oneshot::Receiver<Result<(), wgpu::BufferAsyncError>>,
) -> Result<(), Error> {
    mapped.await.map_err(readback)?.map_err(readback)
}

fn readback(e: impl std::fmt::Display) -> Error {
    let what = "a checkpoint".to_owned();
    Error::Optimizer(crate::Error::Readback { what, message: e.to_string() })
}
