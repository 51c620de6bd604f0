use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// What has happened since the service started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Calls that arrived.
    pub arrived: u64,
    /// Calls that are under way now.
    pub under_way: u64,
    /// Calls that were made to fail.
    pub failed: u64,
    /// Calls that were delayed.
    pub delayed: u64,
    /// Calls that were made to hang.
    pub hung: u64,
    /// Answers that were broken off.
    pub broken: u64,
}

/// The same, while it happens. Each is a number of its own: nothing is concluded from one about another, so relaxed is enough.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) arrived: AtomicU64,
    pub(crate) under_way: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) delayed: AtomicU64,
    pub(crate) hung: AtomicU64,
    pub(crate) broken: AtomicU64,
}

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            arrived: read(&self.arrived),
            under_way: read(&self.under_way),
            failed: read(&self.failed),
            delayed: read(&self.delayed),
            hung: read(&self.hung),
            broken: read(&self.broken),
        }
    }
}

pub(crate) fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn one_less(count: &AtomicU64) {
    count.fetch_sub(1, Ordering::Relaxed);
}
