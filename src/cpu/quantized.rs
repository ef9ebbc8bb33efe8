//! This module stores state of the reference in blocks, as a kernel does after each step, and bounds how far from it a
//! kernel's state may be.

use crate::group::Group;
use crate::num::{BlockCode, Bounded};

/// One unit in the last place of an f32, relative: more than the rounding of a product.
const ULP: f64 = 1.0 / (1_u32 << 23) as f64;

/// The smallest normal f32. A device may take any smaller number for zero, and a smaller scale is 0.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// A number of the reference, with the distance of a kernel's number from it if the arithmetic knows that.
pub(crate) trait Quantize: Copy {
    /// Whether the arithmetic bounds that distance.
    const IS_BOUNDED: bool;

    /// The value and the distance.
    fn parts(self) -> [f64; 2];

    /// The number with this value and distance.
    fn of_parts(parts: [f64; 2]) -> Self;
}

impl Quantize for f64 {
    const IS_BOUNDED: bool = false;

    fn parts(self) -> [f64; 2] {
        [self, 0.0]
    }

    fn of_parts([value, _]: [f64; 2]) -> Self {
        value
    }
}

impl<const ONE_STEP: bool> Quantize for Bounded<ONE_STEP> {
    const IS_BOUNDED: bool = true;

    fn parts(self) -> [f64; 2] {
        [self.value, self.error]
    }

    fn of_parts([value, error]: [f64; 2]) -> Self {
        Self { value, error }
    }
}

/// The codes and scales of one slot.
#[derive(Clone, Debug)]
pub(super) struct Coded {
    slot: usize,
    code: BlockCode,
    codes: Vec<u8>,
    scales: Vec<f32>,
}

impl Coded {
    /// The slots of a parameter of `len` elements that a group stores in blocks, all zero.
    pub(super) fn all(group: &Group, len: usize) -> Vec<Self> {
        let slots = group.rule.slots();
        let coded = slots.iter().enumerate().filter_map(|(slot, of)| {
            let code = group.block_code(of.name, len as u64)?;
            let scales = vec![0.0; len.div_ceil(code.block() as usize)];
            Some(Self { slot, code, codes: vec![code.zero(); len], scales })
        });
        coded.collect()
    }

    /// Whether these are the codes of slot number `slot`.
    pub(super) fn is_of(&self, slot: usize) -> bool {
        self.slot == slot
    }

    /// The codes and scales.
    pub(super) fn parts(&self) -> (Vec<u8>, Vec<f32>) {
        (self.codes.clone(), self.scales.clone())
    }

    /// Takes other codes and scales. Returns false, and changes nothing, if they are not those of as many elements.
    pub(super) fn set(&mut self, codes: &[u8], scales: &[f32]) -> bool {
        let known = self.code.numbers().len();
        let fits = codes.len() == self.codes.len()
            && scales.len() == self.scales.len()
            && codes.iter().all(|code| usize::from(*code) < known);
        if fits {
            self.codes.copy_from_slice(codes);
            self.scales.copy_from_slice(scales);
        }
        fits
    }

    /// Replaces the slot's numbers by those that the codes stand for.
    pub(super) fn decode<N: Quantize>(&self, state: &mut [N], slots: usize) {
        let numbers = self.code.decode_all(&self.codes, &self.scales);
        let places = state.iter_mut().skip(self.slot).step_by(slots);
        places.zip(numbers).for_each(|(place, x)| *place = N::of_parts([x.into(), 0.0]));
    }

