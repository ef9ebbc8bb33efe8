//! State in blocks, as a checkpoint has it: `code.<name>.<slot>` and `scale.<name>.<slot>`.

use std::fs::File;

use safetensors::Dtype;
use serde_json::{Map, Value};
use wgpu_optim::checkpoint::{Container, Entry};
use wgpu_optim::{BlockCode, Format, Sign, StateFormat, config};

/// The code of a slot in blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks {
    pub(crate) code: BlockCode,
    /// Whether it is known that numbers have a sign, or that they have none: rules of this crate tell it.
    pub(crate) is_known: bool,
}

impl Blocks {
    /// The code of a slot in a group of these options, if the group keeps the slot in blocks.
    pub(crate) fn of(options: &Map<String, Value>, slot: &str) -> Option<Self> {
        let format = match options.get("state_format")? {
            Value::Object(slots) => slots.get(slot)?,
            all => all,
        };
        let format = StateFormat::named(format.as_str()?)?;
        let group = config::group(Value::Object(options.clone())).ok();
        let slots = group.map(|group| group.rule.slots()).unwrap_or_default();
        let sign = slots.into_iter().find(|known| known.name == slot).and_then(|slot| slot.blocks);
        let code = format.code(sign == Some(Sign::Signed))?;
        Some(Self { code, is_known: sign.is_some() })
    }

    /// Reads codes and scales in step, in pieces of whole blocks.
    ///
    /// # Errors
    /// Tensors of other types or sizes, and those of the file and of `each`.
    pub(crate) fn read(
        self,
        file: &mut Container<File>,
        [codes, scales]: [&str; 2],
        mut each: impl FnMut(&[u8], &[f32]) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let block = self.code.block();
        let of = |entry: Option<Entry>| {
            entry.map(|Entry { dtype, shape, .. }| {
                (dtype, shape.iter().map(|&n| n as u64).product::<u64>())
            })
        };
        let (has, beside) = (of(file.entry(codes)), of(file.entry(scales)));
        let (Some((Dtype::U8, len)), Some((Dtype::F32, count))) = (has, beside) else {
            return Err(std::io::Error::other(format!(
                "codes must be U8 and scales F32, but `{codes}` and `{scales}` are others, or are missing"
            )));
        };
        if count != len.div_ceil(block) {
            return Err(std::io::Error::other(format!(
                "`{codes}` has {len} elements and `{scales}` {count}; there must be one scale for {block} codes"
            )));
        }
        let (mut done, mut bytes) = (0, Vec::new());
        file.pieces(codes, |file, piece| {
            bytes.resize(4 * piece.len().div_ceil(block as usize), 0);
            file.read(scales, done, &mut bytes)?;
            done += bytes.len() as u64;
            each(piece, &Format::F32.decode_all(&bytes))
        })
    }
}
