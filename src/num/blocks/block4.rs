//! Block4: the codes of torchao in 4 bits. Signed numbers have the dynamic code with three decades; unsigned numbers
//! are sixteenths, without 0, so that a denominator never becomes 0.

pub(super) fn numbers(signed: bool) -> Vec<f32> {
    match signed {
        true => super::dynamic::numbers(true, 3, 4),
        false => (1..=16).map(|i| i as f32 / 16.0).collect(),
    }
}
