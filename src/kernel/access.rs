//! This module chooses the text that loads and stores an operand. The choice depends on how the operand is stored and
//! how many elements an invocation takes.

use crate::model::{Body, Variable};
use crate::num::Code;
use crate::num::Format;
use crate::plan::Width;

/// The WGSL of `decode_x`, `encode_x` and `dither_x`, if a format needs them.
pub(crate) fn codec(format: Format) -> Option<&'static str> {
    match format {
        Format::F32 => None,
        Format::F16 => Some(include_str!("../../shaders/format/f16.wgsl")),
        Format::Bf16 => Some(include_str!("../../shaders/format/bf16.wgsl")),
    }
}

/// The WGSL of `decode_raw` and `encode_raw`.
pub(crate) const RAW: &str = include_str!("../../shaders/format/raw.wgsl");

/// The name and the text of a file of `shaders/access/`.
type File = (&'static str, &'static str);

macro_rules! file {
    ($name:literal) => {
        (concat!("access/", $name), include_str!(concat!("../../shaders/access/", $name)))
    };
}

/// The file that declares a binding, `load_role` and, if the binding is written, `store_role`. The text still has the
/// words `role` and `codec`.
fn file(code: Code, width: Width, written: bool) -> File {
    match (code, width, written) {
        (Code::Bits(32), ..) => file!("bits.wgsl"),
        (Code::Blocks(_), ..) => file!("blocks.wgsl"),
        (Code::Plain(Format::F32) | Code::Bits(_), Width::Loose, true) => file!("loose_words.wgsl"),
        (Code::Plain(Format::F32), Width::Loose, false) => file!("loose_words_read.wgsl"),
        (Code::Plain(Format::F32), _, true) => file!("words.wgsl"),
        (Code::Plain(Format::F32), _, false) => file!("words_read.wgsl"),
        (_, Width::Loose, true) => file!("loose_halves.wgsl"),
        (_, Width::Loose, false) => file!("loose_halves_read.wgsl"),
        (_, Width::Vec4, true) => file!("pairs.wgsl"),
        (_, Width::Vec4, false) => file!("pairs_read.wgsl"),
        (_, Width::Scalar, true) => file!("halves.wgsl"),
        (_, Width::Scalar, false) => file!("halves_read.wgsl"),
    }
}

/// The text of the access to a variable, with the name of its file.
pub(crate) fn access(variable: &Variable, width: Width, body: Body) -> (&'static str, String) {
    let codec = match variable.code {
        Code::Bits(_) => "raw".to_owned(),
        Code::Plain(format) => format.name().to_owned(),
        Code::Blocks(code) => code.name(),
    };
    let (name, text) = match (variable.code, body) {
        (Code::Blocks(_), Body::Stream) => file!("blocks_stream.wgsl"),
        (code, _) => file(code, width, variable.written || variable.stores()),
    };
    (name, text.replace("role", &variable.name).replace("codec", &codec))
}
