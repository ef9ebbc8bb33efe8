//! The backends that the environment names.

use wgpu_optim::wgpu::Backends;

use crate::Failure;

/// The variable that names backends.
const VARIABLE: &str = "WGPU_BACKEND";

/// The names that people know. wgpu knows a few more.
const NAMES: [&str; 4] = ["vulkan", "metal", "dx12", "gl"];

/// Whether every backend that the environment names is one.
pub(crate) fn check() -> Result<(), Failure> {
    let Some(value) = std::env::var_os(VARIABLE) else { return Ok(()) };
    let value = value.to_string_lossy();
    match value.split(',').find(|name| Backends::from_comma_list(name).is_empty()) {
        None => Ok(()),
        Some(name) => Err(format!(
            "{VARIABLE} is `{value}`, and `{}` is no backend; name one or more of {}, or unset {VARIABLE} to try all",
            name.trim(),
            NAMES.join(", ")
        )
        .into()),
    }
}
