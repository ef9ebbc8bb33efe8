//! Whether the numbers of a schedule are in their ranges.

use std::fmt::Display;

use super::Schedule;
use super::at::MOST;
use crate::error::Error;

/// The range of a value.
const VALUE: &str = "a finite f32 number, 0 or more";

/// The range of a factor.
const FACTOR: &str = "a finite number above 0";

/// The range of a number of steps.
const COUNT: &str = "a whole number, 1 or more";

/// The keys of one schedule, for errors.
struct Keys<'a> {
    schedule: &'static str,
    /// The keys that lead to the schedule, each with a dot behind it.
    path: &'a str,
}

impl Keys<'_> {
    fn wrong(&self, key: &str, is: impl Display, must: impl Display) -> Error {
        let Self { schedule, path } = self;
        Error::Schedule(schedule, format!("`{path}{key}` is {is}; it must be {must}"))
    }

    /// `Ok` if all are values of a schedule.
    fn values<const N: usize>(&self, all: [(&str, f64); N]) -> Result<(), Error> {
        for (key, value) in all {
            if !(0.0..=MOST).contains(&value) {
                return Err(self.wrong(key, value, VALUE));
            }
        }
        Ok(())
    }

    fn factor(&self, key: &str, value: f64) -> Result<(), Error> {
        let right = value > 0.0 && value.is_finite();
        if right { Ok(()) } else { Err(self.wrong(key, value, FACTOR)) }
    }

    /// `Ok` if all are numbers of steps. Zero would be divided by, or stand for nothing.
    fn counts<const N: usize>(&self, all: [(&str, u64); N]) -> Result<(), Error> {
        match all.into_iter().find(|(_, count)| *count == 0) {
            Some((key, count)) => Err(self.wrong(key, count, COUNT)),
            None => Ok(()),
        }
    }

    /// `Ok` if there are some, and each is larger than the one before.
    fn increasing(&self, key: &str, all: &[u64]) -> Result<(), Error> {
        let Some(first) = all.first() else {
            let must = "a list of at least 1 step, or the schedule `constant`";
            return Err(self.wrong(key, "a list of 0 numbers", must));
        };
        self.counts([(&*format!("{key}[0]"), *first)])?;
        for (i, pair) in (1..).zip(all.windows(2)) {
            if pair[0] >= pair[1] {
                let must = format!("above `{}{key}[{}]`, which is {}", self.path, i - 1, pair[0]);
                return Err(self.wrong(&format!("{key}[{i}]"), pair[1], must));
            }
        }
        Ok(())
    }
}

impl Schedule {
    /// Whether every number is in its range.
    ///
    /// # Errors
    /// The first that is not, by its key: `then.steps` is `steps` of the schedule under `then`.
    pub fn check(&self) -> Result<(), Error> {
        self.check_under("")
    }

    /// The same for a schedule under a key, as `lr`, which the error has in front of its own.
    #[cfg(feature = "checkpoint")]
    pub(crate) fn check_as(&self, key: &str) -> Result<(), Error> {
        self.check_under(&format!("{key}."))
    }

    fn check_under(&self, path: &str) -> Result<(), Error> {
        let keys = Keys { schedule: self.name(), path };
        match *self {
            Self::Constant { value } => keys.values([("value", value)]),
            Self::Linear { start, end, steps } | Self::Cosine { start, end, steps } => {
                keys.values([("start", start), ("end", end)])?;
                keys.counts([("steps", steps)])
            }
            Self::Polynomial { start, end, power, steps } => {
                keys.values([("start", start), ("end", end)])?;
                keys.factor("power", power)?;
                keys.counts([("steps", steps)])
            }
            Self::CosineRestarts { start, end, steps, factor } => {
                keys.values([("start", start), ("end", end)])?;
                keys.counts([("steps", steps), ("factor", factor)])
            }
            Self::Exponential { start, gamma } => {
                keys.values([("start", start)])?;
                keys.factor("gamma", gamma)
            }
            Self::Step { start, gamma, every } => {
                keys.values([("start", start)])?;
                keys.factor("gamma", gamma)?;
                keys.counts([("every", every)])
            }
            Self::MultiStep { start, gamma, ref milestones } => {
                keys.values([("start", start)])?;
                keys.factor("gamma", gamma)?;
                keys.increasing("milestones", milestones)
            }
            Self::OneCycle { peak, steps, pct_start, div, final_div } => {
                keys.values([("peak", peak)])?;
                keys.counts([("steps", steps)])?;
                if !(0.0..1.0).contains(&pct_start) {
                    return Err(keys.wrong("pct_start", pct_start, "at least 0 and below 1"));
                }
                keys.factor("div", div)?;
                keys.factor("final_div", final_div)
            }
            Self::Cyclic { low, high, up, down } => {
                keys.values([("low", low), ("high", high)])?;
                keys.counts([("up", up), ("down", down)])
            }
            Self::InverseSqrt { peak, warmup } => {
                keys.values([("peak", peak)])?;
                keys.counts([("warmup", warmup)])
            }
            Self::Wsd { peak, warmup, stable: _, decay, end } => {
                keys.values([("peak", peak), ("end", end)])?;
                keys.counts([("warmup", warmup), ("decay", decay)])
            }
            Self::Piecewise { ref boundaries, ref values } => {
                keys.increasing("boundaries", boundaries)?;
                let needs = boundaries.len() + 1;
                if values.len() != needs {
                    let is = format!("a list of {} numbers", values.len());
                    let must = format!("a list of {needs}, one more than `{path}boundaries`");
                    return Err(keys.wrong("values", is, must));
                }
                for (i, value) in values.iter().enumerate() {
                    keys.values([(&*format!("values[{i}]"), *value)])?;
                }
                Ok(())
            }
            Self::Warmup { steps, from, ref then } => {
                keys.counts([("steps", steps)])?;
                keys.values([("from", from)])?;
                then.check_under(&format!("{path}then."))
            }
            Self::Sequence { ref parts } => {
                if parts.is_empty() {
                    return Err(keys.wrong("parts", "an empty list", "a list of schedules"));
                }
                for (i, part) in parts.iter().enumerate() {
                    let key = format!("parts[{i}].for");
                    match part.steps {
                        Some(steps) if i + 1 < parts.len() => keys.counts([(&*key, steps)])?,
                        Some(steps) => {
                            let must = "left out, because the last part has no end";
                            return Err(keys.wrong(&key, steps, must));
                        }
                        None if i + 1 < parts.len() => {
                            let must = format!("{COUNT}; only the last part has no end");
                            return Err(keys.wrong(&key, "missing", must));
                        }
                        None => {}
                    }
                    part.schedule.check_under(&format!("{path}parts[{i}]."))?;
                }
                Ok(())
            }
        }
    }
}
