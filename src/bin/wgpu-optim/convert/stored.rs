//! The form in which a checkpoint of this crate keeps the state of each group, which has one form for all parameters.

use std::collections::BTreeSet;
use std::rc::Rc;

use safetensors::Dtype;
use serde_json::{Map, Value as Json};
use wgpu_optim::checkpoint::SavedGroup;
use wgpu_optim::{BlockCode, Format, StateFormat, config};

use crate::Failure;
use crate::torch::blocks::Blocks;
use crate::torch::optimizer::{Group, Optimizer, Param};
use crate::torch::value::{Each, Source, Tensor};

/// torchao and bitsandbytes keep the state of parameters with fewer elements in f32.
const LEAST: u64 = 4096;

/// A group, and how its state is stored.
pub(super) struct Stored {
    pub(super) saved: SavedGroup,
    pub(super) group: wgpu_optim::Group,
    form: Form,
}

/// The form of a group's state.
#[derive(Clone, Copy)]
enum Form {
    /// Every number by itself.
    Plain(Dtype),
    /// Blocks, and f32 where there are none.
    Blocks,
}

/// A slot of a parameter, ready to be written.
pub(super) enum Kept {
    Plain(Tensor),
    Blocks(Blocks),
}

impl Stored {
    /// A slot of a parameter. An error says why there is none.
    pub(super) fn kept(
        &self,
        param: &Param,
        slot: &str,
        shape: &[usize],
        elements: u64,
    ) -> Result<Kept, String> {
        let code = self.group.block_code(slot, elements);
        let numbers = param.slots.iter().find(|(known, _)| known == slot).map(|(_, own)| own);
        let blocks = param.blocks.iter().find(|(known, _)| known == slot).map(|(_, own)| own);
        // The first step gives a slot its start.
        let is_new = param.steps.unwrap_or(0) == 0;
        match (code, blocks, numbers) {
            (Some(_), Some(own), _) => {
                Ok(Kept::Blocks(Blocks { scales: flushed(&own.scales), ..own.clone() }))
            }
            (Some(code), None, Some(numbers)) => {
                let name = param.name.as_deref().unwrap_or_default();
                eprintln!(
                    "convert: `{slot}` of `{name}` is rounded to {}, because other parameters of its group have it so",
                    code.name()
                );
                let numbers = in_f32(numbers)?;
                let scales = vec![elements.div_ceil(code.block()) as usize];
                let encoded = |dtype, shape, is_codes| {
                    let data = Rc::new(Encoded { numbers: numbers.clone(), code, is_codes });
                    Tensor { dtype, shape, data }
                };
                let codes = encoded(Dtype::U8, numbers.shape.clone(), true);
                Ok(Kept::Blocks(Blocks::new(codes, encoded(Dtype::F32, scales, false), code)?))
            }
            (Some(code), None, None) if is_new => {
                let codes = filled(Dtype::U8, code.zero(), shape.to_vec());
                let scales = vec![elements.div_ceil(code.block()) as usize];
                Ok(Kept::Blocks(Blocks::new(codes, filled(Dtype::F32, 0, scales), code)?))
            }
            (None, _, Some(numbers)) => Ok(Kept::Plain(match self.form {
                Form::Plain(_) => numbers.clone(),
                Form::Blocks => in_f32(numbers)?,
            })),
            (None, Some(own), None) => Ok(Kept::Plain(own.decoded())),
            (None, None, None) if is_new => {
                let dtype = match self.form {
                    Form::Plain(dtype) => dtype,
                    Form::Blocks => Dtype::F32,
                };
                Ok(Kept::Plain(filled(dtype, 0, shape.to_vec())))
            }
            (_, None, None) => Err("it is missing".to_owned()),
        }
    }
}

/// The groups of an optimizer, each with the form that its state has.
pub(super) fn groups(optimizer: &Optimizer) -> Result<Vec<Stored>, Failure> {
    let mut all = Vec::new();
    for (index, Group { config: given }) in optimizer.groups.iter().enumerate() {
        let own: Vec<&Param> =
            optimizer.params.iter().filter(|param| param.group == index).collect();
        let place = |e: String| format!("the state of group {index} {e}");
        let mut given = given.clone();
        let form = match smallest(&own) {
            None => {
                let (format, dtype) = plain(&own).map_err(place)?;
                given.insert("state_format".to_owned(), format.name().into());
                Form::Plain(dtype)
            }
            Some(least) => {
                let formats = formats(&own, &given).map_err(place)?;
                given.insert("state_format".to_owned(), formats);
                given.insert("block_min_size".to_owned(), least.min(LEAST).into());
                Form::Blocks
            }
        };
        let group =
            config::group(Json::Object(given)).map_err(|e| format!("group {index}: {e}"))?;
        let options = config::options(&group)?;
        let rate = Some(group.lr);
        let saved = SavedGroup { options, foreign: None, recorded: 0, rate, past: None };
        all.push(Stored { saved, group, form });
    }
    Ok(all)
}

/// The elements of the smallest parameter with blocks.
fn smallest(params: &[&Param]) -> Option<u64> {
    let blocks = params.iter().flat_map(|param| &param.blocks);
    blocks.map(|(_, own)| own.codes.shape.iter().map(|&n| n as u64).product()).min()
}

