//! Block8: the dynamic code of bitsandbytes in 8 bits, with seven decades.

pub(super) fn numbers(signed: bool) -> Vec<f32> {
    super::dynamic::numbers(signed, 7, 8)
}
