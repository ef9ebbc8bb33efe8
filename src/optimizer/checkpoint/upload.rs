//! The way of a file's numbers to the device.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::super::Optimizer;
use super::blocks;
use super::compare::Plan;
use super::sources::Kept;
use crate::checkpoint::{Container, Error};
use crate::model::OPERANDS;
use crate::num::{BlockCode, Format, Master, WORD};
use crate::plan::PARAM;
use crate::view::View;

/// The most bytes that are on their way at once.
const IN_FLIGHT: u64 = 128 << 20;

/// A place on the device, and what comes there.
pub(super) struct Target {
    view: View,
    from: From,
}

/// The numbers for a place.
enum From {
    /// The bytes of a tensor.
    Tensor(String),
    /// The numbers of a tensor in f32, rounded.
    Rounded(String),
    /// The part of a master that its parameter leaves. The parameter is in the file, or it is the master rounded.
    LowBits { whole: String, stored: Option<String>, master: Master, format: Format },
    /// The blocks of two tensors, codes and scales.
    Blocks { codes: String, scales: String, code: BlockCode },
}

impl Optimizer {
    /// The places on the device that a load writes, checked.
    pub(super) fn targets(&self, plan: &Plan) -> Result<Vec<Target>, Error> {
        let model = &self.model;
        let mut all = Vec::new();
        for ((index, _), tensors) in plan.pairs.iter().zip(&plan.tensors) {
            let param = &model.params[*index];
            let stored = tensors.iter().find(|one| one.operand == PARAM);
            if let Some(Kept { name, .. }) = stored {
                let what = || format!("parameter `{}`", param.name);
                param.view.check(what, wgpu::BufferUsages::COPY_DST)?;
                all.push(Target { view: param.view.clone(), from: From::Tensor(name.clone()) });
                if let Some(copy) = &param.copy {
                    let what = || format!("copy of `{}`", param.name);
                    copy.check(what, wgpu::BufferUsages::COPY_DST)?;
                    all.push(Target { view: copy.clone(), from: From::Rounded(name.clone()) });
                }
            }
            for one in tensors.iter().filter(|one| one.operand != PARAM) {
                let Some(view) = model.operand_view(*index, one.operand, one.number) else {
                    continue;
                };
                let name = one.name.clone();
                let from = match (OPERANDS[one.operand].name, &one.blocks) {
                    (_, Some((scales, code))) => {
                        From::Blocks { codes: name, scales: scales.clone(), code: *code }
                    }
                    ("low_bits", _) => From::LowBits {
                        whole: name,
                        stored: stored.map(|stored| stored.name.clone()),
                        master: param.master,
                        format: param.view.format,
                    },
                    _ => From::Tensor(name),
                };
                all.push(Target { view, from });
            }
        }
        Ok(all)
    }

    /// Writes all numbers.
    pub(super) async fn upload<R: Read + Seek>(
        &mut self,
        queue: &wgpu::Queue,
        (file, place): (&mut Container<R>, &str),
        targets: &[Target],
        waits: bool,
    ) -> Result<(), Error> {
        let device = &self.model.device;
        let edges = edges(device, queue, targets, waits).await?;
        let mut uploader = Uploader { device, queue, waits, in_flight: 0, edges };
        for target in targets {
            let failed = |e: std::io::Error| Error::File {
                place: place.to_owned(),
                does: "reading",
                message: e.to_string(),
                remedy: "state is partly loaded; load again before the next step",
            };
            uploader.fill(file, target).map_err(failed)?;
        }
        Ok(())
    }
}

/// The words in which views begin or end that share them with others: as they are now.
async fn edges(
    device: &wgpu::Device,
    queue: &wgpu::Queue,
    targets: &[Target],
    waits: bool,
) -> Result<HashMap<(wgpu::Buffer, u64), [u8; 4]>, Error> {
    let mut words: Vec<(wgpu::Buffer, u64)> = Vec::new();
    for Target { view, .. } in targets {
        let (begin, end) = view.bytes();
        for byte in [begin, end].into_iter().filter(|byte| !byte.is_multiple_of(WORD)) {
            view.check(|| "a view to load into".to_owned(), wgpu::BufferUsages::COPY_SRC)?;
            words.push((view.buffer.clone(), byte / WORD * WORD));
        }
    }
    if words.is_empty() {
        return Ok(HashMap::new());
    }
    let staging = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgpu-optim edges"),
        size: words.len() as u64 * WORD,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    for (i, (buffer, at)) in (0..).zip(&words) {
        encoder.copy_buffer_to_buffer(buffer, *at, &staging, i * WORD, WORD);
    }
    queue.submit([encoder.finish()]);
    let (done, mapped) = futures_channel::oneshot::channel();
    staging.slice(..).map_async(wgpu::MapMode::Read, |result| _ = done.send(result));
    let failed = |message: String| crate::Error::Readback { what: "a word".to_owned(), message };
    if waits {
        let poll = wgpu::PollType::wait_indefinitely();
        device.poll(poll).map_err(|e| failed(e.to_string()))?;
    }
    let mapped = mapped.await.map_err(|e| failed(e.to_string()))?;
    mapped.map_err(|e| failed(e.to_string()))?;
    let range = staging.slice(..).get_mapped_range().map_err(|e| failed(e.to_string()))?;
    Ok(words.into_iter().zip(range.as_chunks().0.iter().copied()).collect())
}