/// The one format of state without blocks, and its type.
fn plain(params: &[&Param]) -> Result<(StateFormat, Dtype), String> {
    let slots = params.iter().flat_map(|param| &param.slots);
    let dtypes: BTreeSet<Dtype> = slots.map(|(_, tensor)| tensor.dtype).collect();
    if dtypes.len() > 1 {
        return Err(format!("is in {dtypes:?}; a group keeps its state in one format"));
    }
    match dtypes.first() {
        None => Ok((StateFormat::F32, Dtype::F32)),
        Some(&dtype @ (Dtype::F32 | Dtype::F64)) => Ok((StateFormat::F32, dtype)),
        Some(&dtype @ Dtype::BF16) => Ok((StateFormat::Bf16, dtype)),
        Some(&dtype @ Dtype::F16) => Ok((StateFormat::F16, dtype)),
        Some(other) => Err(format!("is {other:?}")),
    }
}

/// The format of all slots, or that of each, of which some are in blocks.
fn formats(params: &[&Param], options: &Map<String, Json>) -> Result<Json, String> {
    let group = config::group(Json::Object(options.clone()))?;
    let mut all = Map::new();
    for slot in group.rule.slots().into_iter().filter(|slot| slot.blocks.is_some()) {
        let blocks = params.iter().flat_map(|param| &param.blocks);
        let own = blocks.filter(|(known, _)| known == slot.name);
        let names: BTreeSet<&str> = own.map(|(_, own)| own.format().name()).collect();
        if names.len() > 1 {
            let slot = slot.name;
            return Err(format!("has `{slot}` in {names:?}; a group keeps a slot in one format"));
        }
        let name = names.first().copied().unwrap_or(StateFormat::F32.name());
        all.insert(slot.name.to_owned(), name.into());
    }
    let first = all.values().next().cloned();
    let is_one = all.values().all(|name| Some(name) == first.as_ref());
    Ok(first.filter(|_| is_one).unwrap_or(Json::Object(all)))
}

/// The same numbers in f32, which has all those of 16 bits.
fn in_f32(tensor: &Tensor) -> Result<Tensor, String> {
    let format = match tensor.dtype {
        Dtype::F32 => return Ok(tensor.clone()),
        Dtype::BF16 => Format::Bf16,
        Dtype::F16 => Format::F16,
        other => return Err(format!("it is {other:?}, and other state of its group is in blocks")),
    };
    let (shape, of) = (tensor.shape.clone(), tensor.clone());
    Ok(Tensor { dtype: Dtype::F32, shape, data: Rc::new(Widened(of, format)) })
}

/// Numbers of 16 bits in f32.
struct Widened(Tensor, Format);

impl Source for Widened {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let Self(of, format) = self;
        each(&Format::F32.encode_all(&format.decode_all(&of.bytes()?)))
    }
}

/// Scales with 0 in place of those that are subnormal, which no block here has.
fn flushed(scales: &Tensor) -> Tensor {
    Tensor { data: Rc::new(Flushed(scales.clone())), ..scales.clone() }
}

struct Flushed(Tensor);

impl Source for Flushed {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let mut scales = Format::F32.decode_all(&self.0.bytes()?);
        scales.iter_mut().filter(|scale| scale.is_subnormal()).for_each(|scale| *scale = 0.0);
        each(&Format::F32.encode_all(&scales))
    }
}

/// The codes or the scales of numbers in f32.
struct Encoded {
    numbers: Tensor,
    code: BlockCode,
    is_codes: bool,
}

impl Source for Encoded {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let numbers = Format::F32.decode_all(&self.numbers.bytes()?);
        let (codes, scales) = self.code.encode_all(&numbers);
        if self.is_codes { each(&codes) } else { each(&Format::F32.encode_all(&scales)) }
    }
}

/// A tensor of one byte over and over.
fn filled(dtype: Dtype, byte: u8, shape: Vec<usize>) -> Tensor {
    let count = shape.iter().product::<usize>() * dtype.bitsize() / 8;
    Tensor { dtype, shape, data: Rc::new(Filled { byte, count }) }
}

struct Filled {
    byte: u8,
    count: usize,
}

impl Source for Filled {
    fn read(&self, each: Each<'_>) -> Result<(), Failure> {
        let part = [self.byte; 1 << 16];
        let mut left = self.count;
        while left > 0 {
            let now = part.len().min(left);
            each(&part[..now])?;
            left -= now;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::flushed;
    use crate::torch::value::Tensor;

    #[test]
    fn subnormal_scales_are_0() {
        let (small, nan) = (f32::MIN_POSITIVE, f32::from_bits(0x7fc0_1234));
        let scales = Tensor::of_f32(&[small, small / 2.0, 1e-45, 0.0, f32::INFINITY, nan, 1.5]);
        let found = flushed(&scales).bytes().unwrap_or_else(|e| panic!("{e}"));
        let expected = [small, 0.0, 0.0, 0.0, f32::INFINITY, nan, 1.5].map(f32::to_le_bytes);
        assert_eq!(found, expected.concat());
    }
}
