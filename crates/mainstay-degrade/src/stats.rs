use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_core::Name;
use serde::Serialize;

use crate::{Behavior, Level, Reason};

/// What a manager has decided so far. Counts only go up; only what is less than usual is counted, so that nothing is
/// while all is well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DegradationStats {
    /// How often each level became worse than the one before, by the reason of its worst cause.
    pub events: Vec<EventCount>,
    /// How often a mode was granted that is less than what was asked for.
    pub downgrades: Vec<DowngradeCount>,
    /// How often an operation did not simply proceed.
    pub fallbacks: Vec<FallbackCount>,
    /// How often an operation was asked for that has no rules and is not known; under which names is not kept.
    pub unknown_operations: u64,
    /// How often an answer was given of which not all parts succeeded, or was not given because too few did.
    pub partial_results: Vec<PartialCount>,
}

/// How often the level rose to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EventCount {
    /// To which level.
    pub level: Level,
    /// Why.
    pub reason: Reason,
    /// How often.
    pub count: u64,
}

/// How often a mode was downgraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DowngradeCount {
    /// What was asked for.
    pub from: &'static str,
    /// What was granted.
    pub to: &'static str,
    /// Why.
    pub reason: Reason,
    /// How often.
    pub count: u64,
}

/// How often an operation did something else than proceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FallbackCount {
    /// Which.
    pub operation: Name,
    /// What it did.
    pub behavior: Behavior,
    /// How often.
    pub count: u64,
}

/// How often a workflow's answer was made of some of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PartialCount {
    /// Which workflow; nothing for those that have no policy of their own.
    pub workflow: Option<Name>,
    /// Why.
    pub reason: Reason,
    /// Whether the answer was given.
    pub accepted: bool,
    /// How often.
    pub count: u64,
}

/// Counts in rows of a fixed number of columns. Relaxed: each count stands for itself.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    columns: usize,
    counts: Vec<AtomicU64>,
}

impl Counts {
    pub(crate) fn new(rows: usize, columns: usize) -> Self {
        let counts = (0..rows.saturating_mul(columns)).map(|_| AtomicU64::new(0)).collect();
        Self { columns, counts }
    }

    pub(crate) fn add(&self, row: usize, column: usize) {
        let place = row.saturating_mul(self.columns).saturating_add(column);
        if column < self.columns
            && let Some(count) = self.counts.get(place)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Each count that is not zero, with its row and column.
    pub(crate) fn list(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        let columns = self.columns.max(1);
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let all = self.counts.iter().map(read).enumerate();
        all.filter(|(_, count)| *count > 0)
            .map(move |(place, count)| (place / columns, place % columns, count))
    }
}
