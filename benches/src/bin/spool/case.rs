//! What is measured.

use std::time::Duration;

use mainstay_spool::FsyncPolicy;

/// One row of the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) subject: Subject,
    /// How many push at once, each waiting for its answer.
    pub(crate) writers: usize,
    pub(crate) sink: SinkIs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Spool(FsyncPolicy),
    InMemory,
    /// SQLite, a lock and a task that delivers.
    Plain(Synchronous),
    /// SQLite alone, on one thread, with so many rows in a transaction.
    Bare(Synchronous, u32),
}

/// SQLite's setting of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synchronous {
    /// Each commit is on the disk.
    Full,
    /// Each commit is with the operating system.
    Normal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SinkIs {
    /// Takes everything at once.
    Up,
    /// Takes nothing, so that pushes alone are measured.
    Down,
}

pub(crate) const EACH_ITEM: Subject = Subject::Spool(FsyncPolicy::EachItem);
pub(crate) const EACH_BATCH: Subject = Subject::Spool(FsyncPolicy::EachBatch);
const INTERVAL: Subject = Subject::Spool(FsyncPolicy::Interval(Duration::from_secs(1)));

/// Bytes of an item.
pub(crate) const BYTES: usize = 200;

pub(crate) fn item() -> String {
    "x".repeat(BYTES)
}

/// All of them, those that are compared next to each other.
pub(crate) fn cases() -> Vec<Case> {
    use Synchronous::{Full, Normal};
    let subjects =
        [Subject::Plain(Full), EACH_ITEM, EACH_BATCH, Subject::Plain(Normal), INTERVAL, Subject::InMemory];
    let mut cases = Vec::new();
    for sink in [SinkIs::Up, SinkIs::Down] {
        for writers in [1, 32] {
            cases.extend(subjects.map(|subject| Case { subject, writers, sink }));
        }
    }
    let bare = [Subject::Bare(Full, 1), Subject::Bare(Full, 32), Subject::Bare(Normal, 1)];
    cases.extend(bare.map(|subject| Case { subject, writers: 1, sink: SinkIs::Down }));
    cases
}

// === impl Case ===

impl Case {
    pub(crate) fn name(&self) -> String {
        let writers =
            if self.writers == 1 { "1 writer".to_owned() } else { format!("{} writers", self.writers) };
        match self.subject {
            Subject::Spool(policy) => format!("`{policy:?}`, {writers}"),
            Subject::InMemory => format!("`in_memory`, {writers}"),
            Subject::Plain(synchronous) => format!("plain SQLite, {}, {writers}", synchronous.as_str()),
            Subject::Bare(synchronous, rows) => {
                format!("bare SQLite, {}, commits of {rows}", synchronous.as_str())
            }
        }
    }

    /// Whether this is what to compare `other` with: plain SQLite with the same promise.
    pub(crate) fn is_plain_for(&self, other: &Self) -> bool {
        let promise = match other.subject {
            Subject::Spool(FsyncPolicy::EachItem | FsyncPolicy::EachBatch) => Some(Synchronous::Full),
            Subject::Spool(FsyncPolicy::Interval(_)) => Some(Synchronous::Normal),
            Subject::Plain(synchronous) | Subject::Bare(synchronous, _) => Some(synchronous),
            Subject::InMemory => None,
        };
        promise.is_some_and(|promise| self.subject == Subject::Plain(promise))
            && self.writers == other.writers
            && self.sink == other.sink
    }
}

// === impl Synchronous ===

impl Synchronous {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}
