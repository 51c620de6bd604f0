use std::sync::atomic::{AtomicU64, Ordering};

/// A pool at one moment, for health reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolFigures {
    /// Connections that are open or being opened.
    pub size: u32,
    /// Those that wait in the pool for work.
    pub idle: u32,
    /// The others: lent, being opened, or on their way back.
    pub in_use: u32,
    /// The most that the pool opens.
    pub max: u32,
    /// Calls that wait in the guard for a connection. Exact; who uses the pool past the guard is not among them.
    pub waiters: u32,
}

/// How many calls wait in a guard, and how many connections it has lent: one word, so that a call that stops waiting
/// because it got a connection changes both at once.
#[derive(Debug, Default)]
pub(crate) struct Occupancy(AtomicU64);

const LENT: u64 = 1;
const WAITER: u64 = 1 << 32;

/// One call that waits.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Occupancy);

// === impl Occupancy ===

// Relaxed throughout: the word is all there is to agree on.
impl Occupancy {
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.0.fetch_add(WAITER, Ordering::Relaxed);
        Waiting(self)
    }

    /// A connection is lent to a call that did not wait.
    pub(crate) fn lend(&self) {
        self.0.fetch_add(LENT, Ordering::Relaxed);
    }

    /// A connection that was lent is not any more.
    pub(crate) fn take_back(&self) {
        self.0.fetch_sub(LENT, Ordering::Relaxed);
    }

    pub(crate) fn waiters(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) / WAITER) as u32
    }

    pub(crate) fn lent(&self) -> u32 {
        (self.0.load(Ordering::Relaxed) % WAITER) as u32
    }
}

// === impl Waiting ===

impl Waiting<'_> {
    /// The wait was not in vain.
    pub(crate) fn lend(self) {
        self.0.0.fetch_sub(WAITER - LENT, Ordering::Relaxed);
        std::mem::forget(self);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(WAITER, Ordering::Relaxed);
    }
}
