//! Block4: the codes of torchao in 4 bits. Signed numbers have the dynamic code with three decades; unsigned numbers
//! are sixteenths, without 0, so that a denominator never becomes 0.

use super::Line;
use super::dynamic;

pub(super) fn numbers(signed: bool) -> Vec<f32> {
    match signed {
        true => dynamic::numbers(true, 3, 4),
        false => (1..=16).map(|i| i as f32 / 16.0).collect(),
    }
}

pub(super) fn lines(signed: bool) -> Vec<Line> {
    match signed {
        true => dynamic::lines(true, 3, 4),
        false => vec![[16.0, -0.5]],
    }
}
