use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mainstay_core::{
    Bell, Clock, Condition, Kind as RegistryKind, Name, Registered, StateSource, Watch, Weight,
};
use tokio::sync::Notify;

use crate::check::Classifier;
use crate::probe::Kind;
use crate::{CheckReport, Probe, Reason, Scope, Status};

/// What of a check never changes, and how its task is reached.
pub(crate) struct Slot {
    place: AtomicUsize,
    pub(crate) name: Name,
    pub(crate) scope: Scope,
    pub(crate) probe: Probe,
    pub(crate) classify: Option<Classifier>,
    /// Rung when a run has ended or the status changed.
    pub(crate) bell: Arc<Bell>,
    /// When its thread began, in nanoseconds of the clock plus one; 0 if it has none.
    thread: AtomicU64,
    /// Rung when its thread has ended.
    pub(crate) freed: Notify,
    nudge: Notify,
    condition: AtomicU8,
    critical: AtomicBool,
    /// When the condition is too old to be believed.
    stale_at: AtomicU64,
    clock: OnceLock<Clock>,
}

/// What a registry lists of a check: kept by its manager alone, so that the name is free when the check is removed, whoever
/// still holds it as a source.
pub(crate) struct Listing(pub(crate) Arc<Slot>);

impl Slot {
    pub(crate) fn new(name: Name, scope: Scope, probe: Probe, classify: Option<Classifier>) -> Self {
        Self {
            place: AtomicUsize::new(usize::MAX),
            name,
            scope,
            probe,
            classify,
            bell: Bell::new(),
            thread: AtomicU64::new(0),
            freed: Notify::new(),
            nudge: Notify::new(),
            condition: AtomicU8::new(RECOVERING),
            critical: AtomicBool::new(false),
            stale_at: AtomicU64::new(u64::MAX),
            clock: OnceLock::new(),
        }
    }

    /// It is a check of a manager now.
    pub(crate) fn settle(&self, place: usize, clock: &Clock) {
        self.place.store(place, Ordering::Relaxed);
        if let Kind::Watched(sensor) = &self.probe.0 {
            sensor.set_clock(clock);
        }
        let _ = self.clock.set(clock.clone());
    }

    /// Written and read under the board's lock.
    pub(crate) fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    /// Since when its thread runs, if it has one.
    pub(crate) fn thread(&self) -> Option<Duration> {
        let began = self.thread.load(Ordering::Acquire);
        began.checked_sub(1).map(Duration::from_nanos)
    }

    pub(crate) fn thread_begins(&self, at: Duration) {
        self.thread.store(nanos(at).saturating_add(1), Ordering::Release);
    }

    pub(crate) fn thread_ends(&self) {
        self.thread.store(0, Ordering::Release);
    }

    /// Something changed that its task must see.
    pub(crate) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(crate) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// What others who watch it as a source see.
    pub(crate) fn show(&self, report: &CheckReport) {
        let condition = match (report.status, report.reason) {
            (Status::Healthy | Status::Degraded, _) => UP,
            // Of a failure and what it blocks, the failure alone counts.
            (Status::Unhealthy, Reason::Blocked) | (Status::Unknown, _) => RECOVERING,
            (Status::Unhealthy, _) => DOWN,
        };
        self.critical.store(report.critical, Ordering::Release);
        self.condition.store(condition, Ordering::Release);
        self.stale_at.store(nanos(report.stale_at), Ordering::Release);
    }

    /// It was removed: who still watches it shall not act on what it was.
    pub(crate) fn forget(&self) {
        self.condition.store(RECOVERING, Ordering::Release);
        self.stale_at.store(u64::MAX, Ordering::Release);
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const UP: u8 = 0;
const RECOVERING: u8 = 1;
const DOWN: u8 = 2;

/// Down while unhealthy by itself, recovering while unknown, too old, blocked or removed, else up.
impl StateSource for Slot {
    fn name(&self) -> Name {
        self.name
    }

    fn condition(&self) -> Condition {
        match self.condition.load(Ordering::Acquire) {
            UP if self.clock().coarse_nanos() < self.stale_at.load(Ordering::Acquire) => Condition::Up,
            DOWN => Condition::Down,
            _ => Condition::Recovering,
        }
    }

    fn next_change(&self) -> Option<Duration> {
        let stale_at = self.stale_at.load(Ordering::Acquire);
        let up = self.condition.load(Ordering::Acquire) == UP && stale_at != u64::MAX;
        Some(Duration::from_nanos(stale_at)).filter(|at| up && self.clock().now() < *at)
    }

    fn watch(&self) -> Watch {
        self.bell.watch()
    }

    fn poll(&self) {}

    fn clock(&self) -> Clock {
        self.clock.get().cloned().unwrap_or_default()
    }

    fn down(&self, name: &mut dyn FnMut(Name, Weight)) {
        if self.condition() == Condition::Down {
            let critical = self.critical.load(Ordering::Acquire);
            name(self.name, if critical { Weight::Critical } else { Weight::NonCritical });
        }
    }
}

impl Registered for Listing {
    fn name(&self) -> Name {
        self.0.name
    }

    fn kind(&self) -> RegistryKind {
        RegistryKind::Check
    }

    fn source(self: Arc<Self>) -> Option<Arc<dyn StateSource>> {
        Some(self.0.clone())
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("name", &self.name).field("probe", &self.probe).finish_non_exhaustive()
    }
}
