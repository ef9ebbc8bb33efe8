//! The state that torchao's optimizers keep in blocks: a class of tensor with codes, scales and their table.

use safetensors::Dtype;
use wgpu_optim::StateFormat;

use super::blocks::{Blocks, check_table, code, packed, unpacked};
use super::value::{Tensor, Value};

/// The attributes, in torchao's order; the last is only in tensors of 4 bits.
const CODES: &str = "codes";
const SCALE: &str = "scale";
const TABLE: &str = "qmap";
const SIGNED: &str = "signed";
const BLOCK: &str = "block_size";
const SHAPE: &str = "_shape";

/// The blocks of a tensor with these attributes.
pub(super) fn of_torchao(
    format: StateFormat,
    shape: &Value,
    attributes: &Value,
) -> Result<Blocks, String> {
    let shape = sizes(shape).ok_or("the shape of a tensor in blocks is no list of sizes")?;
    let tensor = |key: &str| match attributes.get(key) {
        Some(Value::Tensor(tensor)) => Ok(tensor),
        Some(other) => Err(format!("`{key}` is {}, not a tensor", other.kind())),
        None => Err(format!("`{key}` is missing in a tensor in blocks")),
    };
    let (codes, scales, table) = (tensor(CODES)?, tensor(SCALE)?, tensor(TABLE)?);
    let Some(&Value::Bool(signed)) = attributes.get(SIGNED) else {
        return Err(format!("`{SIGNED}` is missing, or neither True nor False"));
    };
    let code = code(format, signed)?;
    let block = code.block() as usize;
    match attributes.get(BLOCK) {
        None => {}
        Some(Value::Int(given)) if usize::try_from(*given) == Ok(block) => {}
        Some(other) => {
            let given = other.kind();
            return Err(format!("`{BLOCK}` is {given}; only blocks of {block} are read"));
        }
    }
    if attributes.get(SHAPE).is_some_and(|own| sizes(own).as_ref() != Some(&shape)) {
        return Err(format!("`{SHAPE}` is not the shape {shape:?} of its tensor"));
    }
    check_table(table, code).map_err(|e| format!("`{TABLE}`: {e}"))?;
    let count = shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
    let is_packed = code.bits() == 4;
    let is_whole = match is_packed {
        false => codes.shape == shape,
        true => count.is_some_and(|n| n.is_multiple_of(2) && codes.shape == [n / 2]),
    };
    if codes.dtype != Dtype::U8 || !is_whole {
        return Err(format!("`{CODES}` is {codes:?}, which does not fit the shape {shape:?}"));
    }
    let codes = if is_packed { unpacked(codes, shape) } else { codes.clone() };
    Blocks::new(codes, scales.clone(), code)
}

fn sizes(value: &Value) -> Option<Vec<usize>> {
    let size = |value: &Value| match value {
        Value::Int(n) => usize::try_from(*n).ok(),
        _ => None,
    };
    value.items()?.iter().map(size).collect()
}

/// The module and the name of a class.
pub(super) fn class(blocks: &Blocks) -> (&'static str, &'static str) {
    match blocks.code.bits() {
        4 => ("torchao.optim.subclass_4bit", "OptimState4bit"),
        _ => ("torchao.optim.subclass_8bit", "OptimState8bit"),
    }
}

/// A slot as torchao keeps it: in blocks, or in f32 if not all of them are whole.
pub(super) fn to_torchao(blocks: &Blocks) -> Value {
    if blocks.is_whole() { Value::Blocks(blocks.clone()) } else { Value::Tensor(blocks.decoded()) }
}

/// The attributes of a tensor.
pub(super) fn attributes(blocks: &Blocks) -> Result<Vec<(&'static str, Value)>, String> {
    let Blocks { codes, scales, code } = blocks;
    let table = Tensor::of_f32(code.numbers());
    let (own, shape) = match code.bits() {
        8 => (codes.clone(), None),
        _ => {
            let sizes = codes.shape.iter().map(|&size| Value::Int(size as i64));
            (packed(codes)?, Some((SHAPE, Value::Tuple(sizes.collect()))))
        }
    };
    let all = [
        (CODES, Value::Tensor(own)),
        (SCALE, Value::Tensor(scales.clone())),
        (TABLE, Value::Tensor(table)),
        (SIGNED, Value::Bool(code.is_signed())),
    ];
    let block = (BLOCK, Value::Int(code.block() as i64));
    Ok(all.into_iter().chain(shape).chain([block]).collect())
}
