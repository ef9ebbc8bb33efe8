//! The range of a schedule's values over all steps.

use super::at::MOST;
use super::{Schedule, SchedulePart};

impl Schedule {
    /// Two numbers between which every value lies, for those who use it to check once for all steps.
    ///
    /// Both are as near as the ends of each part make them; a part of a sequence counts as far as it lasts.
    #[must_use]
    pub fn range(&self) -> [f64; 2] {
        self.range_of(u64::MAX)
    }

    /// The range of the first `n` values.
    fn range_of(&self, n: u64) -> [f64; 2] {
        let of = |corners: &[u64]| {
            let values = corners.iter().map(|t| self.at((*t).min(n)));
            values.fold([MOST, 0.0], |[low, high], value| [value.min(low), value.max(high)])
        };
        // Between these steps, each schedule only rises or only falls.
        match self {
            Self::Constant { .. }
            | Self::Linear { .. }
            | Self::Polynomial { .. }
            | Self::Cosine { .. }
            | Self::Exponential { .. }
            | Self::Step { .. }
            | Self::MultiStep { .. } => of(&[1, n]),
            Self::CosineRestarts { end, steps, .. } => {
                // No cycle reaches its end, and every longer cycle comes nearer to it.
                let all = of(&[1, n]);
                if n > *steps { joined(all, [*end; 2]) } else { all }
            }
            Self::OneCycle { steps, pct_start, .. } => {
                // The peak may lie between two steps.
                let top = (pct_start * *steps as f64) as u64;
                of(&[1, top, top.saturating_add(1), n])
            }
            Self::Cyclic { up, .. } => of(&[1, up.saturating_add(1), n]),
            Self::InverseSqrt { warmup, .. } => of(&[1, *warmup, n]),
            Self::Wsd { warmup, .. } => of(&[1, *warmup, n]),
            Self::Piecewise { boundaries, .. } => {
                let starts = boundaries.iter().map(|boundary| boundary.saturating_add(1));
                of(&starts.chain([1]).collect::<Vec<_>>())
            }
            Self::Warmup { steps, then, .. } => match n.checked_sub(*steps) {
                None | Some(0) => of(&[1, n]),
                Some(rest) => joined(of(&[1]), then.range_of(rest)),
            },
            Self::Sequence { parts } => range_of_parts(parts, n),
        }
    }
}

fn joined(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0].min(b[0]), a[1].max(b[1])]
}

fn range_of_parts(parts: &[SchedulePart], mut n: u64) -> [f64; 2] {
    let mut all = [MOST, 0.0];
    for SchedulePart { steps, schedule } in parts {
        if n == 0 {
            break;
        }
        let lasts = steps.unwrap_or(n).min(n);
        all = joined(all, schedule.range_of(lasts));
        n -= lasts;
    }
    all
}
