use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mainstay_core::{Bell, Clock, Watch};

use crate::probe::Sensor;
use crate::{CheckOutcome, Reason, Status};

/// A check that is healthy as long as it is fed: by a worker loop at every turn, say. Clones feed the same.
///
/// Unknown until it is fed first; unhealthy when it was not fed for longer than its time, counted from the last beat, or
/// from the registration. The first beat after that makes it healthy at once.
///
/// ```
/// use std::time::Duration;
/// use mainstay_health::{Check, HealthManager, Heartbeat};
///
/// let heartbeat = Heartbeat::every(Duration::from_secs(5));
/// let health = HealthManager::builder("worker")
///     .check(Check::internal("queue-loop", &heartbeat).critical().restart_on_failure())
///     .build()?;
/// heartbeat.beat();       // in the loop
/// # Ok::<(), mainstay_health::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Heartbeat {
    shared: Arc<Shared>,
}

struct Shared {
    every: Duration,
    /// Nanoseconds of the clock, plus one; 0 before the first beat.
    last: AtomicU64,
    /// From when the first beat is waited for.
    since: AtomicU64,
    /// Somebody waits for the next beat.
    wanted: AtomicBool,
    bell: Arc<Bell>,
    clock: OnceLock<Clock>,
}

impl Heartbeat {
    /// A heartbeat that must be fed at least this often. A time of zero counts as one millisecond.
    pub fn every(every: Duration) -> Self {
        let shared = Shared {
            every: every.max(Duration::from_millis(1)),
            last: AtomicU64::new(0),
            since: AtomicU64::new(0),
            wanted: AtomicBool::new(true),
            bell: Bell::new(),
            clock: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Feeds it: a reading of the clock and a store.
    pub fn beat(&self) {
        let now = self.shared.clock.get().map_or(0, Clock::now_nanos);
        // SeqCst, so that either this sees that it is wanted, or who wants it sees the beat.
        self.shared.last.store(now.saturating_add(1), Ordering::SeqCst);
        if self.shared.wanted.load(Ordering::SeqCst) && self.shared.wanted.swap(false, Ordering::SeqCst) {
            self.shared.bell.ring();
        }
    }

    pub(crate) fn sensor(&self) -> Arc<dyn Sensor> {
        self.shared.clone()
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heartbeat").field("every", &self.shared.every).finish_non_exhaustive()
    }
}

impl Shared {
    fn fed(&self) -> bool {
        self.last.load(Ordering::SeqCst) > 0
    }

    fn deadline(&self) -> Duration {
        let last = self.last.load(Ordering::SeqCst).saturating_sub(1);
        Duration::from_nanos(last.max(self.since.load(Ordering::SeqCst))).saturating_add(self.every)
    }
}

impl Sensor for Shared {
    fn clock(&self) -> Clock {
        self.clock.get().cloned().unwrap_or_default()
    }

    fn set_clock(&self, clock: &Clock) {
        if self.clock.set(clock.clone()).is_ok() {
            self.since.store(clock.now_nanos(), Ordering::SeqCst);
        }
    }

    fn read(&self) -> CheckOutcome {
        let late = self.clock().now() >= self.deadline();
        let outcome = match (late, self.fed()) {
            (false, true) => return CheckOutcome::healthy(),
            (false, false) => CheckOutcome::unknown(),
            (true, _) => CheckOutcome::because(Status::Unhealthy, Reason::Missed),
        };
        self.wanted.store(true, Ordering::SeqCst);
        // A beat that came before it was wanted rang no bell.
        if self.clock().now() < self.deadline() && self.fed() { CheckOutcome::healthy() } else { outcome }
    }

    fn next_change(&self) -> Option<Duration> {
        Some(self.deadline()).filter(|deadline| self.clock().now() < *deadline)
    }

    fn watch(&self) -> Watch {
        self.bell.watch()
    }
}
