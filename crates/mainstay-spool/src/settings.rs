use std::time::Duration;

use mainstay_breaker::Breaker;
use mainstay_core::{Clock, ConfigError, OpenFor, check_duration};

/// When an accepted item is safe from what. Whatever the policy, it is safe from the end of the process, SIGKILL included, as
/// soon as `push` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsyncPolicy {
    /// `push` returns when the item is on the disk; each item is synced for itself. Nothing is lost with the power.
    EachItem,
    /// The same promise, but items that are pushed at the same time are synced together. The default.
    EachBatch,
    /// `push` returns when the operating system has the item; the disk has it after this long at the latest. With the power, what was
    /// accepted within that time may be lost: the newest items, never one in between. More than zero, at most 365 days, of real time
    /// whatever clock the spool has: the power knows no other.
    Interval(Duration),
}

/// How a [`Spool`](crate::Spool) works. [`SpoolSettings::new`] has the defaults.
#[derive(Clone, Debug)]
#[must_use]
pub struct SpoolSettings {
    pub(crate) name: String,
    pub(crate) fsync: FsyncPolicy,
    pub(crate) batch: usize,
    pub(crate) linger: Duration,
    pub(crate) concurrency: usize,
    pub(crate) deadline: Duration,
    pub(crate) tries: u32,
    pub(crate) backoff: OpenFor,
    pub(crate) breaker: Option<Breaker>,
    pub(crate) bound: u64,
    pub(crate) dead_bound: u64,
    pub(crate) item_bytes: usize,
    pub(crate) window: usize,
    pub(crate) window_bytes: usize,
    pub(crate) item_version: u32,
    pub(crate) clock: Clock,
    pub(crate) vfs: Option<String>,
}

/// The least that a file may be allowed: an empty one has a few pages.
const LEAST_BOUND: u64 = 64 * 1024;

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            name: "spool".to_owned(),
            fsync: FsyncPolicy::EachBatch,
            batch: 100,
            linger: Duration::from_secs(1),
            concurrency: 4,
            deadline: Duration::from_secs(30),
            tries: 10,
            backoff: OpenFor::exponential(Duration::from_secs(1), Duration::from_secs(300)).jitter(0.2),
            breaker: None,
            bound: 10 << 30,
            dead_bound: 1 << 30,
            item_bytes: 16 << 20,
            window: 10_000,
            window_bytes: 32 << 20,
            item_version: 1,
            clock: Clock::default(),
            vfs: None,
        }
    }
}

impl SpoolSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The spool's name in events and metrics: 1 to 128 bytes. Default `spool`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// When an accepted item is safe from what. Default [`FsyncPolicy::EachBatch`].
    pub fn fsync(mut self, policy: FsyncPolicy) -> Self {
        self.fsync = policy;
        self
    }

    /// The most items of one delivery: 1 to 10,000. Default 100. Of one order key there is at most one item in a batch.
    pub fn batch(mut self, items: usize) -> Self {
        self.batch = items;
        self
    }

    /// How long an item waits for others to fill its batch: up to 365 days, zero for not at all. Default 1 s. Nobody waits while
    /// something stands behind the item, for its key.
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// How many deliveries may be under way at once: 1 to 1,000. Default 4. Two items of one key never are.
    pub fn concurrency(mut self, deliveries: usize) -> Self {
        self.concurrency = deliveries;
        self
    }

    /// How long a delivery may take: more than zero, at most 365 days. Default 30 s. Then it is dropped, and tried again.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = time;
        self
    }

    /// How often an item is tried before it is a dead letter: at least 1. Default 10.
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    /// How long an item that failed waits for its next try, and the spool for a sink that is unavailable. Default: exponential, from
    /// 1 s to 5 min, with a jitter of a fifth.
    pub fn backoff(mut self, backoff: OpenFor) -> Self {
        self.backoff = backoff;
        self
    }

    /// A breaker around the sink. Default none. While it rejects, nothing is tried and no item's tries are used up; its
    /// probes and its ramp bound how fast the backlog is replayed. Give it the spool's clock.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = Some(breaker);
        self
    }

    /// The most bytes of the file of undelivered items: at least 64 KiB. Default 10 GiB. At the bound `push` is an error. The store's
    /// write-ahead file comes on top: some 4 MiB, and as much as is pushed at one moment.
    pub fn bound(mut self, bytes: u64) -> Self {
        self.bound = bytes;
        self
    }

    /// The same for the file of dead letters. Default 1 GiB. At this bound an item that failed for the last time stays in the queue,
    /// and holds back its key, until there is room.
    pub fn dead_bound(mut self, bytes: u64) -> Self {
        self.dead_bound = bytes;
        self
    }

    /// The most bytes of one item with its key: 1 to 256 MiB. Default 16 MiB.
    pub fn item_bytes(mut self, bytes: usize) -> Self {
        self.item_bytes = bytes;
        self
    }

    /// How much of the backlog is in memory, with what is under way: items, 1 to 1,000,000, and bytes, at least 1; one item always is.
    /// Default 10,000 and 32 MiB. Ten times as many items may wait for their next try beside it, with nothing in memory but their place and
    /// key; when they do, nothing new is read until some of them are delivered or dead. The store's own cache has 16 MiB for each file, at most.
    pub fn window(mut self, items: usize, bytes: usize) -> Self {
        (self.window, self.window_bytes) = (items, bytes);
        self
    }

    /// The version of the items' shape, stored with each. Default 1. Raise it when older programs could not read what this one writes:
    /// they set such items aside, as dead letters. This program reads older ones as `serde` does; `#[serde(default)]` helps.
    pub fn item_version(mut self, version: u32) -> Self {
        self.item_version = version;
        self
    }

    /// The clock. Default: the system's monotonic one.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The SQLite VFS to use, by its name: for tests that take the power away.
    #[doc(hidden)]
    pub fn vfs(mut self, name: impl Into<String>) -> Self {
        self.vfs = Some(name.into());
        self
    }

    /// Checks the limits that the methods document.
    ///
    /// # Errors
    ///
    /// The first setting that is out of its limits.
    pub fn validate(&self) -> Result<(), ConfigError> {
        mainstay_core::Name::new(&self.name)?;
        within("batch", self.batch, 1, 10_000)?;
        within("concurrency", self.concurrency, 1, 1_000)?;
        within("tries", self.tries, 1, u32::MAX)?;
        within("bound", self.bound, LEAST_BOUND, u64::MAX)?;
        within("dead_bound", self.dead_bound, LEAST_BOUND, u64::MAX)?;
        within("item_bytes", self.item_bytes, 1, 256 << 20)?;
        within("window", self.window, 1, 1_000_000)?;
        within("window_bytes", self.window_bytes, 1, usize::MAX)?;
        if !self.linger.is_zero() {
            check_duration("linger", self.linger)?;
        }
        check_duration("deadline", self.deadline)?;
        if let FsyncPolicy::Interval(interval) = self.fsync {
            check_duration("fsync", interval)?;
        }
        self.backoff.validate().map_err(|error| error.within("backoff"))
    }
}

fn within<N: PartialOrd + std::fmt::Display>(
    field: &str,
    value: N,
    least: N,
    most: N,
) -> Result<(), ConfigError> {
    if value < least || value > most {
        return Err(ConfigError::new(field, value, format!("must be from {least} to {most}")));
    }
    Ok(())
}
