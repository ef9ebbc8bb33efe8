//! The value of a schedule at a step.

use std::f64::consts::FRAC_PI_2;

use super::{Schedule, SchedulePart};

/// The largest number that a schedule gives: the largest f32.
pub(super) const MOST: f64 = f32::MAX as f64;

/// The parts of a way that are still to come and that are done, and the whole.
///
/// Each is computed by itself, so that a value near either end of the way is as exact as one in its middle.
#[derive(Clone, Copy)]
struct Shares {
    left: f64,
    done: f64,
    all: f64,
}

impl Shares {
    const DONE: Self = Self { left: 0.0, done: 1.0, all: 1.0 };
}

impl Schedule {
    /// The value at step `t`, counted from 1; 0 is taken for 1.
    ///
    /// The ends are exact. The values between are within a few units in the last place of the formula's.
    #[must_use]
    pub fn at(&self, t: u64) -> f64 {
        // The steps before this one, which are PyTorch's calls of `scheduler.step()`.
        let k = t.max(1) - 1;
        let value = match *self {
            Self::Constant { value } => value,
            Self::Linear { start, end, steps } => line(start, end, shares(k, steps)),
            Self::Polynomial { start, end, power, steps } => {
                let Shares { left, done, all } = shares(k, steps);
                // The done part is 1 − (left / all)ᵖ, without the cancellation.
                let done = -(power * (-done / all).ln_1p()).exp_m1();
                line(start, end, Shares { left: (left / all).powf(power), done, all: 1.0 })
            }
            Self::Cosine { start, end, steps } => wave(start, end, shares(k, steps)),
            Self::CosineRestarts { start, end, steps, factor } => {
                let (i, length) = in_cycle(k, steps, factor);
                wave(start, end, shares(i, length))
            }
            Self::Exponential { start, gamma } => decayed(start, gamma, k),
            Self::Step { start, gamma, every } => {
                decayed(start, gamma, k.checked_div(every).unwrap_or(0))
            }
            Self::MultiStep { start, gamma, ref milestones } => {
                decayed(start, gamma, passed(milestones, k) as u64)
            }
            Self::OneCycle { peak, steps, pct_start, div, final_div } => {
                one_cycle(k, peak, steps, [pct_start, div, final_div])
            }
            Self::Cyclic { low, high, up, down } => {
                let cycle = up.saturating_add(down);
                let i = k.checked_rem(cycle).unwrap_or(0);
                if i <= up {
                    line(low, high, shares(i, up))
                } else {
                    line(high, low, shares(i - up, down))
                }
            }
            Self::InverseSqrt { peak, warmup } => {
                if k < warmup {
                    line(0.0, peak, shares(k + 1, warmup))
                } else {
                    peak * (warmup as f64 / (k as f64 + 1.0)).sqrt()
                }
            }
            Self::Wsd { peak, warmup, stable, decay, end } => {
                let since = k.saturating_sub(warmup.saturating_add(stable).saturating_sub(1));
                if k < warmup {
                    line(0.0, peak, shares(k + 1, warmup))
                } else {
                    line(peak, end, shares(since, decay))
                }
            }
            Self::Piecewise { ref boundaries, ref values } => {
                values.get(passed(boundaries, k)).or(values.last()).copied().unwrap_or(0.0)
            }
            Self::Warmup { steps, from, ref then } => {
                if k < steps {
                    line(from, then.at(1), shares(k, steps))
                } else {
                    then.at(k - steps + 1)
                }
            }
            Self::Sequence { ref parts } => in_sequence(parts, k),
        };
        value.min(MOST)
    }
}

/// The shares of a way of `steps` steps after `k` of them. A way without steps is done.
fn shares(k: u64, steps: u64) -> Shares {
    if k >= steps {
        return Shares::DONE;
    }
    Shares { left: (steps - k) as f64, done: k as f64, all: steps as f64 }
}

/// A mean without cancellation, since nothing in it is negative; the ends are exact, and nothing is beyond them.
fn line(start: f64, end: f64, Shares { left, done, all }: Shares) -> f64 {
    // A start times the whole, divided by it, may be another number.
    if done == 0.0 {
        return start;
    }
    ((start * left + end * done) / all).max(start.min(end)).min(start.max(end))
}

/// Half a wave: cos² and sin² of the half angle are (1 ± cos) / 2, without the cancellation.
fn wave(start: f64, end: f64, Shares { left, done, all }: Shares) -> f64 {
    let squared = |share: f64| (FRAC_PI_2 * (share / all)).sin().powi(2);
    line(start, end, Shares { left: squared(left), done: squared(done), all: 1.0 })
}

/// A factor that was applied so many times.
fn decayed(start: f64, gamma: f64, times: u64) -> f64 {
    // Otherwise, 0 times an infinite factor would be NaN.
    if start == 0.0 { 0.0 } else { start * gamma.powf(times as f64) }
}

/// The number of places that lie behind the first `k` steps.
fn passed(places: &[u64], k: u64) -> usize {
    places.partition_point(|place| *place <= k)
}

/// The place in a cycle and the cycle's length, where each cycle is `factor` times as long as the one before.
fn in_cycle(mut k: u64, mut length: u64, factor: u64) -> (u64, u64) {
    if factor <= 1 {
        return (k.checked_rem(length).unwrap_or(0), length);
    }
    // Lengths at least double, so that 64 cycles pass any k.
    while length > 0 && k >= length {
        k -= length;
        length = length.saturating_mul(factor);
    }
    (k, length)
}

fn one_cycle(k: u64, peak: f64, steps: u64, [pct_start, div, final_div]: [f64; 3]) -> f64 {
    let first = peak / div;
    let (k, top, last) = (k as f64, pct_start * steps as f64 - 1.0, steps as f64 - 1.0);
    let ends = |[start, end]: [f64; 2]| [start.min(MOST), end.min(MOST)];
    if k < top {
        let [start, end] = ends([first, peak]);
        wave(start, end, Shares { left: top - k, done: k, all: top })
    } else {
        let [start, end] = ends([peak, first / final_div]);
        let falling = Shares { left: last - k, done: k - top, all: last - top };
        wave(start, end, if k < last { falling } else { Shares::DONE })
    }
}

fn in_sequence(parts: &[SchedulePart], mut k: u64) -> f64 {
    for SchedulePart { steps, schedule } in parts {
        match steps {
            Some(steps) if k >= *steps => k -= steps,
            _ => return schedule.at(k + 1),
        }
    }
    0.0
}
