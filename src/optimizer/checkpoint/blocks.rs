//! The codes and scales of a file, read together and checked.

use std::io::{Error, Read, Result, Seek};

use crate::checkpoint::Container;
use crate::num::{BlockCode, Format, WORD};

/// Reads the codes and the scales of a slot in step, in pieces of whole blocks. `each` gets the codes and the scales
/// of a piece.
///
/// # Errors
/// A code that stands for no number, a scale that no block has, and those of the file and of `each`.
pub(super) fn read<R: Read + Seek>(
    file: &mut Container<R>,
    (codes, scales): (&str, &str),
    code: BlockCode,
    mut each: impl FnMut(&[u8], &[f32]) -> Result<()>,
) -> Result<()> {
    let (mut done, mut bytes) = (0, Vec::new());
    // Every piece but the last has some powers of 2 of codes, so that blocks are whole.
    file.pieces(codes, |file, piece| {
        let blocks = piece.len().div_ceil(code.block() as usize);
        bytes.resize(blocks * WORD as usize, 0);
        file.read(scales, done * WORD, &mut bytes)?;
        let numbers = Format::F32.decode_all(&bytes);
        let count = code.numbers().len();
        if let Some(at) = piece.iter().position(|one| usize::from(*one) >= count) {
            let (element, is, name) = (done * code.block() + at as u64, piece[at], code.name());
            return Err(Error::other(format!(
                "`{codes}`: element {element} has code {is}, but the codes of {name} go from 0 to {}",
                count - 1
            )));
        }
        if let Some(at) = numbers.iter().position(|scale| !is_scale(*scale)) {
            let (block, is) = (done + at as u64, numbers[at]);
            return Err(Error::other(format!(
                "`{scales}`: block {block} has scale {is:e}; a scale is 0, a normal number above 0, Inf or NaN"
            )));
        }
        done += blocks as u64;
        each(piece, &numbers)
    })
}

/// Whether a block can have a scale.
fn is_scale(scale: f32) -> bool {
    let is_positive = scale.is_sign_positive();
    scale.is_nan() || is_positive && (scale == 0.0 || scale.is_normal() || scale.is_infinite())
}
