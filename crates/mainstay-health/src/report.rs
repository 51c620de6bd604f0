use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use mainstay_core::Name;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::tree::{Sum, Tree};
use crate::{CheckError, Details, Effect, Phase, Reason, Scope, Status};

/// The service's health at one moment: immutable, and the same for every reader.
///
/// Points in time are durations since the clock's zero, with the wall time beside them for display. It serializes without
/// anything private: no messages, no error texts, no details.
pub struct Report {
    pub(crate) service: Name,
    pub(crate) epoch: u64,
    pub(crate) at: Duration,
    pub(crate) at_wall: SystemTime,
    pub(crate) phase: Phase,
    pub(crate) maintenance: Option<Arc<str>>,
    pub(crate) status: Status,
    pub(crate) ready: bool,
    pub(crate) live: bool,
    pub(crate) started: bool,
    pub(crate) stuck: bool,
    pub(crate) fresh_until: Duration,
    /// When something in it changes by time alone, so that another must be made.
    pub(crate) changes_at: Duration,
    pub(crate) closed_latches: Arc<[Name]>,
    pub(crate) tree: Tree,
    pub(crate) sum: Sum,
    pub(crate) directory: Arc<Directory>,
    #[cfg(feature = "http")]
    pub(crate) pages: crate::http::Pages,
}

/// How many checks are in which status. Disabled checks are counted in `disabled` only, and blocked ones in `total`,
/// `blocked`, `critical` and `non_critical` only: of a failure and what it blocks, the failure alone counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// Checks that are not disabled.
    pub total: u32,
    /// Of these, healthy.
    pub healthy: u32,
    /// Degraded.
    pub degraded: u32,
    /// Unhealthy.
    pub unhealthy: u32,
    /// Unknown: not answered yet, or stale.
    pub unknown: u32,
    /// Blocked by another check.
    pub blocked: u32,
    /// Critical.
    pub critical: u32,
    /// Not critical.
    pub non_critical: u32,
    /// Unhealthy and critical.
    pub critical_down: u32,
    /// Unhealthy and not critical.
    pub non_critical_down: u32,
    /// Switched off; not in `total`.
    pub disabled: u32,
}

/// One check in a [`Report`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Which check.
    pub name: Name,
    /// Whose the checked thing is.
    pub scope: Scope,
    /// Whether its failure fails what its scope says, or only degrades.
    pub critical: bool,
    /// Its status.
    pub status: Status,
    /// Why it has this status.
    pub reason: Reason,
    /// Since when it has it.
    pub since: Duration,
    /// The same as wall time.
    pub since_wall: SystemTime,
    /// What it does to readiness now.
    pub readiness: Effect,
    /// Whether it fails liveness now.
    pub fails_liveness: bool,
    /// Whether startup waits for its first success.
    pub starting: bool,
    /// The latest result, which need not have become the status yet.
    pub last: Option<RunReport>,
    /// What the latest result would make of the status, if enough of the same follow.
    pub pending: Option<Status>,
    /// How many of the latest results in a row spoke for `pending`, or for the status.
    pub streak: u32,
    /// Which unhealthy check keeps it from being run: the first cause, where one blocks another that blocks this.
    pub blocked_by: Option<Name>,
    /// Since when an earlier run of a blocking check has not ended.
    pub hung_since: Option<Duration>,
    /// How many runs have ended.
    pub runs: u64,
    /// How many of them were unhealthy.
    pub failures: u64,
    /// When its last result is too old, if nothing newer comes; [`Duration::MAX`] if it is too old already, or switched off.
    pub stale_at: Duration,
    /// When it changes by time alone: what it does to the probes, or that it is too old.
    pub(crate) changes_at: Duration,
    pub(crate) overall: Status,
    pub(crate) gates: bool,
    pub(crate) enabled: bool,
    pub(crate) watched_for_life: bool,
}

/// What the latest run of a check found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RunReport {
    /// What it says by itself.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// When it ended.
    pub at: Duration,
    /// The same as wall time.
    pub at_wall: SystemTime,
    /// How long it took; nothing for checks that watch.
    pub latency: Option<Duration>,
    /// What the check says. Private: show it only where a `DetailsPolicy` allows it.
    pub message: Option<Arc<str>>,
    /// The error it met. Its class may be shown, its text is private.
    pub error: Option<CheckError>,
    /// Figures. Private.
    pub details: Details,
    /// How long its longest poll kept a thread of the runtime, if that was longer than 100 ms: async code must not block.
    pub blocked_runtime: Option<Duration>,
}

/// Where in the tree a name is; made anew when checks come or go, filled when somebody asks.
#[derive(Default)]
pub(crate) struct Directory(OnceLock<HashMap<Name, usize>>);

// === impl Report ===

impl Report {
    /// The service's name.
    pub fn service(&self) -> Name {
        self.service
    }

    /// How many reports there were before this one.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When it was made.
    pub fn at(&self) -> Duration {
        self.at
    }

    /// When it was made, as wall time.
    pub fn at_wall(&self) -> SystemTime {
        self.at_wall
    }

