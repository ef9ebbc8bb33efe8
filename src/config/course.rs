//! Options that are not one number for all steps.

use serde_json::Value;

use super::schedule::schedule;
use crate::schedule::Schedule;

/// A number for each step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Course {
    /// One number for each step of this run.
    List(Vec<f64>),
    /// A function of the step, counted from the first run on.
    Schedule(Schedule),
}

/// The course that a value describes, or `None` for any value but a list or an object.
pub(super) fn course(key: &str, value: &Value) -> Result<Option<Course>, String> {
    match value {
        Value::Array(all) => Ok(Some(Course::List(all.iter().filter_map(Value::as_f64).collect()))),
        Value::Object(_) => schedule(key, value).map(|schedule| Some(Course::Schedule(schedule))),
        _ => Ok(None),
    }
}

impl Course {
    /// The number of a step: `step` counts this run's from 0, and `t` from 1 those that were taken, in this run and
    /// in all before it. `None` behind the end of a list.
    pub fn at(&self, step: u64, t: u64) -> Option<f64> {
        match self {
            Self::List(all) => all.get(usize::try_from(step).ok()?).copied(),
            Self::Schedule(schedule) => Some(schedule.at(t)),
        }
    }

    /// The steps that a list has numbers for; `None` if there is no end.
    pub fn steps(&self) -> Option<u64> {
        match self {
            Self::List(all) => Some(all.len() as u64),
            Self::Schedule(_) => None,
        }
    }

    /// The numbers between which all lie, each with its place in CONFIG: to check them.
    pub(super) fn extremes(&self, key: &str) -> Vec<(String, f64)> {
        match self {
            Self::List(all) => {
                (0..).zip(all).map(|(i, number)| (format!("{key}[{i}]"), *number)).collect()
            }
            Self::Schedule(schedule) => {
                let place =
                    |value: f64| (format!("{key}, a schedule `{}`", schedule.name()), value);
                schedule.range().map(place).into()
            }
        }
    }
}
