//! The structs that WGSL and the host share, by the names of their members: for the tests that compare both.

use crate::group::DriverScalars;
use crate::kernel::LAUNCH;
use crate::program::{CONTROL_NAMES, ControllerWords};

/// Each struct's name in WGSL and the host's names for its members, one word each, in order; members that follow are
/// not the host's to name.
pub fn structs() -> [(&'static str, &'static [&'static str]); 4] {
    [
        ("Scalars", &DriverScalars::NAMES),
        ("Launch", &LAUNCH),
        ("Control", CONTROL_NAMES),
        ("Controller", ControllerWords::NAMES),
    ]
}
