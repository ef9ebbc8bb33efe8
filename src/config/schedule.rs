//! Schedules from JSON: an object in the place of a number.

use serde_json::{Map, Value};

use super::words::{kind, list};
use crate::schedule::Schedule;

/// Every schedule with its keys, all of which are required.
const SCHEDULES: [(&str, &[&str]); 15] = [
    ("constant", &["value"]),
    ("linear", &["start", "end", "steps"]),
    ("polynomial", &["start", "end", "power", "steps"]),
    ("cosine", &["start", "end", "steps"]),
    ("cosine_restarts", &["start", "end", "steps", "factor"]),
    ("exponential", &["start", "gamma"]),
    ("step", &["start", "gamma", "every"]),
    ("multi_step", &["start", "gamma", "milestones"]),
    ("one_cycle", &["peak", "steps", "pct_start", "div", "final_div"]),
    ("cyclic", &["low", "high", "up", "down"]),
    ("inverse_sqrt", &["peak", "warmup"]),
    ("wsd", &["peak", "warmup", "stable", "decay", "end"]),
    ("piecewise", &["boundaries", "values"]),
    ("warmup", &["steps", "from", "then"]),
    ("sequence", &["parts"]),
];

/// The keys that are numbers of steps, or a factor of such.
const COUNTS: [&str; 9] =
    ["steps", "factor", "every", "up", "down", "warmup", "stable", "decay", "for"];

/// The key of a part that says how many steps it lasts.
const FOR: &str = "for";

/// The number above which f64 leaves out whole numbers.
const WHOLE: f64 = (1_u64 << 53) as f64;

/// The schedule that the value of a key describes.
///
/// # Errors
/// The first key that is unknown, missing, of another kind or out of its range, with the keys that lead to it.
pub(super) fn schedule(key: &str, value: &Value) -> Result<Schedule, String> {
    let value = checked(key, value, false)?;
    let schedule: Schedule =
        serde_json::from_value(value).map_err(|e| format!("`{key}`, a schedule: {e}"))?;
    schedule.check_as(key).map_err(|e| e.to_string())?;
    Ok(schedule)
}

/// A schedule's object, with every number of steps as an integer. `path` leads to it.
fn checked(path: &str, value: &Value, is_part: bool) -> Result<Value, String> {
    let Value::Object(given) = value else {
        return Err(format!("`{path}` is {}; it must be an object with `schedule`", kind(value)));
    };
    let names = || list(SCHEDULES.iter().map(|(name, _)| *name));
    let name = match given.get("schedule") {
        Some(Value::String(name)) => name,
        Some(other) => {
            let is = kind(other);
            return Err(format!("`{path}.schedule` is {is}; it must be one of {}", names()));
        }
        None => return Err(format!("`{path}.schedule` is missing; it must be one of {}", names())),
    };
    let found = SCHEDULES.iter().find(|(known, _)| known == name);
    let Some((name, keys)) = found else {
        return Err(format!("`{path}`: unknown schedule `{name}`; known are {}", names()));
    };
    let own = |key: &str| keys.contains(&key) || key == "schedule" || (is_part && key == FOR);
    if let Some(key) = given.keys().find(|key| !own(key)) {
        let more = is_part.then_some(FOR);
        let known = list(["schedule"].into_iter().chain(keys.iter().copied()).chain(more));
        return Err(format!("schedule `{name}`: unknown key `{path}.{key}`; known are {known}"));
    }
    if let Some(key) = keys.iter().find(|key| !given.contains_key(**key)) {
        let all = list(keys.iter().copied());
        return Err(format!("schedule `{name}`: `{path}.{key}` is missing; it needs {all}"));
    }
    let mut made = Map::new();
    for (key, value) in given {
        let path = format!("{path}.{key}");
        let made_of = match &**key {
            "schedule" => value.clone(),
            "then" => checked(&path, value, false)?,
            "parts" => parts(name, &path, value)?,
            "milestones" | "boundaries" => each(name, &path, value, "a whole number", count)?,
            "values" => each(name, &path, value, "a number", number)?,
            key if COUNTS.contains(&key) => one(name, &path, value, "a whole number", count)?,
            _ => one(name, &path, value, "a number", number)?,
        };
        made.insert(key.clone(), made_of);
    }
    Ok(Value::Object(made))
}

