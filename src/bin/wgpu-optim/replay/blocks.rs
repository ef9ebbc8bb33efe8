//! State in blocks: the codes and scales that a trace or a checkpoint holds.

use safetensors::Dtype;
use wgpu_optim::checkpoint::Entry;
use wgpu_optim::{BlockCode, Format};

use super::resumed::Resumed;
use crate::Failure;
use crate::trace::{Coded, Place, Trace};

/// The codes and scales of a slot that the trace holds, if the slot's numbers are those that they stand for, or else
/// those nearest to the numbers. So a run goes on from blocks of either length, and from numbers.
pub(super) fn coded(
    trace: &mut Trace,
    tensor: usize,
    (slot, place): (&str, Place),
    code: BlockCode,
) -> Result<Coded, Failure> {
    let mut numbers: Vec<f32> = Vec::new();
    trace.read_kept(tensor, place, |bytes| {
        numbers.extend(place.stored.numbers(bytes).into_iter().map(|x| x as f32));
    })?;
    if let Some((codes, scales)) = trace.codes(tensor, slot)? {
        let stands = code.decode_all(&codes, &scales);
        let is_same = |(x, y): (&f32, &f32)| x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
        let known = codes.iter().all(|own| usize::from(*own) < code.numbers().len());
        let blocks = numbers.len().div_ceil(code.block() as usize);
        if known && scales.len() == blocks && numbers.iter().zip(&stands).all(is_same) {
            return Ok((codes, scales));
        }
    }
    Ok(code.encode_all(&numbers))
}

impl Resumed {
    /// The codes and scales of a slot, if the checkpoint has it in blocks.
    pub(super) fn codes(&mut self, name: &str, slot: &str) -> Result<Option<Coded>, Failure> {
        let keys = ["code", "scale"].map(|what| format!("{what}.{name}.{slot}"));
        let mut parts: [Vec<u8>; 2] = Default::default();
        for ((key, part), needed) in keys.iter().zip(&mut parts).zip([Dtype::U8, Dtype::F32]) {
            let dtype = match self.file.entry(key) {
                None if needed == Dtype::U8 => return Ok(None),
                None => return Err(self.named(&format!("it has no `{key}`"))),
                Some(Entry { dtype, .. }) => dtype,
            };
            if dtype != needed {
                return Err(self.named(&format!("`{key}` is {dtype:?}; it must be {needed:?}")));
            }
            self.file.pieces::<std::io::Error>(key, |_, bytes| {
                part.extend(bytes);
                Ok(())
            })?;
        }
        let [codes, scales] = parts;
        Ok(Some((codes, Format::F32.decode_all(&scales))))
    }
}
