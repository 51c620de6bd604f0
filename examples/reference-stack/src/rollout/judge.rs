//! What is thought of a version by its own traffic: a breaker that keeps requests away from it, and a level that takes it back. This is
//! the part to copy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay::breaker::{Breaker, Control, OpenFor, OwnedPermit, Trip, Window};
use mainstay::degrade::{Assessment, DegradationManager, Level, LevelThresholds, Observer, Thresholds};
use mainstay::{ConfigError, Verdict};

/// From so many requests on, the level counts what the traffic says; and with fewer that were judged nothing is promoted.
pub(crate) const EVIDENCE: u32 = 20;
/// The share of a version's requests that may fail.
const FAILURES: f64 = 0.05;

/// The judge of one version. Clones are the same judge.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    breaker: Breaker,
    level: DegradationManager,
    limit: Duration,
    /// How many requests had an end that says something.
    judged: Arc<AtomicU64>,
}

/// A request under way at a version. Dropping it says that the client hung up: a failure, if the answer had not begun within the limit, and
/// nothing otherwise.
#[derive(Debug)]
pub(crate) struct Case {
    /// Until it is closed.
    permit: Option<OwnedPermit>,
    traffic: Observer,
    limit: Duration,
    judged: Arc<AtomicU64>,
    began: std::time::Instant,
    head: Option<Duration>,
}

// === impl Judge ===

impl Judge {
    /// Of a version whose answers, 95 of 100, shall begin within `limit`.
    pub(crate) fn new(name: &str, limit: Duration) -> Result<Self, ConfigError> {
        let breaker = Breaker::builder(name)
            // A crash is noticed by the run, a share of failures that is large by the rate; a small share by the level.
            .trip(Trip::consecutive_failures(5))
            .trip(Trip::failure_rate(0.3).over(Window::time(Duration::from_secs(30))).min_calls(10))
            // Nobody looks whether a version that was taken back has got better.
            .open_for(OpenFor::fixed(Duration::from_secs(60)))
            .build()?;
        let minor = LevelThresholds {
            breakers_open: 1,
            error_rate: FAILURES,
            latency: limit,
            ..LevelThresholds::default()
        };
        // There is nothing between good and bad: the first level takes it back.
        let none = LevelThresholds::default();
        let level = DegradationManager::builder()
            .name(name)
            .watch(&breaker)
            .thresholds(Thresholds { minor, moderate: none, severe: none })
            .build()?;
        Ok(Self { breaker, level, limit, judged: Arc::default() })
    }

    /// Begins to judge. Needs a runtime.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        Ok(self.level.start()?)
    }

    /// Turns nothing away any more, whatever the breaker says: nobody else is left to go to.
    pub(crate) fn admit_everything(&self) {
        self.breaker.set_control(Control::ObserveOnly);
    }

    /// A request that this version may have; none while its breaker is open.
    pub(crate) fn admit(&self) -> Option<Case> {
        Some(Case {
            permit: Some(self.breaker.try_acquire_owned().ok()?),
            traffic: self.level.observer(),
            limit: self.limit,
            judged: Arc::clone(&self.judged),
            began: std::time::Instant::now(),
            head: None,
        })
    }

    /// How many requests it was judged by.
    pub(crate) fn judged(&self) -> u64 {
        self.judged.load(Ordering::Relaxed)
    }

    /// Waits until it is worse than it may be. Returns why.
    pub(crate) async fn worse(&self) -> String {
        let mut changes = self.level.subscribe();
        let mut seen = self.level.assessment();
        while seen.level == Level::None {
            seen = changes.changed().await;
        }
        self.why(&seen)
    }

    fn why(&self, seen: &Assessment) -> String {
        let mut why = seen.worst().map(ToString::to_string).unwrap_or_default();
        if let Some(cause) = self.breaker.snapshot().last_trip.filter(|_| why.contains("breaker")) {
            why = format!("{why}: {cause}");
        }
        why
    }
}

// === impl Case ===

impl Case {
    /// The answer's head is there: latency ends here, since a stream is as long as its task.
    pub(crate) fn head(&mut self) {
        self.head.get_or_insert(self.began.elapsed());
    }

    /// The answer is there, whole, or it is a failure.
    pub(crate) fn close(mut self, verdict: Verdict) {
        self.judge(verdict);
    }

    fn judge(&mut self, verdict: Verdict) {
        let Some(permit) = self.permit.take() else { return };
        self.traffic.observe(verdict, self.head.unwrap_or_else(|| self.began.elapsed()));
        permit.record(verdict);
        if verdict != Verdict::Ignore {
            self.judged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if self.head.is_none() && self.began.elapsed() >= self.limit {
            self.judge(Verdict::Failure);
        }
    }
}
