//! The optimizers and the formats of their state that the command line knows.

use wgpu_optim::{Group, StateFormat, rule};

use super::Result;

/// The formats that a comparison compares with the first of them.
pub(crate) const COMPARED: &[&str] = &["f32", "bf16", "block8", "block4"];

/// An optimizer at a learning rate.
type AtRate = fn(f64) -> Group;

/// The optimizers by name, each with the learning rate that it has if none is given.
const OPTIMIZERS: [(&str, f64, AtRate); 4] = [
    ("adamw", 8e-3, Group::adamw),
    ("adam", 8e-3, Group::adam),
    ("rmsprop", 1e-3, Group::rmsprop),
    ("lion", 5e-4, |lr| Group::new(lr, rule::Lion::default())),
];

/// The same group with state in the format of this name.
pub(crate) fn with_state(group: Group, format: &str) -> Result<Group> {
    let names = StateFormat::ALL.into_iter().map(StateFormat::name);
    let found = StateFormat::named(format);
    Ok(group.state_format(found.ok_or_else(|| unknown("format of state", format, names))?))
}

/// The group of the optimizer of this name.
pub(crate) fn optimizer(optimizer: &str, lr: Option<f64>) -> Result<Group> {
    let found = OPTIMIZERS.iter().find(|(name, ..)| *name == optimizer);
    let names = OPTIMIZERS.iter().map(|(name, ..)| *name);
    let (_, usual, group) = found.ok_or_else(|| unknown("optimizer", optimizer, names))?;
    let group = group(lr.unwrap_or(*usual));
    group.check()?;
    Ok(group)
}

fn unknown<'a>(what: &str, given: &str, known: impl Iterator<Item = &'a str>) -> String {
    format!("no {what} is called `{given}`; there are {}", known.collect::<Vec<_>>().join(", "))
}
