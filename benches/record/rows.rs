//! A table has the cases that are measured side by side.

use std::time::{Duration, Instant};

use wgpu_optim::Error;

use crate::case::{Case, Change, Look, Motion, Spec};

/// The number of steps before a measurement: few, and many.
pub(crate) const TIMES: [u64; 2] = [10, 1_000_000];

/// The rows of a table of motions.
pub(crate) const MOTIONS: [Motion; 6] =
    [Motion::Arena, Motion::Own, Motion::Inside, Motion::AnyOrder, Motion::Halves, Motion::Others];

/// The rows of a table of changes.
pub(crate) const CHANGES: [Change; 6] = [
    Change::Nothing,
    Change::ClipNorm,
    Change::Rate,
    Change::Betas,
    Change::NothingInMomentum,
    Change::RateInMomentum,
];

/// The length of the warm-up before a measurement, and of the measurement.
const WARM_UP: Duration = Duration::from_millis(10);
const MEASURE: Duration = Duration::from_millis(40);

/// The length of a step that is measured alone, in microseconds.
const SLOW: f64 = 200_000.0;

/// The cases that are measured in turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Table {
    /// Every motion of this many gradients, with and without a norm.
    Motions(u64),
    /// Every change, over this many parameters with clip_norm.
    Changes(u64),
    /// Every option that makes the GPU count steps, and every change, over this many parameters.
    Stalls(u64),
}

impl Table {
    pub(crate) fn specs(self) -> Vec<Spec> {
        let (motion, change, look) = (Motion::Arena, Change::Nothing, Look::ClipNorm);
        match self {
            Self::Motions(params) => {
                let looks = [Look::Not, Look::ClipNorm].into_iter();
                let all = looks.flat_map(|look| MOTIONS.map(|motion| (look, motion)));
                all.map(|(look, motion)| Spec { motion, look, change, params }).collect()
            }
            Self::Changes(params) => {
                CHANGES.into_iter().map(|change| Spec { motion, look, change, params }).collect()
            }
            Self::Stalls(params) => {
                let looks = [Look::ClipNorm, Look::SkipNonfinite];
                let fixed = looks.map(|look| Spec { motion, look, change, params });
                let changing = CHANGES.into_iter().skip(1);
                let changing = changing.map(|change| Spec { motion, look, change, params });
                fixed.into_iter().chain(changing).collect()
            }
        }
    }
}

/// The cases of a table, made.
pub(crate) struct Rows {
    cases: Vec<Option<Case>>,
    in_earnest: bool,
}

impl Rows {
    pub(crate) fn new(table: Table, in_earnest: bool) -> Result<Self, Error> {
        let cases = table.specs().into_iter().map(Case::new).collect::<Result<_, _>>()?;
        Ok(Self { cases, in_earnest })
    }

    /// Measures steps that follow `steps`, and returns the shortest, in microseconds. `None` if the crate
    /// lacks a call that the case needs; a crate that cannot set steps goes on from the steps it has taken.
    pub(crate) fn least(&mut self, row: usize, steps: u64) -> Result<Option<f64>, Error> {
        let Some(Some(case)) = self.cases.get_mut(row) else { return Ok(None) };
        if !case.set_steps(steps)? && steps != TIMES[0] {
            return Ok(None);
        }
        // A table would take too long if slow cases took more than one step.
        let first = case.record()?;
        if !self.in_earnest || first > SLOW {
            return Ok(Some(first));
        }
        shortest(case, WARM_UP)?;
        shortest(case, MEASURE).map(Some)
    }
}

/// Records steps for a while, at least two, and returns the shortest, in microseconds.
fn shortest(case: &mut Case, during: Duration) -> Result<f64, Error> {
    let start = Instant::now();
    let mut least = case.record()?.min(case.record()?);
    while start.elapsed() < during {
        least = least.min(case.record()?);
    }
    Ok(least)
}

/// Measures each of `count` steps that follow `steps`, in microseconds; each is submitted alone. `None` if
/// the crate lacks a call that the case needs.
pub(crate) fn each(spec: Spec, steps: u64, count: usize) -> Result<Option<Vec<f64>>, Error> {
    let Some(mut case) = Case::new(spec)? else { return Ok(None) };
    if !case.set_steps(steps)? && steps != TIMES[0] {
        return Ok(None);
    }
    for _ in 0..TIMES[0].min(count as u64) {
        case.record_and_submit()?;
    }
    (0..count).map(|_| case.record_and_submit()).collect::<Result<_, _>>().map(Some)
}