    /// What the manager does.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why it is in maintenance, if it is.
    pub fn maintenance(&self) -> Option<&str> {
        self.maintenance.as_deref()
    }

    /// The whole: unhealthy if a critical check is (or, where it gates readiness, unknown), else degraded if any check is
    /// not healthy, else healthy.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether the whole is degraded.
    pub fn is_degraded(&self) -> bool {
        self.status == Status::Degraded
    }

    /// Whether the service was ready when this was made; it no longer is at [`fresh_until`](Self::fresh_until).
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether the service was alive when this was made.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Whether the service had started.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Whether the manager's own runtime had not run its tasks for too long: then nothing here can be trusted.
    pub fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// The earliest moment at which a result that readiness rests on is too old. From then on the service is not ready,
    /// whatever this report says.
    pub fn fresh_until(&self) -> Duration {
        self.fresh_until
    }

    pub(crate) fn is_ready_at(&self, now: Duration) -> bool {
        self.ready && now < self.fresh_until
    }

    pub(crate) fn is_live_at(&self, now: Duration) -> bool {
        self.live && now < self.live_until()
    }

    /// When the first result that liveness rests on is too old.
    pub(crate) fn live_until(&self) -> Duration {
        if self.phase.runs() { self.sum.live_until } else { Duration::MAX }
    }

    /// Startup latches that are still closed.
    pub fn closed_latches(&self) -> &[Name] {
        &self.closed_latches
    }

    /// How many checks are in which status.
    pub fn summary(&self) -> Summary {
        self.sum.summary
    }

    /// Every check, in the order of registration; a new one takes the place of one that was removed.
    pub fn checks(&self) -> impl Iterator<Item = &CheckReport> {
        self.tree.iter().map(|check| &**check)
    }

    /// One check.
    pub fn check(&self, name: &str) -> Option<&Arc<CheckReport>> {
        let places = self.directory.0.get_or_init(|| self.tree.positions().collect());
        let position = *places.get(name)?;
        self.tree.get(position)
    }

    /// What keeps the service from being ready, in words that may be shown to anybody: names of checks and latches, and
    /// what the manager does.
    pub fn obstacles(&self) -> Vec<String> {
        if self.ready {
            return Vec::new();
        }
        let mut obstacles = Vec::new();
        if self.phase != Phase::Running {
            obstacles.push(self.phase.as_str().to_owned());
        }
        if self.maintenance.is_some() {
            obstacles.push("maintenance".to_owned());
        }
        if self.stuck {
            obstacles.push("stuck".to_owned());
        }
        obstacles.extend(self.closed_latches.iter().map(|latch| format!("latch {latch}")));
        let failing = self.checks().filter(|check| check.readiness == Effect::Fails || check.starting);
        obstacles.extend(failing.map(|check| format!("check {}", check.name)));
        obstacles
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("service", &self.service)
            .field("phase", &self.phase)
            .field("status", &self.status)
            .field("ready", &self.ready)
            .field("live", &self.live)
            .field("started", &self.started)
            .field("summary", &self.sum.summary)
            .finish_non_exhaustive()
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("service", &self.service)?;
        map.serialize_entry("timestamp", &timestamp(self.at_wall))?;
        map.serialize_entry("phase", &self.phase)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("ready", &self.ready)?;
        map.serialize_entry("live", &self.live)?;
        map.serialize_entry("started", &self.started)?;
        map.serialize_entry("obstacles", &self.obstacles())?;
        map.serialize_entry("summary", &self.sum.summary)?;
        map.serialize_entry("checks", &Checks(&self.tree))?;
        map.end()
    }
}

struct Checks<'a>(&'a Tree);

impl Serialize for Checks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|check| (check.name, &**check)))
    }
}

// === impl CheckReport ===

impl CheckReport {
    /// Whether it is switched on.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether it is down by itself: unhealthy, and not because another check blocks it.
    pub fn is_down(&self) -> bool {
        self.status == Status::Unhealthy && self.reason != Reason::Blocked
    }

    /// How long its latest run took.
    pub fn latency(&self) -> Option<Duration> {
        self.last.as_ref()?.latency
    }
}

impl Serialize for CheckReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("reason", &self.reason)?;
        map.serialize_entry("scope", &self.scope)?;
        map.serialize_entry("critical", &self.critical)?;
        map.serialize_entry("readiness", &self.readiness)?;
        map.serialize_entry("since", &timestamp(self.since_wall))?;
        if let Some(last) = &self.last {
            map.serialize_entry("timestamp", &timestamp(last.at_wall))?;
            if let Some(latency) = last.latency {
                map.serialize_entry("duration", &millis(latency))?;
            }
            if let Some(error) = &last.error {
                map.serialize_entry("error_class", error)?;
            }
        }
        if let Some(blocker) = self.blocked_by {
            map.serialize_entry("blocked_by", &blocker)?;
        }
        map.end()
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directory")
    }
}

/// RFC 3339, in UTC, with milliseconds. The format has the years 1970 to 9999; times outside of them, which only a broken
/// clock tells, are shown as the nearest of these.
pub(crate) fn timestamp(at: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LAST);
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
}

/// Milliseconds, to the microsecond.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}
