//! This module has a value that counts its changes. Whoever derives something from the value compares counts to know
//! whether it is out of date.

use std::ops::Deref;

/// A value with an epoch: the number of times that it was opened for a change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tracked<T> {
    value: T,
    epoch: u64,
}

impl<T> Tracked<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value, epoch: 1 }
    }

    /// Opens the value for a change.
    pub(crate) fn edit(&mut self) -> &mut T {
        self.epoch += 1;
        &mut self.value
    }

    /// The number of the current state. No other state of this value has it.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
