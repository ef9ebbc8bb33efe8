//! A collection in buckets.

use std::collections::HashMap;

/// Things gathered by a key, in the order of the first of each.
#[derive(Debug)]
pub(crate) struct Buckets<K, T> {
    index: HashMap<K, usize>,
    buckets: Vec<T>,
}

impl<K: std::hash::Hash + Eq, T> Buckets<K, T> {
    pub(crate) fn new() -> Self {
        Self { index: HashMap::new(), buckets: Vec::new() }
    }

    pub(crate) fn entry(&mut self, key: K, new: impl FnOnce() -> T) -> &mut T {
        let next = self.buckets.len();
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.buckets.push(new());
        }
        &mut self.buckets[at]
    }

    pub(crate) fn into_buckets(self) -> Vec<T> {
        self.buckets
    }
}
