//! Block8: the dynamic code of bitsandbytes in 8 bits, with seven decades.

use super::Line;
use super::dynamic;

pub(super) fn numbers(signed: bool) -> Vec<f32> {
    dynamic::numbers(signed, 7, 8)
}

pub(super) fn lines(signed: bool) -> Vec<Line> {
    dynamic::lines(signed, 7, 8)
}
