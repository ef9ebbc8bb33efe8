//! The codes and the scales of a slot in blocks.

use std::fs::File;

use serde::Serialize;
use serde_json::{Map, Value};
use wgpu_optim::checkpoint::{Container, Entry};

use super::{Figures, Tensor, printable};
use crate::Failure;
use crate::blocks::Blocks;

/// The blocks of a slot.
#[derive(Serialize)]
pub(super) struct InBlocks {
    /// The format, and whether numbers have a sign if that is known, as in `block8_signed`.
    pub(super) format: String,
    /// The elements of a block.
    pub(super) block: u64,
    /// The name of the scales in the file.
    pub(super) scales: String,
    /// The smallest and the largest code.
    pub(super) codes: [u8; 2],
    /// The smallest and the largest scale that is finite, if there are such.
    pub(super) finite_scales: Option<[f64; 2]>,
    /// The number of scales that are 0.
    pub(super) zero_scales: u64,
    /// The number of scales that are Inf or NaN.
    pub(super) nonfinite_scales: u64,
}

impl InBlocks {
    /// The codes and the scales in a line.
    pub(super) fn line(&self) -> String {
        let Self { block, codes: [low, high], zero_scales, nonfinite_scales, .. } = self;
        let scales = match self.finite_scales {
            Some([low, high]) => format!("{low:.6e} to {high:.6e}"),
            None => "none finite".to_owned(),
        };
        format!(
            "codes {low} to {high}; scales of {block} elements: {scales}, zero {zero_scales}, non-finite \
             {nonfinite_scales}"
        )
    }
}

/// Reads the codes of a slot, and the scales beside them.
pub(super) fn tensor(
    file: &mut Container<File>,
    entry: &Entry,
    slot: &str,
    options: &Map<String, Value>,
) -> Result<Tensor, Failure> {
    let Entry { name, dtype, shape } = entry;
    let blocks = Blocks::of(options, slot).ok_or_else(|| {
        format!("`{}` is there, but its group keeps no such slot in blocks", printable(name))
    })?;
    let code = blocks.code;
    let scales = name.replacen("code.", "scale.", 1);
    let mut figures = Figures::default();
    let mut all = InBlocks {
        format: match (blocks.is_known, code.name()) {
            (true, name) => name,
            (false, name) => name.split('_').next().unwrap_or_default().to_owned(),
        },
        block: code.block(),
        scales: scales.clone(),
        codes: [u8::MAX, 0],
        finite_scales: None,
        zero_scales: 0,
        nonfinite_scales: 0,
    };
    let read = blocks.read(file, [name, &scales], |codes, scales| {
        let numbers = code.decode_all(codes, scales);
        figures.take(numbers.into_iter().map(f64::from));
        let [low, high] = all.codes;
        all.codes = codes.iter().fold([low, high], |[low, high], x| [low.min(*x), high.max(*x)]);
        for scale in scales {
            all.zero_scales += u64::from(*scale == 0.0);
            all.nonfinite_scales += u64::from(!scale.is_finite());
            if scale.is_finite() {
                let scale = f64::from(*scale);
                let [low, high] = all.finite_scales.unwrap_or([scale; 2]);
                all.finite_scales = Some([low.min(scale), high.max(scale)]);
            }
        }
        Ok(())
    });
    read.map_err(|e| printable(&e.to_string()))?;
    let scales_entry = file.entry(&scales).map_or(0, |entry| entry.bytes());
    if !blocks.is_known {
        // A scale is its block's largest magnitude, whatever the signs.
        figures.largest = all.finite_scales.map_or(0.0, |[_, high]| high);
        figures.forget_norm();
    }
    Ok(Tensor {
        name: name.clone(),
        slot: slot.to_owned(),
        dtype: dtype.to_string(),
        shape: shape.clone(),
        bytes: entry.bytes() + scales_entry,
        norm: figures.norm(),
        largest: figures.largest,
        nonfinite: figures.nonfinite,
        blocks: Some(all),
    })
}
