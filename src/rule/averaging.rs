//! The weights of Schedule-Free's average, which both of its rules share.

use super::check::check_non_negative;
use super::formula::Past;
use crate::error::Error;

/// The options of the average: the weight of step t is tʳ · lrₜᵖ, where lrₜ is the learning rate after its warm-up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    pub(super) warmup_steps: u64,
    pub(super) r: f64,
    pub(super) power: f64,
}

/// The largest r and the largest power. Beyond them, the last step would be nearly all of the average.
const LARGEST: f64 = 16.0;

/// The range of either.
pub(super) const EXPONENT: &str = "a number from 0 to 16";

impl Weights {
    /// The factor of the learning rate at step `t`: t / warmup_steps, at most 1.
    #[inline]
    pub(super) fn warmup(self, t: u64) -> f64 {
        if t < self.warmup_steps { t as f64 / self.warmup_steps as f64 } else { 1.0 }
    }

    /// The part of step `t` in the average of all steps up to it: its weight over the sum of all weights. The
    /// learning rate itself cancels.
    pub(super) fn part(self, t: u64) -> f64 {
        let warm = self.warmup_steps.max(1);
        let steep = self.r + self.power;
        // In units of the weight that a step at the end of the warm-up has but for its tʳ.
        let scale = (warm as f64).powf(-self.power);
        let sum = power_sum(steep, t.min(warm)) * scale;
        if t <= warm {
            return (t as f64).powf(steep) * scale / sum;
        }
        let after = power_sum(self.r, t) - power_sum(self.r, warm);
        (t as f64).powf(self.r) / (sum + after)
    }

    /// The memory of the rates up to step `t`: the largest, and the sum of the weights. Without the memory of the step
    /// before, the rate has always been `lr`.
    pub(super) fn remember(self, t: u64, lr: f64, before: Option<Past>) -> Past {
        let Some([largest, sum]) = before else {
            let rate = lr * self.warmup(t);
            // The part of the last weight tells the sum.
            return [rate, self.weight(t, rate) / self.part(t)];
        };
        let largest = largest.max(lr * self.warmup(t));
        [largest, sum + self.weight(t, largest)]
    }

    /// The part of step `t`, by what is remembered up to it.
    pub(super) fn part_of(self, t: u64, past: Option<Past>) -> f64 {
        match past {
            None => self.part(t),
            // Rates of 0 only leave the average where it is.
            Some([_, 0.0]) => 0.0,
            Some([largest, sum]) => self.weight(t, largest) / sum,
        }
    }

    /// The weight of step `t`, if `largest` is the largest rate so far.
    fn weight(self, t: u64, largest: f64) -> f64 {
        (t as f64).powf(self.r) * largest.powf(self.power)
    }

    /// Whether both exponents are in their range.
    pub(super) fn check(self, rule: &'static str) -> Result<(), Error> {
        for (option, value) in [("r", self.r), ("weight_lr_power", self.power)] {
            check_non_negative(rule, option, value)?;
            if value > LARGEST {
                return Err(Error::Hyper { rule, option, value, must: EXPONENT });
            }
        }
        Ok(())
    }
}

/// Below this number, terms are added one by one.
const DIRECT: u64 = 64;

/// The Bernoulli numbers B₂ₖ, each over (2k)!.
const BERNOULLI: [f64; 7] = [
    1.0 / 12.0,
    -1.0 / 720.0,
    1.0 / 30_240.0,
    -1.0 / 1_209_600.0,
    1.0 / 47_900_160.0,
    -691.0 / 1_307_674_368_000.0,
    1.0 / 74_724_249_600.0,
];

/// 1^q + 2^q + … + n^q, in a time that does not grow with `n`: beyond the first terms by the formula of Euler and
/// Maclaurin.
fn power_sum(q: f64, n: u64) -> f64 {
    if q == 0.0 {
        return n as f64;
    }
    let direct = n.min(DIRECT);
    let first: f64 = (1..=direct).map(|i| (i as f64).powf(q)).sum();
    if n <= DIRECT {
        return first;
    }
    let (a, b) = (DIRECT as f64, n as f64);
    let integral = (b.powf(q + 1.0) - a.powf(q + 1.0)) / (q + 1.0);
    // The sum from a to b, of which the term at a is in `first` already.
    let mut sum = first + integral + (b.powf(q) - a.powf(q)) / 2.0;
    // f′ of x^q, and from each odd derivative the next.
    let mut factor = q;
    let mut exponent = q - 1.0;
    for bernoulli in BERNOULLI {
        sum += bernoulli * factor * (b.powf(exponent) - a.powf(exponent));
        factor *= exponent * (exponent - 1.0);
        exponent -= 2.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::{Weights, power_sum};

    #[test]
    fn sums_are_those_of_their_terms() {
        for q in [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.3, 16.0, 32.0] {
            let mut sum = 0.0;
            for n in 1..20_000_u64 {
                sum += (n as f64).powf(q);
                let found = power_sum(q, n);
                assert!((found - sum).abs() <= 1e-12 * sum, "{q} {n}: {found} in place of {sum}");
            }
        }
    }

    /// As the origin adds them up, one by one.
    #[test]
    fn parts_are_those_of_a_running_sum() {
        for (warmup_steps, r, power) in
            [(0, 0.0, 2.0), (5, 0.0, 2.0), (100, 0.5, 1.0), (7, 2.0, 0.0)]
        {
            let weights = Weights { warmup_steps, r, power };
            let mut sum = 0.0;
            for t in 1..5000 {
                let weight = (t as f64).powf(r) * weights.warmup(t).powf(power);
                sum += weight;
                let (found, expected) = (weights.part(t), weight / sum);
                assert!(
                    (found - expected).abs() <= 1e-12 * expected,
                    "{weights:?} {t}: {found} {expected}"
                );
            }
        }
    }
}
