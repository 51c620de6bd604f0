use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mainstay_core::{Bell, Clock, Condition, Kind as RegistryKind, Name, Registered, StateSource, Watch};
use tokio::sync::Notify;

use crate::check::Classifier;
use crate::probe::Kind;
use crate::{CheckReport, Probe, Reason, Scope, Status};

/// What of a check never changes, and how its task is reached.
pub(crate) struct Slot {
    pub(crate) place: usize,
    pub(crate) name: Name,
    pub(crate) scope: Scope,
    pub(crate) probe: Probe,
    pub(crate) classify: Option<Classifier>,
    /// Rung when a run has ended or the status changed.
    pub(crate) bell: Arc<Bell>,
    /// Its thread, if it has one, has not ended.
    pub(crate) busy: AtomicBool,
    nudge: Notify,
    condition: AtomicU8,
    clock: OnceLock<Clock>,
}

impl Slot {
    pub(crate) fn new(name: Name, scope: Scope, probe: Probe, classify: Option<Classifier>) -> Self {
        Self {
            place: usize::MAX,
            name,
            scope,
            probe,
            classify,
            bell: Bell::new(),
            busy: AtomicBool::new(false),
            nudge: Notify::new(),
            condition: AtomicU8::new(RECOVERING),
            clock: OnceLock::new(),
        }
    }

    pub(crate) fn set_clock(&self, clock: &Clock) {
        if let Kind::Watched(sensor) = &self.probe.0 {
            sensor.set_clock(clock);
        }
        let _ = self.clock.set(clock.clone());
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
        self.condition.store(condition, Ordering::Release);
    }
}

const UP: u8 = 0;
const RECOVERING: u8 = 1;
const DOWN: u8 = 2;

/// Down while unhealthy by itself, recovering while unknown or blocked, else up.
impl StateSource for Slot {
    fn name(&self) -> Name {
        self.name
    }

    fn condition(&self) -> Condition {
        match self.condition.load(Ordering::Acquire) {
            UP => Condition::Up,
            DOWN => Condition::Down,
            _ => Condition::Recovering,
        }
    }

    fn next_change(&self) -> Option<Duration> {
        None
    }

    fn watch(&self) -> Watch {
        self.bell.watch()
    }

    fn poll(&self) {}

    fn clock(&self) -> Clock {
        self.clock.get().cloned().unwrap_or_default()
    }
}

impl Registered for Slot {
    fn name(&self) -> Name {
        self.name
    }

    fn kind(&self) -> RegistryKind {
        RegistryKind::Check
    }

    fn source(self: Arc<Self>) -> Option<Arc<dyn StateSource>> {
        Some(self)
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