struct Uploader<'a> {
    device: &'a wgpu::Device,
    queue: &'a wgpu::Queue,
    waits: bool,
    in_flight: u64,
    edges: HashMap<(wgpu::Buffer, u64), [u8; 4]>,
}

impl Uploader<'_> {
    fn fill<R: Read + Seek>(
        &mut self,
        file: &mut Container<R>,
        Target { view, from }: &Target,
    ) -> std::io::Result<()> {
        let mut at = 0;
        let mut next = |bytes: &[u8]| {
            let written = self.put(view, at, bytes);
            at += bytes.len() as u64;
            written
        };
        match from {
            From::Tensor(name) => file.pieces(name, |_, bytes| next(bytes)),
            From::Rounded(name) => file.pieces(name, |_, bytes| {
                next(&view.format.encode_all(&Format::F32.decode_all(bytes)))
            }),
            From::Blocks { codes, scales, code } => {
                let names = (codes.as_str(), scales.as_str());
                blocks::read(file, names, *code, |codes, scales| next(&code.pack(codes, scales)))
            }
            From::LowBits { whole, stored, master, format } => {
                let mut done = 0;
                let mut stored_bytes = Vec::new();
                file.pieces(whole, |file, bytes| {
                    let whole = Format::F32.decode_all(bytes);
                    let stored = match stored {
                        None => format.decode_all(&format.encode_all(&whole)),
                        Some(name) => {
                            stored_bytes.resize(bytes.len() / 2, 0);
                            file.read(name, done, &mut stored_bytes)?;
                            done += stored_bytes.len() as u64;
                            format.decode_all(&stored_bytes)
                        }
                    };
                    next(&low_bits(*master, &whole, &stored))
                })
            }
        }
    }

    /// Writes bytes at byte `from` of a view.
    fn put(&mut self, view: &View, from: u64, bytes: &[u8]) -> std::io::Result<()> {
        let begin = view.offset + from;
        let head = ((WORD - begin % WORD) % WORD).min(bytes.len() as u64) as usize;
        let (head, rest) = bytes.split_at(head);
        let (words, tail) = rest.split_at(rest.len() / WORD as usize * WORD as usize);
        if !head.is_empty() {
            self.patch(view, begin, head);
        }
        let begin = begin + head.len() as u64;
        if !words.is_empty() {
            self.queue.write_buffer(&view.buffer, begin, words);
        }
        if !tail.is_empty() {
            self.patch(view, begin + words.len() as u64, tail);
        }
        self.in_flight += bytes.len() as u64;
        if self.waits && self.in_flight >= IN_FLIGHT {
            // Written data waits in memory for the next submission.
            self.queue.submit([]);
            let poll = wgpu::PollType::wait_indefinitely();
            self.device.poll(poll).map_err(std::io::Error::other)?;
            self.in_flight = 0;
        }
        Ok(())
    }

    /// Writes a part of a word, whose other part stays.
    fn patch(&mut self, view: &View, at: u64, bytes: &[u8]) {
        let start = at / WORD * WORD;
        // A word that no view begins or ends in is written as a whole, in two parts.
        let word = self.edges.entry((view.buffer.clone(), start)).or_default();
        word[(at - start) as usize..][..bytes.len()].copy_from_slice(bytes);
        self.queue.write_buffer(&view.buffer, start, &*word);
    }
}

/// The part of each master that the parameter leaves, as the device stores it.
fn low_bits(master: Master, whole: &[f32], stored: &[f32]) -> Vec<u8> {
    let pairs = whole.iter().zip(stored);
    match master {
        Master::Remainder => {
            whole.iter().flat_map(|whole| (whole.to_bits() as u16).to_le_bytes()).collect()
        }
        _ => pairs
            .flat_map(|(whole, stored)| {
                whole.to_bits().wrapping_sub(stored.to_bits()).to_le_bytes()
            })
            .collect(),
    }
}
