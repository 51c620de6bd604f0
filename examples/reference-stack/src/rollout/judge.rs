//! What is thought of a version by its own traffic: a breaker that keeps requests away from it, and a level that takes it back. This is
//! the part to copy.

use std::time::Duration;

use mainstay::breaker::{Breaker, OpenFor, OwnedPermit, Trip, Window};
use mainstay::degrade::{Assessment, DegradationManager, Level, LevelThresholds, Observer, Thresholds};
use mainstay::{ConfigError, Verdict};

/// From so many requests on, the level counts what the traffic says.
pub(crate) const EVIDENCE: u32 = 20;
/// The share of a version's requests that may fail.
const FAILURES: f64 = 0.05;

/// The judge of one version. Clones are the same judge.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    breaker: Breaker,
    level: DegradationManager,
}

/// A request under way at a version.
#[derive(Debug)]
pub(crate) struct Case {
    permit: OwnedPermit,
    traffic: Observer,
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
        Ok(Self { breaker, level })
    }

    /// Begins to judge. Needs a runtime.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        Ok(self.level.start()?)
    }

    /// A request that this version may have; none while its breaker is open.
    pub(crate) fn admit(&self) -> Option<Case> {
        let permit = self.breaker.try_acquire_owned().ok()?;
        let began = std::time::Instant::now();
        Some(Case { permit, traffic: self.level.observer(), began, head: None })
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

    /// The answer is there, whole, or it is a failure. A case that is dropped says nothing: the client hung up.
    pub(crate) fn close(self, verdict: Verdict) {
        self.traffic.observe(verdict, self.head.unwrap_or_else(|| self.began.elapsed()));
        self.permit.record(verdict);
    }
}