    /// Encodes the slot's numbers, with a seed and a step at random, and replaces them by those that the codes stand
    /// for. Elements count from the start of the parameter.
    pub(super) fn encode<N: Quantize>(
        &mut self,
        state: &mut [N],
        slots: usize,
        random: Option<(u64, u64)>,
    ) {
        let Self { slot, code, codes, scales } = self;
        let len = code.block() as usize;
        let blocks = state.chunks_mut(len * slots).zip(codes.chunks_mut(len)).zip(scales);
        for (block, ((state, codes), scale)) in blocks.enumerate() {
            let parts = state.iter().skip(*slot).step_by(slots).map(|number| number.parts());
            let parts: Vec<[f64; 2]> = parts.collect();
            let numbers: Vec<f32> = parts.iter().map(|[value, _]| *value as f32).collect();
            *scale = code.scale(&numbers);
            let bounds = N::IS_BOUNDED.then(|| scales_of(&parts));
            let places = state.iter_mut().skip(*slot).step_by(slots).zip(codes);
            for (i, (place, own)) in places.enumerate() {
                let x = (numbers[i], *scale);
                let element = (block * len + i) as u32;
                *own = match random {
                    None => code.encode(x.0, x.1),
                    Some((seed, step)) => {
                        code.encode_at_random(x, seed, step, (*slot as u32, element))
                    }
                };
                let value = f64::from(code.decode(*own, *scale));
                let error = bounds.map_or(0.0, |scales| {
                    distance(value, reach(*code, parts[i], scales, random.is_some()))
                });
                *place = N::of_parts([value, error]);
            }
        }
    }
}

/// The smallest and the largest scale that a kernel may give a block of these numbers. The largest is infinite if
/// nothing is known of one of the numbers.
fn scales_of(parts: &[[f64; 2]]) -> [f64; 2] {
    parts.iter().fold([0.0, 0.0], |[least, most], [value, error]| {
        let largest = value.abs() + error;
        let known = largest <= f64::from(f32::MAX);
        [least.max(value.abs() - error), if known { most.max(largest) } else { f64::INFINITY }]
    })
}

/// The least and the largest number that a kernel's code for a number may stand for; none if nothing is known.
///
/// A kernel has x′ in place of x, at most the error away, and a scale s′ from `least` to `most`. Its code rises with
/// x′ / s′, so that the code lies between those of the smallest and the largest quotient, and so does the code's
/// number t′. The kernel keeps t′ · s′. Where no middle between codes lies in that range, the number is as certain as
/// the scale; otherwise a gap between codes is added.
fn reach(
    code: BlockCode,
    [value, error]: [f64; 2],
    [least, most]: [f64; 2],
    at_random: bool,
) -> Option<[f64; 2]> {
    if value.is_nan() || !most.is_finite() {
        return None;
    }
    if most < TINY {
        return Some([0.0, 0.0]);
    }
    // With zero where a device may take a number for zero.
    let around_zero = |low: f64, high: f64| match low < TINY && high > -TINY {
        true => [low.min(0.0), high.max(0.0)],
        false => [low, high],
    };
    // The ends of a range times a scale, or divided by it.
    let ends = |[low, high]: [f64; 2], of: fn(f64, f64) -> f64, [near, far]: [f64; 2]| {
        let low = of(low, if low < 0.0 { far } else { near });
        [low, of(high, if high > 0.0 { far } else { near })]
    };
    let numbers = code.numbers();
    let x = around_zero(value - error, value + error);
    // No magnitude is above its scale. The products of middles and scale are rounded before they are compared.
    let [low, high] = ends(x, |x, scale| x / scale, [most, least]);
    let [low, high] = [low - 2.0 * ULP * low.abs(), high + 2.0 * ULP * high.abs()];
    let [low, high] = [low.max(-1.0), high.min(1.0)];
    let upper = |all: &[f32], x: f64| all.partition_point(|number| f64::from(*number) <= x);
    let [first, last] = match at_random {
        false => [low, high].map(|x| upper(code.middles(), x)),
        true => {
            [upper(&numbers[1..], low), (upper(&numbers[1..], high) + 1).min(numbers.len() - 1)]
        }
    };
    let stands = [first, last].map(|i| f64::from(numbers[i]));
    let [low, high] = ends(stands, |number, scale| number * scale, [least, most]);
    // A scale below the smallest normal number is 0.
    let [low, high] = if least < TINY { [low.min(0.0), high.max(0.0)] } else { [low, high] };
    let rounded = [low - ULP * low.abs(), high + ULP * high.abs()];
    Some(if rounded == [0.0, 0.0] { rounded } else { around_zero(rounded[0], rounded[1]) })
}

/// The distance from a number to the farther end of a range.
fn distance(from: f64, range: Option<[f64; 2]>) -> f64 {
    range.map_or(f64::INFINITY, |[low, high]| (from - low).max(high - from).max(0.0))
}

#[cfg(test)]
mod tests;
