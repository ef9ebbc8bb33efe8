//! Checks of a parameter and its gradient, before anything has changed.

use crate::error::Error;
use crate::model::Part;
use crate::view::View;

/// A parameter is as long as its gradient.
pub(super) fn lengths(name: &str, param: &View, grad: &View) -> Result<(), Error> {
    if param.len == grad.len {
        return Ok(());
    }
    Err(Error::LengthMismatch { name: name.to_owned(), param: param.len, grad: grad.len })
}

/// A parameter and its own gradient have no byte in common.
pub(super) fn apart(what: &str, param: &View, other: &str, grad: &View) -> Result<(), Error> {
    let (param_bytes, grad_bytes) = (param.bytes(), grad.bytes());
    let overlaps = param_bytes.0 < grad_bytes.1 && grad_bytes.0 < param_bytes.1;
    if param.buffer == grad.buffer && overlaps {
        let parts = [Part::Param, Part::Grad];
        return Err(overlap(what, param, format!("the {other}"), grad, parts));
    }
    Ok(())
}

/// The error for two views that have bytes in common.
pub(super) fn overlap(
    what: &str,
    view: &View,
    other: String,
    at: &View,
    parts: [Part; 2],
) -> Error {
    let (bytes, other_bytes) = (view.bytes(), at.bytes());
    let written = match parts {
        _ if parts.contains(&Part::Param) => "parameters",
        _ if parts.contains(&Part::Copy) => "copies",
        _ => "the gradients that it clears",
    };
    Error::Overlap { what: what.to_owned(), bytes, other, other_bytes, written }
}

/// A learning rate, whatever it is of.
pub(super) fn rate(lr: f64) -> Result<(), Error> {
    if lr >= 0.0 && lr <= f64::from(f32::MAX) {
        return Ok(());
    }
    Err(Error::Rate(lr))
}

/// Names for an error: "`a`, `b`", or "nothing"; of very many, the first.
pub(super) fn quoted(names: &[&str]) -> String {
    const MOST: usize = 12;
    let mut quoted: Vec<String> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => quoted.push("nothing".to_owned()),
        n if n > MOST => quoted.push(format!("… ({n} in all)")),
        _ => {}
    }
    quoted.join(", ")
}
