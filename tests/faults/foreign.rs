//! A rule from outside the crate, which answers as one of the crate's does, or otherwise.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wgpu_optim::{At, Error, Formula, Number, Rule, Scalar, Slot};

/// The answer to a question, by how often it was asked before.
pub(crate) type Answer<T> = fn(u64, T) -> T;

/// How often each question was asked.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) wgsl: AtomicU64,
    pub(crate) slots: AtomicU64,
    pub(crate) switches: AtomicU64,
    pub(crate) hyper: AtomicU64,
    pub(crate) scalars: AtomicU64,
}

/// A rule of the crate's behind other answers.
#[derive(Clone, Debug)]
pub(crate) struct Foreign<R> {
    pub(crate) inner: R,
    pub(crate) calls: Arc<Calls>,
    /// The text, if it is not the rule's.
    pub(crate) text: Option<&'static str>,
    pub(crate) wgsl: Answer<&'static str>,
    pub(crate) slots: Answer<Vec<Slot>>,
    pub(crate) switches: Answer<Vec<(&'static str, bool)>>,
    pub(crate) hyper: Answer<Vec<Scalar>>,
}

impl<R> Foreign<R> {
    /// The rule as it is.
    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            calls: Arc::default(),
            text: None,
            wgsl: |_, own| own,
            slots: |_, own| own,
            switches: |_, own| own,
            hyper: |_, own| own,
        }
    }
}

fn count(calls: &AtomicU64) -> u64 {
    calls.fetch_add(1, Ordering::Relaxed)
}

/// How often something was asked.
pub(crate) fn asked(calls: &AtomicU64) -> u64 {
    calls.load(Ordering::Relaxed)
}

impl<R: Formula> Formula for Foreign<R> {
    fn direction<N: Number>(&self, p: N, g: N, state: &mut [N], at: At) -> N {
        self.inner.direction(p, g, state, at)
    }
}

impl<R: Formula + Rule> Rule for Foreign<R> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn wgsl(&self) -> &'static str {
        (self.wgsl)(count(&self.calls.wgsl), self.text.unwrap_or_else(|| self.inner.wgsl()))
    }

    fn slots(&self) -> Vec<Slot> {
        (self.slots)(count(&self.calls.slots), self.inner.slots())
    }

    fn switches(&self) -> Vec<(&'static str, bool)> {
        (self.switches)(count(&self.calls.switches), self.inner.switches())
    }

    fn hyper(&self) -> Vec<Scalar> {
        (self.hyper)(count(&self.calls.hyper), self.inner.hyper())
    }

    /// As many as were asked for, whatever the rule has: those it does not have are 0.
    fn scalars(&self, at: At, out: &mut [f64]) {
        count(&self.calls.scalars);
        let mut own = vec![0.0; self.inner.hyper().len()];
        self.inner.scalars(at, &mut own);
        out.iter_mut().zip(own).for_each(|(out, own)| *out = own);
    }

    fn check(&self) -> Result<(), Error> {
        self.inner.check()
    }
}
