//! What is wrong with a parameter and its gradient, before anything has changed.

use crate::error::Error;
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
        return Err(overlap(what, param, format!("the {other}"), grad));
    }
    Ok(())
}

/// The error for two views that have bytes in common.
pub(super) fn overlap(what: &str, view: &View, other: String, at: &View) -> Error {
    let (bytes, other_bytes) = (view.bytes(), at.bytes());
    Error::Overlap { what: what.to_owned(), bytes, other, other_bytes }
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
