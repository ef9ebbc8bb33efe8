//! How kernels load and store numbers: the text of a codec and of a binding's access.
//!
//! A codec (`shaders/format/`) knows the bits of one number, an access (`shaders/access/`) knows where
//! numbers share a word, and neither knows the other.

use crate::num::Format;
use crate::plan::Width;

impl Format {
    /// The WGSL of `decode_name` and `encode_name`, where numbers are not stored as computed.
    pub(super) fn codec(self) -> Option<&'static str> {
        match self {
            Self::F32 => None,
            Self::F16 => Some(include_str!("../../shaders/format/f16.wgsl")),
            Self::Bf16 => Some(include_str!("../../shaders/format/bf16.wgsl")),
        }
    }

    /// The WGSL of a binding of such numbers that serves as `role`: the buffer, `load_role` and, if it
    /// is `written`, `store_role`.
    pub(super) fn access(self, role: &str, width: Width, written: bool) -> String {
        access(self.codec().map(|_| self.name()), role, width, written)
    }
}

/// [`Format::access`] by the codec's name.
pub(super) fn access(codec: Option<&str>, role: &str, width: Width, written: bool) -> String {
    let file = match (codec, width, written) {
        (None, _, true) => include_str!("../../shaders/access/words.wgsl"),
        (None, _, false) => include_str!("../../shaders/access/words_read.wgsl"),
        (Some(_), Width::Vec4, true) => include_str!("../../shaders/access/pairs.wgsl"),
        (Some(_), Width::Vec4, false) => include_str!("../../shaders/access/pairs_read.wgsl"),
        (Some(_), Width::Scalar, true) => include_str!("../../shaders/access/halves.wgsl"),
        (Some(_), Width::Scalar, false) => include_str!("../../shaders/access/halves_read.wgsl"),
    };
    file.replace("role", role).replace("codec", codec.unwrap_or_default())
}