/// The parts of a sequence.
fn parts(name: &str, path: &str, value: &Value) -> Result<Value, String> {
    let Value::Array(all) = value else {
        let is = kind(value);
        return Err(format!("schedule `{name}`: `{path}` is {is}; it must be a list of schedules"));
    };
    let parts = all.iter().enumerate();
    let parts = parts.map(|(i, part)| checked(&format!("{path}[{i}]"), part, true));
    parts.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

/// A reading of a value: `None` if it is of another kind.
type Read = fn(&Value) -> Option<Value>;

fn number(value: &Value) -> Option<Value> {
    value.as_f64().map(Value::from)
}

/// A number of steps, which may be written as `1e5`.
fn count(value: &Value) -> Option<Value> {
    let as_float = || value.as_f64().filter(|x| x.fract() == 0.0 && (0.0..=WHOLE).contains(x));
    value.as_u64().or_else(|| as_float().map(|x| x as u64)).map(Value::from)
}

fn one(name: &str, path: &str, value: &Value, must: &str, read: Read) -> Result<Value, String> {
    let is = || if value.is_number() { value.to_string() } else { kind(value) };
    read(value).ok_or_else(|| format!("schedule `{name}`: `{path}` is {}; it must be {must}", is()))
}

fn each(name: &str, path: &str, value: &Value, must: &str, read: Read) -> Result<Value, String> {
    let Value::Array(all) = value else {
        let is = kind(value);
        return Err(format!("schedule `{name}`: `{path}` is {is}; it must be a list, each {must}"));
    };
    let all = all.iter().enumerate();
    let all = all.map(|(i, value)| one(name, &format!("{path}[{i}]"), value, must, read));
    all.collect::<Result<Vec<_>, _>>().map(Value::Array)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{SCHEDULES, schedule};
    use crate::schedule::Schedule;

    /// The table has every schedule, and the keys that serde writes.
    #[test]
    fn the_table_is_what_serde_writes() {
        let one = || Schedule::constant(1.0);
        let all = [
            one(),
            Schedule::linear(1.0, 0.0, 2),
            Schedule::polynomial(1.0, 0.0, 2.0, 2),
            Schedule::cosine(1.0, 0.0, 2),
            Schedule::cosine_restarts(1.0, 0.0, 2, 2),
            Schedule::exponential(1.0, 0.5),
            Schedule::step(1.0, 0.5, 2),
            Schedule::multi_step(1.0, 0.5, [1, 2]),
            Schedule::one_cycle(1.0, 10, 0.3, 25.0, 1e4),
            Schedule::cyclic(0.1, 1.0, 2, 3),
            Schedule::inverse_sqrt(1.0, 2),
            Schedule::wsd(1.0, 2, 3, 4, 0.0),
            Schedule::piecewise([1, 2], [1.0, 0.5, 0.25]),
            Schedule::warmup(2, 0.0, one()),
            Schedule::sequence([(2, one()), (3, one())], one()),
        ];
        assert_eq!(all.len(), SCHEDULES.len());
        for (made, (name, keys)) in all.iter().zip(SCHEDULES) {
            let value = serde_json::to_value(made).unwrap_or_else(|e| panic!("{name}: {e}"));
            let object = value.as_object().unwrap_or_else(|| panic!("{name}: {value}"));
            let mut expected = [&["schedule"], keys].concat();
            expected.sort_unstable();
            let mut written: Vec<&String> = object.keys().collect();
            written.sort();
            assert_eq!(written, expected, "{name}");
            assert_eq!(object["schedule"], name);
            assert_eq!(made.name(), name);
            assert_eq!(schedule("lr", &value).as_ref(), Ok(made), "{name}");
            let read = serde_json::from_value::<Schedule>(value.clone());
            assert_eq!(read.ok().as_ref(), Some(made), "{name}");
            // Serde alone refuses an unknown key, too, and a missing one.
            let mut more = value.clone();
            more["x"] = Value::from(1);
            assert!(serde_json::from_value::<Schedule>(more).is_err(), "{name}");
            let mut less = object.clone();
            less.remove(keys[0]);
            assert!(serde_json::from_value::<Schedule>(Value::Object(less)).is_err(), "{name}");
        }
    }
}
