//! The words of errors: kinds of JSON values, and lists of names.

use serde_json::Value;

/// The most names that an error lists.
const MOST: usize = 12;

/// The kind of a value.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "true or false".to_owned(),
        Value::Number(_) => "a number".to_owned(),
        Value::String(s) => format!("the string \"{s}\""),
        Value::Array(a) if a.iter().all(Value::is_number) => {
            format!("a list of {} numbers", a.len())
        }
        Value::Array(a) => format!("a list of {} values", a.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Whether `value` can stand where `default` does. An option that is null by default is a number or null.
pub(super) fn same_kind(default: &Value, value: &Value) -> bool {
    match (default, value) {
        (Value::Null, Value::Number(_) | Value::Null) => true,
        (Value::Number(_), Value::Number(_)) | (Value::Bool(_), Value::Bool(_)) => true,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_kind(a, b))
        }
        _ => false,
    }
}

/// The values that can stand where `default` does.
pub(super) fn kind_of(default: &Value) -> String {
    if default.is_null() { "a number or null".to_owned() } else { kind(default) }
}

/// The words that `value` may be, if it is none of them.
pub(super) fn one_of(value: &Value, words: &[&str]) -> Option<String> {
    let known = words.iter().any(|word| value == word);
    (!known).then(|| choice(words))
}

/// A choice between words: "`\"a\" or \"b\"`".
pub(super) fn choice(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

/// All names.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// All names, or the first of very many.
pub(super) fn some(names: &[&str]) -> String {
    let all = list(names.iter().take(MOST).copied());
    if names.len() > MOST { format!("{all}, … ({} in all)", names.len()) } else { all }
}
