//! This module has the tensors of a checkpoint, and the way of their numbers from the device into the file.

use std::io::Write;

use safetensors::Dtype;

use super::container::{Entry, Writer};
use crate::num::{BlockCode, Format, Master, WORD};
use crate::view::View;

/// The numbers that are converted at once: some kilobytes, so that the memory stays within its bound.
const SOME: usize = 4096;

/// A tensor of a checkpoint, and the place of its numbers on the device.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) entry: Entry,
    pub(crate) view: View,
    pub(crate) form: Form,
}

/// The form in which a view has the numbers of a tensor.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// As the tensor has them.
    Same,
    /// As numbers of 16 bits. The other view has the low bits that make an f32 of each.
    Whole(Master, View),
    /// In blocks. The tensor has their codes, one a byte.
    Codes(BlockCode),
    /// In blocks. The tensor has their scales.
    Scales(BlockCode),
}

impl Source {
    /// The views that hold the numbers.
    pub(crate) fn views(&self) -> impl Iterator<Item = &View> {
        let rest = match &self.form {
            Form::Whole(_, rest) => Some(rest),
            _ => None,
        };
        std::iter::once(&self.view).chain(rest)
    }

    /// The same views, to be moved.
    pub(crate) fn views_mut(&mut self) -> impl Iterator<Item = &mut View> {
        let rest = match &mut self.form {
            Form::Whole(_, rest) => Some(rest),
            _ => None,
        };
        std::iter::once(&mut self.view).chain(rest)
    }

    /// The elements of the view that must be read together: a block's, if there are blocks.
    pub(crate) fn grain(&self) -> u64 {
        match self.form {
            Form::Codes(code) | Form::Scales(code) => code.blocks.record(),
            Form::Same | Form::Whole(..) => 1,
        }
    }

    /// Writes a part of the tensor, and returns its size in bytes. `parts` has the bytes of each view from element
    /// `from` on.
    pub(crate) fn write<W: Write>(
        &self,
        from: u64,
        parts: &[&[u8]],
        writer: &mut Writer<W>,
    ) -> std::io::Result<u64> {
        let mut written = 0;
        let mut put = |bytes: &[u8]| {
            written += bytes.len() as u64;
            writer.write(bytes)
        };
        let stored = parts.first().copied().unwrap_or_default();
        match &self.form {
            Form::Same => put(stored)?,
            Form::Whole(master, view) => {
                let [stored_format, rest_format] = [self.view.format, view.format];
                let some = |format: Format| SOME * format.bytes() as usize;
                let rest = parts.get(1).copied().unwrap_or_default().chunks(some(rest_format));
                for (stored, rest) in stored.chunks(some(stored_format)).zip(rest) {
                    let pairs = stored_format.decode_all(stored).into_iter();
                    let pairs = pairs.zip(rest_format.decode_all(rest));
                    let whole =
                        pairs.flat_map(|(stored, rest)| master.whole(stored, rest).to_le_bytes());
                    put(&whole.collect::<Vec<u8>>())?;
                }
            }
            Form::Codes(code) => {
                // The last block may have fewer codes than its record holds.
                let before = from / code.blocks.record() * code.block();
                let mut left = self.entry.bytes().saturating_sub(before) as usize;
                for records in stored.chunks(some_records(*code)) {
                    let (codes, _) = code.unpack(records, left.min(SOME));
                    left -= codes.len();
                    put(&codes)?;
                }
            }
            Form::Scales(code) => {
                for records in stored.chunks(some_records(*code)) {
                    let (_, scales) = code.unpack(records, 0);
                    put(&scales.iter().flat_map(|scale| scale.to_le_bytes()).collect::<Vec<u8>>())?;
                }
            }
        }
        Ok(written)
    }
}

/// The bytes of the records that hold some numbers.
fn some_records(code: BlockCode) -> usize {
    const { assert!(SOME.is_multiple_of(256), "blocks are whole") };
    SOME / code.block() as usize * (code.blocks.record() * WORD) as usize
}

/// The type in the file of numbers in a format.
pub(crate) fn dtype(format: Format) -> Dtype {
    match format {
        Format::F32 => Dtype::F32,
        Format::F16 => Dtype::F16,
        Format::Bf16 => Dtype::BF16,
    }
}
