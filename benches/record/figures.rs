//! Figures come from measurements taken in turn, and are held against targets.

use std::fmt::{self, Display, Formatter};

use crate::case::{Change, Look, Motion, Spec};

/// The time of one row in each round, in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// The time after few steps, and after many.
    pub(crate) here: [Vec<f64>; 2],
    /// The time that the other commit takes after few steps.
    pub(crate) old: Vec<f64>,
}

impl Figures {
    pub(crate) fn here(&self) -> Option<f64> {
        typical(&self.here[0])
    }

    pub(crate) fn old(&self) -> Option<f64> {
        typical(&self.old)
    }

    /// Gives the time above another row, in microseconds.
    pub(crate) fn above(&self, other: &Self) -> Option<f64> {
        Some(self.here()? - other.here()?)
    }

    /// Divides the time by that of another row.
    pub(crate) fn over(&self, other: &Self) -> Option<f64> {
        Some(self.here()? / other.here()?)
    }

    /// Divides the time by that of the other commit.
    pub(crate) fn times_old(&self) -> Option<f64> {
        Some(self.here()? / self.old()?)
    }

    /// Divides the time after many steps by the time after few.
    pub(crate) fn later(&self) -> Option<f64> {
        Some(typical(&self.here[1])? / self.here()?)
    }
}

/// Takes the lower quartile over the rounds, because other programs only ever make a round slower.
fn typical(rounds: &[f64]) -> Option<f64> {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 4).copied()
}

fn median(all: &[f64]) -> Option<f64> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Keeps the shortest time of each step over several runs.
pub(crate) fn least_of(all: &mut Option<Vec<f64>>, run: Option<Vec<f64>>) {
    match (all.as_mut(), run) {
        (Some(all), Some(run)) => {
            all.iter_mut().zip(run).for_each(|(least, us)| *least = least.min(us));
        }
        (None, run) => *all = run,
        (Some(_), None) => {}
    }
}

/// The slowest step of many.
pub(crate) struct Slowest {
    pub(crate) median: f64,
    pub(crate) most: f64,
    /// The number of the step, from 0.
    pub(crate) at: usize,
    pub(crate) ratio: f64,
}

pub(crate) fn slowest(all: Option<Vec<f64>>) -> Option<Slowest> {
    let all = all?;
    let median = median(&all)?;
    let (at, most) = all.into_iter().enumerate().max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Slowest { median, most, at, ratio: most / median })
}

/// The targets that were met and missed.
#[derive(Debug)]
pub(crate) struct Tally {
    /// A single round in a program compiled for debugging says nothing of targets.
    judges: bool,
    met: usize,
    missed: Vec<String>,
}

impl Tally {
    pub(crate) fn new(judges: bool) -> Self {
        Self { judges, met: 0, missed: Vec::new() }
    }

    /// Notes a target, and says in words whether it is met.
    pub(crate) fn at_most(&mut self, what: &str, is: Option<f64>, most: f64) -> &'static str {
        match is {
            None => "",
            Some(_) if !self.judges => "not judged",
            Some(is) if is <= most => {
                self.met += 1;
                "met"
            }
            Some(is) => {
                self.missed.push(format!("{what}: {is:.2}, at most {most:.2}"));
                "**missed**"
            }
        }
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} targets met, {} missed", self.met, self.missed.len())?;
        self.missed.iter().try_for_each(|missed| write!(f, "\n- {missed}"))
    }
}

pub(crate) fn microseconds(us: Option<f64>) -> String {
    us.map_or(String::new(), |us| format!("{us:.1}"))
}

pub(crate) fn times(ratio: Option<f64>) -> String {
    ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"))
}

impl Spec {
    pub(crate) fn name(&self) -> String {
        let Self { motion, look, change, params } = self;
        format!("{params} parameters, {motion}, looked at {look}, changing {change}")
    }
}

impl Look {
    pub(crate) fn clips(self) -> bool {
        self == Self::ClipNorm
    }
}

impl Change {
    /// The change that this change is compared with.
    pub(crate) fn still(self) -> Self {
        match self {
            Self::NothingInMomentum | Self::RateInMomentum => Self::NothingInMomentum,
            _ => Self::Nothing,
        }
    }
}

impl Display for Motion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arena => "fixed, arena",
            Self::Own => "fixed, own buffers",
            Self::Inside => "move inside their buffer",
            Self::AnyOrder => "move inside it in any order",
            Self::Halves => "move inside it, a random half absent",
            Self::Others => "each in another buffer",
        })
    }
}

impl Display for Look {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Not => "not",
            Self::ClipNorm => "clip_norm",
            Self::SkipNonfinite => "skip_nonfinite",
        })
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::ClipNorm => "clip_norm",
            Self::Rate => "learning rate",
            Self::RateInMomentum => "learning rate, inside the momentum",
            Self::NothingInMomentum => "nothing, learning rate inside the momentum",
            Self::Betas => "betas",
        })
    }
}
